//! The wasmtime engine and what all plugins share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use postern_store::Database;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::imports::{self, password::Passwords};
use crate::keyring::Keyring;
use crate::limits::{TABLE_ELEMENTS, TICK};
use crate::plugin_log::PluginLogs;
use crate::policy::PluginLimits;
use crate::roles::classify;
use crate::signature::SignerKey;
use crate::state::State;

/// Instances of all plugins that live at once.
const INSTANCES: u32 = 1_000;
/// Core instances of all plugins. A Rust component has 2 or 3, a Python one about 38.
const CORE_INSTANCES: u32 = 4_000;
/// Largest `VMContext` of one core instance, in bytes; JavaScript and Python need more than the
/// default.
const CORE_INSTANCE_SIZE: usize = 4 << 20;
/// WASM stack of one call, in bytes.
const WASM_STACK: usize = 512 << 10;
/// Stack of one call that may wait: its WASM stack and the host functions it is in.
const ASYNC_STACK: usize = 1 << 20;

/// Places of instances that have gone, kept with their memory for those to come: a few for plugins whose instances
/// serve few calls.
const WARM_SLOTS: u32 = 8;

/// Where the runtime keeps its own things.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Folder of compiled plugins, the host's own; made, mode 0700, when missing.
    pub cache: PathBuf,
    /// Only what one of these keys has signed is loaded; None: whatever passes the other checks.
    pub signers: Option<Vec<SignerKey>>,
    /// Whether compiling leaves the machine to those that serve.
    pub gives_way: bool,
}

/// What the host lends to plugins.
#[derive(Clone)]
pub struct Host {
    /// For the `sql` and `kv` interfaces.
    pub database: Database,
    /// For the `keys` interface, and to authenticate the cache.
    pub keyring: Keyring,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine does not work on this machine.
    #[error("plugin runtime: {0}")]
    Engine(String),
    /// The cache folder cannot be used.
    #[error("plugin cache {path}: {error}")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The decoy password hash could not be made.
    #[error("argon2: {0}")]
    Password(String),
}

/// Loads plugins. One per process.
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) host: Host,
    pub(crate) cache: Arc<Cache>,
    pub(crate) passwords: Arc<Passwords>,
    /// For roles that may wait, with all interfaces.
    pub(crate) waiting: Linker<State>,
    /// For pure roles, with the interfaces that never wait.
    pub(crate) pure: Linker<State>,
    /// One compilation at a time: each uses all cores.
    pub(crate) compiling: Arc<Semaphore>,
    pub(crate) logs: PluginLogs,
    /// Where components on trial have their databases.
    pub(crate) scratch: PathBuf,
    pub(crate) signers: Option<Vec<SignerKey>>,
    pub(crate) compiler: Arc<rayon::ThreadPool>,
    generations: AtomicU64,
}

impl Runtime {
    /// Makes the engine and starts its ticker, which ends with it.
    ///
    /// Install the metrics recorder before: counters are looked up once.
    ///
    /// # Errors
    ///
    /// When the machine cannot run the engine or the cache folder cannot be used.
    pub fn new(config: RuntimeConfig, host: Host) -> Result<Runtime, StartError> {
        let failed = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let engine = Engine::new(&engine_config()).map_err(failed)?;
        let ticked = engine.weak();
        thread::Builder::new()
            .name("postern-epoch".into())
            .spawn(move || tick(&ticked))
            .map_err(|error| StartError::Engine(error.to_string()))?;

        let mut waiting = Linker::new(&engine);
        imports::link_all(&mut waiting).map_err(failed)?;
        let mut pure = Linker::new(&engine);
        imports::link_pure(&mut pure).map_err(failed)?;
        for linker in [&mut waiting, &mut pure] {
            classify::add_sender_to_linker(linker).map_err(failed)?;
        }

        let cache = Cache::open(&config.cache, &engine, host.keyring.key("plugin-cache"))
            .map_err(|error| StartError::Cache { path: config.cache.clone(), error })?;
        let compiler = rayon::ThreadPoolBuilder::new()
            .thread_name(|_| "postern-compile".into())
            .start_handler(move |_| {
                if config.gives_way {
                    give_way();
                }
            })
            .build()
            .map_err(|error| StartError::Engine(error.to_string()))?;
        let passwords = Passwords::new().map_err(|error| StartError::Password(error.to_string()))?;
        Ok(Runtime {
            engine,
            host,
            cache: Arc::new(cache),
            passwords: Arc::new(passwords),
            waiting,
            pure,
            compiling: Arc::new(Semaphore::new(1)),
            logs: PluginLogs::default(),
            scratch: config.cache,
            signers: config.signers,
            compiler: Arc::new(compiler),
            generations: AtomicU64::new(0),
        })
    }

    /// What plugins have logged last.
    pub fn logs(&self) -> &PluginLogs {
        &self.logs
    }

    /// The number of the next generation, from 1.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The calling thread runs when those that serve leave it room: a large plugin compiles for seconds.
pub(crate) fn give_way() {
    // Without it compiling takes its share of the machine, which is no reason to refuse.
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "priority of the compiler");
    }
}

/// Settings; the reasons are beside those that need one, and in decision 5 of ARCHITECTURE.md.
fn engine_config() -> Config {
    let memory = usize::try_from(PluginLimits::MAX_MEMORY_MIB).unwrap_or(0) << 20;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(CORE_INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(CORE_INSTANCES)
        .total_stacks(INSTANCES)
        .total_gc_heaps(INSTANCES)
        .max_component_instance_size(CORE_INSTANCE_SIZE)
        .max_core_instance_size(CORE_INSTANCE_SIZE)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory)
        // Each keeps what is kept resident below; the next generation of a plugin would always take cold ones first.
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(16 << 10);

    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // Equal inputs give equal answers, on any machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Together with `max_memory_size`, or every slot reserves 4 GiB of address space.
        .memory_reservation(u64::try_from(memory).unwrap_or(0))
        .memory_reservation_for_growth(0)
        .memory_guard_size(64 << 10);
    config
}

/// Moves the epoch on, for as long as there is an engine.
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine); // or the last owner would be this thread, for a tick
        thread::sleep(TICK);
    }
}
