//! What belongs to one store, that is to one instance of a plugin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use postern_store::{Kv, PluginSql};
use tokio::time::Instant as CallEnd;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};

use crate::http::Http;
use crate::imports::log::LogBudget;
use crate::imports::password::Passwords;
use crate::imports::sql::SqlCall;
use crate::keyring::Key;
use crate::limits::{self, MemoryLimit, MemoryUse, Meter};
use crate::plugin_log::Lines;
use crate::policy::PluginLimits;
use crate::roles::classify::SenderFacts;

/// Handles that one instance may hold at once.
const HANDLES: usize = 1_024;

/// Lines a second about one plugin's faults; the counters have them all.
pub(crate) const FAULT_LINES_PER_SEC: u32 = 5;

/// What a plugin was granted, shared by all its instances.
pub(crate) struct Granted {
    pub(crate) plugin: String,
    pub(crate) limits: PluginLimits,
    pub(crate) config: toml::Table,
    pub(crate) log: LogBudget,
    /// Lines of the host about the plugin's faults.
    pub(crate) faults: LogBudget,
    /// The last of both.
    pub(crate) lines: Arc<Lines>,
    /// By the name that the guest asks for.
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) kv: Option<Kv>,
    pub(crate) sql: Option<PluginSql>,
    pub(crate) http: Option<Http>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) memory: Arc<MemoryUse>,
}

impl Granted {
    /// Grants nothing: for the call of `describe`, which tells whose grants to look up.
    pub(crate) fn nothing(passwords: Arc<Passwords>) -> Granted {
        Granted {
            plugin: String::new(),
            limits: PluginLimits { memory_mib: PluginLimits::MAX_MEMORY_MIB, ..PluginLimits::default() },
            config: toml::Table::new(),
            log: LogBudget::new("", 0, Instant::now()),
            faults: LogBudget::new("", FAULT_LINES_PER_SEC, Instant::now()),
            lines: Arc::default(),
            keys: BTreeMap::new(),
            kv: None,
            sql: None,
            http: None,
            passwords,
            memory: Arc::default(),
        }
    }
}

/// A store's data.
pub(crate) struct State {
    pub(crate) granted: Arc<Granted>,
    pub(crate) table: ResourceTable,
    pub(crate) sql: SqlCall,
    pub(crate) meter: Arc<Meter>,
    /// When the call under way is stopped, for imports that wait for somebody else.
    pub(crate) call_ends: Option<CallEnd>,
    /// Who sent the message that is being classified.
    pub(crate) sender: Option<Arc<SenderFacts>>,
    memory: MemoryLimit,
}

/// A store for calls on the calling thread.
pub(crate) fn sync_store(engine: &Engine, granted: &Arc<Granted>) -> Store<State> {
    let mut store = new_store(engine, granted);
    limits::watch_sync(&mut store);
    store
}

/// A store for calls that may wait.
pub(crate) fn async_store(engine: &Engine, granted: &Arc<Granted>) -> Store<State> {
    let mut store = new_store(engine, granted);
    limits::watch_async(&mut store);
    store
}

fn new_store(engine: &Engine, granted: &Arc<Granted>) -> Store<State> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let state = State {
        table,
        sql: SqlCall::new(granted.sql.clone()),
        meter: Arc::default(),
        call_ends: None,
        sender: None,
        memory: MemoryLimit::new(granted.limits.memory_mib, granted.memory.clone()),
        granted: granted.clone(),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store
}
