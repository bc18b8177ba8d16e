//! From a file to a plugin that is fit to serve (C3). Nothing that serves is touched on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use postern_store::SqlLimits;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::cache::{Cache, source_digest};
use crate::engine::{Host, Runtime};
use crate::http::{Bounds, Http};
use crate::imports::log::LogBudget;
use crate::inspect::{self, World};
use crate::native::{self, Vouched};
use crate::plugin::{About, Plugin};
use crate::policy::PluginPolicy;
use crate::probe;
use crate::reason::{LoadError, MAX_COMPONENT_MIB, Reason};
use crate::signature;
use crate::state::{FAULT_LINES_PER_SEC, Granted, State};

/// A component that has passed the host's checks, and has not been asked for its own yet.
pub struct Checked(Plugin);

impl Checked {
    /// Who it says it is, and what it could serve.
    pub fn plugin(&self) -> &Plugin {
        &self.0
    }
}

impl Runtime {
    /// Loads the component at `path`: reads, compiles (or takes it from the cache), checks its world
    /// and its imports against what `policies` grants the name it gives itself, lets it prepare and
    /// check itself. `policies` is asked once.
    ///
    /// # Errors
    ///
    /// Every reason found. Checks that need an earlier one to have passed are not made then.
    pub async fn load(
        &self,
        path: &Path,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
    ) -> Result<Arc<Plugin>, LoadError> {
        let reasons = |reason| LoadError { path: path.to_owned(), reasons: vec![reason] };
        let source = read_component(path).await.map_err(reasons)?;
        self.load_source(path, source, policies).await
    }

    /// The same for what was read from `path` before.
    ///
    /// # Errors
    ///
    /// As [`Runtime::load`].
    pub async fn load_source(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
    ) -> Result<Arc<Plugin>, LoadError> {
        let started = Instant::now();
        let checked = self.check(path, source, policies).await?;
        let plugin = self.prepare(checked).await?;
        tracing::info!(
            plugin = plugin.name(),
            version = plugin.version(),
            generation = plugin.generation,
            took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "plugin loaded"
        );
        Ok(plugin)
    }

    /// Checks what was read from `path`, up to where the plugin itself is asked whether it is fit: nothing of
    /// its own has run yet but `describe`.
    ///
    /// # Errors
    ///
    /// As [`Runtime::load`].
    pub async fn check(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
    ) -> Result<Checked, LoadError> {
        let fit = self.fit(path, source, policies, &self.host).await;
        fit.map(Checked).map_err(|reasons| LoadError { path: path.to_owned(), reasons })
    }

    /// Lets a plugin prepare, where it has tables while no other node's does, and check itself.
    ///
    /// # Errors
    ///
    /// What it says, or why it says nothing.
    pub async fn prepare(&self, checked: Checked) -> Result<Arc<Plugin>, LoadError> {
        let prepared = async {
            if checked.0.granted.sql.is_none() {
                return probe::prepare(&checked.0).await;
            }
            let alone = self.host.database.alone().await;
            let alone = alone.map_err(|error| Reason::Host(error.to_string()))?;
            let prepared = probe::prepare(&checked.0).await;
            alone.end().await;
            prepared
        };
        let reason = |reason| LoadError { path: checked.0.path.clone(), reasons: vec![reason] };
        prepared.await.map_err(reason)?;
        self.resume(checked).await
    }

    /// The same for one that has prepared before: it checks itself only.
    ///
    /// # Errors
    ///
    /// As [`Runtime::prepare`].
    pub async fn resume(&self, checked: Checked) -> Result<Arc<Plugin>, LoadError> {
        let fit = probe::self_check(&checked.0).await;
        fit.map_err(|reason| LoadError { path: checked.0.path.clone(), reasons: vec![reason] })?;
        Ok(Arc::new(checked.0))
    }

    /// Up to where the plugin itself is asked whether it is fit.
    pub(crate) async fn fit(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
        host: &Host,
    ) -> Result<Plugin, Vec<Reason>> {
        if let Some(signers) = &self.signers {
            signature::check(&source, signers).map_err(|reason| vec![reason])?;
        }
        let (component, digest) = self.component(source).await.map_err(|reason| vec![reason])?;
        let world = self.world(&component)?;
        let about = self.describe(&component).await.map_err(|reason| vec![reason])?;
        let policy = policies(&about.name);

        let mut reasons = inspect::not_granted(&world, &policy.grants);
        reasons.extend(inspect::unknown_grants(&policy.grants));
        reasons.extend(policy.limits.check().err().map(Reason::Limits));
        if !reasons.is_empty() {
            return Err(reasons);
        }

        let compiled = (component, digest);
        let plugin = self.link(path, &compiled, world, about, policy, host).await.map_err(|r| vec![r])?;
        probe::shapes(&plugin).await.map_err(|reason| vec![reason])?;
        Ok(plugin)
    }

