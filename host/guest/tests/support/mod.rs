//! Components written as text, and a runtime to load them.
#![allow(dead_code, unreachable_pub)] // each test program uses a part
#![allow(clippy::unwrap_used)] // of tests only

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_guest::roles::classify::{Facts, Origin};
use postern_guest::roles::types::{Relation, Transport};
use postern_guest::{Host, Keyring, LoadError, Plugin, PluginPolicy, Runtime, RuntimeConfig};
use postern_store::Database;

/// A runtime with an embedded database, in a folder that goes with it.
pub struct Bench {
    pub runtime: Runtime,
    pub database: Database,
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("postern.db").display());
        let database = Database::open(&url, folder.path()).await.unwrap();
        let runtime = Self::runtime(folder.path(), &database, 7);
        Bench { runtime, database, folder }
    }

    /// Another runtime on the same folder, as after a restart.
    pub fn runtime(folder: &Path, database: &Database, master: u8) -> Runtime {
        let keyring = Keyring::from_material(&format!("{master:02x}").repeat(32), "test").unwrap();
        let config = RuntimeConfig { cache: folder.join("cache"), signers: None, gives_way: false };
        Runtime::new(config, Host { database: database.clone(), keyring }).unwrap()
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn cached(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("cache")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Loads a component written as text under a policy written as TOML.
    pub async fn load(&self, text: &str, policy: &str) -> Result<Arc<Plugin>, LoadError> {
        let path = self.file("plugin.wasm", wat::parse_str(text).unwrap());
        self.load_file(&path, policy).await
    }

    pub async fn load_file(&self, path: &Path, policy: &str) -> Result<Arc<Plugin>, LoadError> {
        let policy: PluginPolicy = toml::from_str(policy).unwrap();
        self.runtime.load(path, &move |_| policy.clone()).await
    }
}

/// One of the components that `cargo xtask plugins` builds.
pub fn built(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins").join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
    path
}

/// One of the guests that misbehave.
pub fn rogue(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-guests").join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins --test-guests`", path.display());
    path
}

