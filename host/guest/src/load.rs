//! From a file to a plugin that is fit to serve (C3). Nothing that serves is touched on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use postern_store::SqlLimits;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::cache::{Cache, source_digest};
use crate::engine::Runtime;
use crate::http::{Bounds, Http};
use crate::imports::log::LogBudget;
use crate::inspect::{self, WIT_VERSION, World};
use crate::native::{self, Vouched};
use crate::plugin::{About, Plugin};
use crate::policy::{PluginPolicy, Role};
use crate::probe;
use crate::signature;
use crate::state::{FAULT_LINES_PER_SEC, Granted, State};

/// Largest component file, in MiB. A Python component has about 40.
pub const MAX_COMPONENT_MIB: u64 = 64;

/// Why a file does not serve as a plugin: every reason found, in one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", path.display(), lines(reasons))]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub reasons: Vec<Reason>,
}

/// One reason against a candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such file.
    #[error("there is no such file")]
    Missing,
    /// The system does not let us read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Zero bytes.
    #[error("is empty")]
    Empty,
    /// Over the size limit.
    #[error("has {mib} MiB, the limit is {MAX_COMPONENT_MIB} MiB")]
    TooLarge {
        /// Its size, rounded up.
        mib: u64,
    },
    /// Something else than WebAssembly.
    #[error("is not WebAssembly")]
    NotWasm,
    /// A module without the component around it.
    #[error("is a core module, not a component: build it as a component for a world of wit/")]
    CoreModule,
    /// The end is missing.
    #[error("is cut short: copy it again")]
    CutShort,
    /// The compiler refuses it.
    #[error("does not compile: {0}")]
    Invalid(String),
    /// An import from outside our packages.
    #[error("imports `{import}`: plugins may import nothing but postern:host")]
    Foreign {
        /// The import's full name.
        import: String,
    },
    /// An import of ours that does not exist.
    #[error("imports `{import}`, which this host does not have")]
    UnknownInterface {
        /// The import's full name.
        import: String,
    },
    /// An interface of another version.
    #[error("`{interface}` is of another version: this host speaks {WIT_VERSION} and what fits it")]
    Version {
        /// The interface's full name.
        interface: String,
    },
    /// Part of a role, or of what every plugin has, is missing.
    #[error("does not export `{interface}`")]
    MissingExport {
        /// The interface without its version.
        interface: String,
    },
    /// Nothing that we could ask it.
    #[error("fills no role: it exports none of the worlds of wit/")]
    NoRole,
    /// The policy does not grant an import.
    #[error("imports `{interface}`, which the policy does not grant it")]
    NotGranted {
        /// The interface's name within `postern:host`.
        interface: String,
    },
    /// The policy grants something that does not exist.
    #[error("the policy grants it `{grant}`, which is no interface of postern:host")]
    UnknownGrant {
        /// As the policy has it.
        grant: String,
    },
    /// The policy bounds it senselessly.
    #[error("the policy's {0}")]
    Limits(String),
    /// An interface of ours in another shape.
    #[error("does not fit the interfaces of this host: {0}")]
    Shape(String),
    /// `describe` failed.
    #[error("cannot say who it is: {0}")]
    Describe(String),
    /// `describe` gave an impossible name or version.
    #[error(
        "calls itself `{0}`: a name is 1 to 48 of a-z 0-9 -, a letter or digit first, a version 1 to 64 visible characters"
    )]
    Name(String),
    /// `prepare` failed; the text is the plugin's.
    #[error("could not prepare: {0}")]
    Prepare(String),
    /// `self-check` failed; the text is the plugin's.
    #[error("found itself unfit: {0}")]
    SelfCheck(String),
    /// The policy wants a signature.
    #[error("is not signed, and the policy requires it")]
    Unsigned,
    /// Signed by a stranger.
    #[error("is signed by {0}, which is not among signatures.keys of the policy")]
    Signer(String),
    /// Altered after it was signed.
    #[error("was altered after it was signed")]
    Signature,
    /// The host could not do its part.
    #[error("host: {0}")]
    Host(String),
}

fn lines(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
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
        match self.try_load(path, source, policies).await {
            Ok(plugin) => {
                tracing::info!(
                    plugin = plugin.name(),
                    version = plugin.version(),
                    generation = plugin.generation,
                    took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "plugin loaded"
                );
                Ok(Arc::new(plugin))
            }
            Err(reasons) => Err(LoadError { path: path.to_owned(), reasons }),
        }
    }

    async fn try_load(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
    ) -> Result<Plugin, Vec<Reason>> {
        let plugin = self.fit(path, source, policies).await?;
        self.prepare(&plugin).await.map_err(|reason| vec![reason])?;
        probe::self_check(&plugin).await.map_err(|reason| vec![reason])?;
        Ok(plugin)
    }

    /// Up to where the plugin itself is asked whether it is fit.
    pub(crate) async fn fit(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
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

        let plugin = self.link(path, &component, digest, world, about, policy).await.map_err(|r| vec![r])?;
        probe::shapes(&plugin).await.map_err(|reason| vec![reason])?;
        Ok(plugin)
    }

    /// Lets the plugin prepare; where it has tables, while no other node's does.
    async fn prepare(&self, plugin: &Plugin) -> Result<(), Reason> {
        if plugin.granted.sql.is_none() {
            return probe::prepare(plugin).await;
        }
        let alone = self.host.database.alone().await.map_err(|error| Reason::Host(error.to_string()))?;
        let prepared = probe::prepare(plugin).await;
        alone.end().await;
        prepared
    }

    /// Compiles, on a thread that may block.
    async fn component(&self, source: Arc<[u8]>) -> Result<(Component, [u8; 32]), Reason> {
        let (engine, cache, compiler) = (self.engine.clone(), self.cache.clone(), self.compiler.clone());
        let permit = self.compiling.clone().acquire_owned().await.map_err(|e| Reason::Host(e.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inspect::check_frame(&source)?;
            let digest = source_digest(&source);
            // Each on the threads of the compiler, which yield to those that serve.
            let compiled = compiler.install(|| compile(&engine, &cache, &source, &digest));
            compiled.map(|component| (component, digest))
        })
        .await
        .map_err(|error| Reason::Host(error.to_string()))?
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

    async fn link(
        &self,
        path: &Path,
        component: &Component,
        digest: [u8; 32],
        world: World,
        about: About,
        policy: PluginPolicy,
    ) -> Result<Plugin, Reason> {
        let imports = |interface: &str| world.imports.contains(interface);
        let limits = policy.limits;
        let database = &self.host.database;
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
                .map(|name| (name.clone(), self.host.keyring.key(&format!("named {name}"))))
                .collect()
        } else {
            BTreeMap::new()
        };
        let granted = Arc::new(Granted {
            plugin: about.name.clone(),
            log: LogBudget::new(&about.name, limits.log_lines_per_sec, Instant::now()),
            faults: LogBudget::new(&about.name, FAULT_LINES_PER_SEC, Instant::now()),
            lines: self.logs.of(&about.name),
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
            digest,
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

/// Compiled code from the cache, else from the compiler.
fn compile(
    engine: &wasmtime::Engine,
    cache: &Cache,
    source: &[u8],
    digest: &[u8; 32],
) -> Result<Component, Reason> {
    if let Some(artifact) = cache.get(digest) {
        match native::load(engine, &artifact) {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!(%error, "cached plugin does not fit this host; compiling it again"),
        }
    }
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

/// For messages about a role of a plugin.
pub(crate) fn role_shape(role: Role, error: &wasmtime::Error) -> Reason {
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    Reason::Shape(format!("role {role}: {text}"))
}