    /// Takes it from the cache, or compiles, on threads that may block. What is compiled already waits for nobody
    /// who compiles, and its loading does not yield: an operator swaps under load.
    async fn component(&self, source: Arc<[u8]>) -> Result<(Component, [u8; 32]), Reason> {
        let failed = |error: tokio::task::JoinError| Reason::Host(error.to_string());
        let (engine, cache, known) = (self.engine.clone(), self.cache.clone(), source.clone());
        let looked_up = tokio::task::spawn_blocking(move || {
            inspect::check_frame(&known)?;
            let digest = source_digest(&known);
            Ok((cached(&engine, &cache, &digest), digest))
        });
        let (component, digest) = looked_up.await.map_err(failed)??;
        if let Some(component) = component {
            return Ok((component, digest));
        }
        let (engine, cache, compiler) = (self.engine.clone(), self.cache.clone(), self.compiler.clone());
        let permit = self.compiling.clone().acquire_owned().await.map_err(|e| Reason::Host(e.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // Another may have compiled it meanwhile.
            let component = match cached(&engine, &cache, &digest) {
                Some(component) => component,
                // On the threads of the compiler, which yield to those that serve.
                None => compiler.install(|| compile(&engine, &cache, &source, &digest))?,
            };
            Ok((component, digest))
        })
        .await
        .map_err(failed)?
    }

    fn world(&self, component: &Component) -> Result<World, Vec<Reason>> {
        let ty = component.component_type();
        let imports: Vec<_> = ty.imports(&self.engine).map(|(name, _)| name).collect();
        let exports: Vec<_> = ty.exports(&self.engine).map(|(name, _)| name).collect();
        inspect::check_world(imports.into_iter(), exports.into_iter())
    }

    /// Asks the component who it is, with nothing linked: any import it calls traps.
    async fn describe(&self, component: &Component) -> Result<About, Reason> {
        let bare = trapping(Linker::new(&self.engine), component).map_err(shape)?;
        let about = probe::describe(&bare, &Arc::new(Granted::nothing(self.passwords.clone()))).await?;
        let is_version =
            (1..=64).contains(&about.version.len()) && about.version.bytes().all(|b| b.is_ascii_graphic());
        if postern_store::is_plugin_name(&about.name) && is_version {
            Ok(about)
        } else {
            // What a stranger says goes to a terminal: escaped and bounded.
            let said: String = format!("{} {}", about.name, about.version).escape_debug().take(200).collect();
            Err(Reason::Name(said))
        }
    }

    /// Lends a component what the policy grants it, of `host`.
    async fn link(
        &self,
        path: &Path,
        (component, digest): &(Component, [u8; 32]),
        world: World,
        about: About,
        policy: PluginPolicy,
        host: &Host,
    ) -> Result<Plugin, Reason> {
        let imports = |interface: &str| world.imports.contains(interface);
        let limits = policy.limits;
        let database = &host.database;
        let is_trial = !std::ptr::eq(host, &self.host);
        let sql = if imports("sql") {
            let bounds = SqlLimits { rows: limits.sql_rows, statement_ms: limits.sql_statement_ms.into() };
            Some(
                database
                    .plugin(&about.name, bounds)
                    .await
                    .map_err(|error| Reason::Host(error.to_string()))?,
            )
        } else {
            None
        };
        let http = if imports("http") || imports("http-password") {
            let bounds = Bounds { body_bytes: limits.http_body_bytes, timeout_ms: limits.http_timeout_ms };
            let ca = policy.http_ca.as_deref();
            Some(Http::new(&about.name, policy.http_hosts, ca, bounds).map_err(Reason::Host)?)
        } else {
            None
        };
        let keys: BTreeMap<_, _> = if imports("keys") {
            policy
                .keys
                .iter()
                .map(|name| (name.clone(), host.keyring.key(&format!("named {name}"))))
                .collect()
        } else {
            BTreeMap::new()
        };
        let granted = Arc::new(Granted {
            plugin: about.name.clone(),
            log: LogBudget::new(&about.name, limits.log_lines_per_sec, Instant::now()),
            faults: LogBudget::new(&about.name, FAULT_LINES_PER_SEC, Instant::now()),
            lines: if is_trial { Arc::default() } else { self.logs.of(&about.name) },
            config: policy.config,
            keys,
            kv: imports("kv").then(|| database.kv(&format!("plugin/{}", about.name))),
            sql,
            http,
            passwords: self.passwords.clone(),
            memory: Arc::default(),
            limits,
        });
        let pure = if world.roles.iter().any(|role| role.is_pure()) {
            Some(trapping(self.pure.clone(), component).map_err(shape)?)
        } else {
            None
        };
        Ok(Plugin {
            about,
            path: path.to_owned(),
            digest: *digest,
            generation: self.next_generation(),
            roles: world.roles,
            imports: world.imports,
            grants: policy.grants,
            granted,
            waiting: self.waiting.instantiate_pre(component).map_err(shape)?,
            pure,
        })
    }
}