/// One of the examples in Rust.
pub fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins-examples");
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins --examples`", path.display());
    path
}

/// Facts of a message whose QoS tells the component of [`Text::classify`] what to do.
pub fn facts(qos: u8) -> Facts<'static> {
    Facts {
        topic: "im/u/bob/alice",
        payload: b"hello",
        qos,
        retain: false,
        origin: Origin::Client,
        transport: Transport::Tls,
        sender: None,
        relation: Relation::Internal,
        now: 1,
    }
}

/// A component for the role *classify* that does what a message's QoS says: 0 answers, 1 traps,
/// 2 spins, 3 takes memory until there is none and traps, 4 calls itself for ever, 5 answers with
/// an error.
pub struct Text {
    pub name: &'static str,
    /// Interfaces of `postern:host` to import, each with one function.
    pub imports: &'static [(&'static str, &'static str)],
    /// Body of `prepare`: leaves the address of a `result<_, string>`.
    pub prepare: &'static str,
    /// Body of `self-check`, the same.
    pub self_check: &'static str,
    /// Version of the role's interface.
    pub version: &'static str,
    /// The type of what the role answers for a class.
    pub class: &'static str,
}

/// A body that answers `ok`.
pub const OK: &str = "(i32.store8 (i32.const 512) (i32.const 0)) (i32.const 512)";
/// A body that answers the error `unfit`.
pub const UNFIT: &str = "(i32.store8 (i32.const 512) (i32.const 1))
    (i32.store (i32.const 516) (i32.const 128)) (i32.store (i32.const 520) (i32.const 5)) (i32.const 512)";

impl Default for Text {
    fn default() -> Self {
        Text {
            name: "sample",
            imports: &[],
            prepare: OK,
            self_check: OK,
            version: "0.1.0",
            class: r#"(enum "notification" "status" "instant" "command" "other")"#,
        }
    }
}

impl Text {
    pub fn component(&self) -> String {
        let Text { name, imports, prepare, self_check, version, class } = self;
        let imports: String = imports
            .iter()
            .map(|(interface, func)| format!(r#"(import "{interface}" (instance (export "{func}" (func))))"#))
            .collect();
        let len = name.len();
        let plugin = shim(
            "plugin",
            &[("about", r#"(record (field "name" string) (field "version" string))"#)],
            &[
                ("describe", "(result $about)"),
                ("prepare", "(result (result (error string)))"),
                ("self-check", "(result (result (error string)))"),
            ],
            "postern:host/plugin@0.1.0",
        );
        let classify = shim(
            "classify",
            &[
                ("transport", r#"(enum "plain" "tls")"#),
                ("relation", r#"(enum "same" "internal" "upstream" "downstream" "member" "unrelated")"#),
                ("origin", r#"(enum "client" "control-unit")"#),
                ("class", class),
                (
                    "facts",
                    r#"(record (field "topic" string) (field "payload" (list u8)) (field "qos" u8)
                        (field "retain" bool) (field "origin" $origin) (field "transport" $transport)
                        (field "sender" (option string))
                        (field "relation" $relation) (field "now" u64))"#,
                ),
                (
                    "verdict",
                    r#"(record (field "class" $class) (field "payload" (option (list u8))) (field "holds" bool))"#,
                ),
                ("classify-error", r#"(variant (case "refused" string) (case "unavailable" string))"#),
            ],
            &[("classify", r#"(param "facts" $facts) (result (result $verdict (error $classify-error)))"#)],
            &format!("postern:classify/classify@{version}"),
        );
        format!(
            r#"(component
  {imports}
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 64) "{name}")
    (data (i32.const 128) "unfit")
    (data (i32.const 256) "1.0.0")
    (global $top (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "describe") (result i32)
      (i32.store (i32.const 512) (i32.const 64)) (i32.store (i32.const 516) (i32.const {len}))
      (i32.store (i32.const 520) (i32.const 256)) (i32.store (i32.const 524) (i32.const 5))
      (i32.const 512))
    (func (export "prepare") (result i32) {prepare})
    (func (export "self-check") (result i32) {self_check})
    (func $recurse (param i32) (result i32)
      (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
    (func (export "classify")
      (param $topic i32) (param i32) (param $payload i32) (param i32) (param $mode i32) (param $retain i32)
      (param $origin i32) (param $transport i32) (param $sender i32) (param i32 i32) (param $relation i32)
      (param $now i64) (result i32)
      (global.set $top (i32.const 65536))
      (if (i32.eq (local.get $mode) (i32.const 1)) (then unreachable))
      (if (i32.eq (local.get $mode) (i32.const 2)) (then (loop (br 0))))
      (if (i32.eq (local.get $mode) (i32.const 3))
        (then (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
      (if (i32.eq (local.get $mode) (i32.const 4)) (then (drop (call $recurse (i32.const 0)))))
      (if (i32.eq (local.get $mode) (i32.const 5))
        (then
          (i32.store8 (i32.const 1024) (i32.const 1))
          (i32.store8 (i32.const 1028) (i32.const 0))
          (i32.store (i32.const 1032) (i32.const 128)) (i32.store (i32.const 1036) (i32.const 5)))
        (else
          (i32.store8 (i32.const 1024) (i32.const 0))
          (i32.store8 (i32.const 1028) (i32.const 2))
          (i32.store8 (i32.const 1032) (i32.const 0))
          (i32.store8 (i32.const 1044) (i32.const 1))))
      (i32.const 1024))
  )
  (core instance $i (instantiate $m))
  {plugin}
  {classify}
)"#
        )
    }
}

/// What wit-component puts around lifted functions: types get their names in a component of their
/// own, whose instance is exported.
fn shim(id: &str, types: &[(&str, &str)], funcs: &[(&str, &str)], interface: &str) -> String {
    use std::fmt::Write as _;
    let (mut outer, mut inner, mut with) = (String::new(), String::new(), String::new());
    for (name, def) in types {
        writeln!(outer, "(type ${name} {def})").unwrap();
        writeln!(inner, r#"(type ${name}-of {def}) (import "{name}" (type ${name} (eq ${name}-of)))"#)
            .unwrap();
        write!(with, r#"(with "{name}" (type ${name}))"#).unwrap();
    }
    for (name, ty) in funcs {
        writeln!(
            outer,
            r#"(func ${name} {ty} (canon lift (core func $i "{name}")
                (memory $i "memory") (realloc (func $i "realloc"))))"#
        )
        .unwrap();
        writeln!(inner, r#"(import "func-{name}" (func ${name} {ty}))"#).unwrap();
        write!(with, r#"(with "func-{name}" (func ${name}))"#).unwrap();
    }
    // Exported types may be made of exported ones only, so they are defined once more.
    let exported = |text: &str| {
        types.iter().fold(text.to_owned(), |text, (name, _)| {
            let text = text.replace(&format!("${name})"), &format!("${name}-x)"));
            text.replace(&format!("${name} "), &format!("${name}-x "))
        })
    };
    for (name, def) in types {
        let def = exported(def);
        writeln!(inner, r#"(type ${name}-y {def}) (export ${name}-x "{name}" (type ${name}-y))"#).unwrap();
    }
    for (name, ty) in funcs {
        let ty = exported(ty);
        writeln!(inner, r#"(export "{name}" (func ${name}) (func {ty}))"#).unwrap();
    }
    format!(
        "{outer}\n(component $shim-{id} {inner})\n(instance $face-{id} (instantiate $shim-{id} {with}))\n(export \"{interface}\" (instance $face-{id}))"
    )
}
