//! What a test changes before the program starts: config keys, policy keys, plugins, environment.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The config and the policy of one program, made from the defaults.
#[derive(Debug)]
pub struct Settings {
    /// The folder of this program: config, policy, data.
    pub folder: PathBuf,
    /// The config file.
    pub config: Table,
    /// The policy file: policies/default.toml and what the test changes.
    pub policy: Table,
    /// Environment variables for the program.
    pub environment: BTreeMap<String, String>,
    /// Plugins beside the default ones, or in their place.
    plugins: BTreeMap<String, Option<PathBuf>>,
    /// Words before the program's own, such as `strace -f`.
    pub(crate) wrapper: Vec<String>,
    /// Whether it has the master key, and so the compiled plugins, of the other tests' programs. One
    /// that does not makes its own.
    pub shares_key: bool,
}

/// All listeners on a port that is free.
const LISTENERS: [&str; 6] = ["tcp", "tls", "ws", "wss", "http", "health"];

impl Settings {
    pub(crate) fn new(folder: &Path) -> Self {
        let file = crate::root().join("policies/default.toml");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let policy = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut settings = Settings {
            folder: folder.to_owned(),
            config: Table::new(),
            policy,
            environment: BTreeMap::new(),
            plugins: BTreeMap::new(),
            wrapper: Vec::new(),
            shares_key: true,
        };
        settings.set("policy", text_of(&folder.join("policy.toml")));
        settings.set("data", text_of(&folder.join("data")));
        settings.set("plugins.dir", text_of(&crate::root().join("target/plugins")));
        settings.set("listen.admin", format!("unix:{}", folder.join("admin.sock").display()));
        for name in LISTENERS {
            settings.set(&format!("listen.{name}"), "127.0.0.1:0");
        }
        settings
    }

    /// Sets a key of the config, such as `listen.tcp`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        set(&mut self.config, key, value.into());
    }

    /// Takes a key out of the config.
    pub fn unset(&mut self, key: &str) {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        table(&mut self.config, section).remove(name);
    }

    /// Sets a key of the policy, such as `plugins.token-hmac.config.lifetime_secs`.
    pub fn policy(&mut self, key: &str, value: impl Into<Value>) {
        set(&mut self.policy, key, value.into());
    }

    /// Another of the policies in policies/, such as `open`.
    pub fn policy_file(&mut self, name: &str) {
        let file = crate::root().join("policies").join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.policy = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Puts the test guest `guest` (of tests/guests) into `role`, with the grants and the
    /// configuration of the plugin that it replaces.
    pub fn role(&mut self, role: &str, guest: &str) {
        let former = self.policy["roles"][role].as_str().expect("the role's plugin").to_owned();
        let granted = self.policy["plugins"].get(&former).cloned();
        if let Some(granted) = granted {
            table(&mut self.policy, "plugins").entry(guest.to_owned()).or_insert(granted);
        }
        self.policy(&format!("roles.{role}"), guest);
        self.plugin(guest, &guest_file(guest));
    }

    /// Puts the guest that misbehaves (tests/guests) into `role`: how, and whether `always` or only in
    /// calls about the user, or the topic's last level, `boom`.
    pub fn rogue(&mut self, role: &str, misbehave: &str, when: &str) {
        let guest = format!("rogue-{role}");
        self.role(role, &guest);
        let orders =
            [("misbehave", misbehave), ("when", when)].map(|(key, value)| (key.to_owned(), value.into()));
        self.policy(&format!("plugins.{guest}.config"), Table::from_iter(orders));
        // Bounds that are soon reached.
        let limits = [("call_cpu_ms", 50), ("call_wall_ms", 2_000), ("memory_mib", 32), ("concurrency", 8)];
        let limits = limits.map(|(key, value)| (key.to_owned(), Value::Integer(value)));
        self.policy(&format!("plugins.{guest}.limits"), Table::from_iter(limits));
    }

    /// Adds a component as `NAME.wasm`, or replaces one.
    pub fn plugin(&mut self, name: &str, file: &Path) {
        self.plugins.insert(name.to_owned(), Some(file.to_owned()));
    }

    /// Leaves a component out.
    pub fn without_plugin(&mut self, name: &str) {
        self.plugins.insert(name.to_owned(), None);
    }

    /// A variable of the program's environment.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Runs the program under another, such as `strace`.
    pub fn under(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|w| (*w).to_owned()).collect();
    }

    /// The config file's path.
    pub fn file(&self) -> PathBuf {
        self.folder.join("postern.toml")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.config["data"].as_str().expect("the data folder").into()
    }

    /// Writes config, policy and plugin folder.
    pub(crate) fn write(&mut self) {
        if !self.plugins.is_empty() {
            let folder = self.folder.join("plugins");
            self.own_plugins(&folder);
            self.set("plugins.dir", text_of(&folder));
        }
        if self.shares_key {
            share_cache(&self.data());
        }
        let policy = self.config.get("policy").and_then(Value::as_str).map(PathBuf::from);
        if let Some(file) = policy.filter(|file| file.starts_with(&self.folder)) {
            std::fs::write(file, self.policy.to_string()).unwrap();
        }
        std::fs::write(self.file(), self.config.to_string()).unwrap();
    }

    fn own_plugins(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for file in std::fs::read_dir(crate::root().join("target/plugins")).expect("target/plugins").flatten()
        {
            let to = folder.join(file.file_name());
            if file.path().extension().is_some_and(|e| e == "wasm") && !to.exists() {
                std::fs::copy(file.path(), to).unwrap();
            }
        }
        for (name, from) in &self.plugins {
            let to = folder.join(format!("{name}.wasm"));
            match from {
                Some(from) => {
                    std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
                }
                None => std::fs::remove_file(&to).unwrap_or_else(|e| panic!("{}: {e}", to.display())),
            }
        }
    }
}

/// A guest that misbehaves, built by `cargo xtask plugins --test-guests`.
pub fn guest_file(guest: &str) -> PathBuf {
    crate::root().join("target/test-guests").join(format!("{guest}.wasm"))
}

/// All programs of all tests compile each component once: they share what they have compiled, and the
/// master key that vouches for it.
fn share_cache(data: &Path) {
    let shared = crate::root().join("target/test-cache");
    std::fs::create_dir_all(&shared).unwrap();
    // A folder that cannot be made is what the test is about.
    if std::fs::create_dir_all(data).is_err() {
        return;
    }
    let (cache, key) = (data.join("plugin-cache"), data.join("master.key"));
    if !cache.exists() {
        std::os::unix::fs::symlink(&shared, &cache).unwrap();
    }
    if !key.exists() {
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(key).unwrap();
        std::io::Write::write_all(&mut file, "07".repeat(32).as_bytes()).unwrap();
    }
}

fn set(root: &mut Table, key: &str, value: Value) {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    table(root, section).insert(name.to_owned(), value);
}

/// The table at a path with dots; made when missing.
fn table<'a>(root: &'a mut Table, path: &str) -> &'a mut Table {
    path.split('.').filter(|part| !part.is_empty()).fold(root, |at, part| {
        let inner = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        inner.as_table_mut().unwrap_or_else(|| panic!("{path} is not a table"))
    })
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