/// Reads a component's file, on a thread that may block.
///
/// # Errors
/// Why it cannot be read, or that it is too large.
pub async fn read_component(path: &Path) -> Result<Arc<[u8]>, Reason> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read(&path).map(Arc::from));
    reading.await.map_err(|error| Reason::Host(error.to_string()))?
}

fn read(path: &Path) -> Result<Vec<u8>, Reason> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Reason::Missing,
        _ => Reason::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Reason::Unreadable("not a regular file".into()));
    }
    let most = MAX_COMPONENT_MIB << 20;
    let mut bytes = Vec::new();
    if metadata.len() <= most {
        // One more than the limit, should it be growing.
        file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    let len = metadata.len().max(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    if len > most {
        return Err(Reason::TooLarge { mib: len.div_ceil(1 << 20) });
    }
    Ok(bytes)
}

/// Compiled code from the cache.
fn cached(engine: &wasmtime::Engine, cache: &Cache, digest: &[u8; 32]) -> Option<Component> {
    let loaded = native::load(engine, &cache.get(digest)?);
    let warn = |error: &_| tracing::warn!(%error, "cached plugin does not fit this host; compiling it again");
    loaded.inspect_err(warn).ok()
}

/// Compiles, and keeps what came of it.
fn compile(
    engine: &wasmtime::Engine,
    cache: &Cache,
    source: &[u8],
    digest: &[u8; 32],
) -> Result<Component, Reason> {
    let artifact = engine.precompile_component(source).map_err(|error| {
        let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
        if text.contains("unexpected end") { Reason::CutShort } else { Reason::Invalid(text) }
    })?;
    let artifact = Vouched::new(artifact);
    cache.put(digest, &artifact);
    native::load(engine, &artifact).map_err(|error| Reason::Host(format!("{error:#}")))
}

/// Links the component; imports that the linker lacks are there, and trap when they are called.
fn trapping(mut linker: Linker<State>, component: &Component) -> wasmtime::Result<InstancePre<State>> {
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

fn shape(error: wasmtime::Error) -> Reason {
    Reason::Shape(format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use postern_store::Database;

    use super::*;
    use crate::{Keyring, RuntimeConfig};

    #[tokio::test]
    async fn what_is_compiled_already_waits_for_nobody_who_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("postern.db").display());
        let database = Database::open(&url, folder.path()).await.unwrap();
        let keyring = Keyring::from_material(&"07".repeat(32), "test").unwrap();
        let config = RuntimeConfig { cache: folder.path().join("cache"), signers: None, gives_way: false };
        let runtime = Runtime::new(config, Host { database, keyring }).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins/classify-topic.wasm");
        let policy = |_: &str| PluginPolicy {
            grants: ["log", "config"].map(str::to_owned).into(),
            ..PluginPolicy::default()
        };
        runtime.load(&path, &policy).await.unwrap();
        let _somebody_compiles = runtime.compiling.clone().acquire_owned().await.unwrap();
        let again = tokio::time::timeout(Duration::from_secs(60), runtime.load(&path, &policy)).await;
        assert_eq!(again.expect("it waits for who compiles").unwrap().generation(), 2);
    }
}
