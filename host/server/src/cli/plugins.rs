//! `postern plugin …`.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use hyper::Method;
use postern_guest::{MAX_COMPONENT_MIB, cases::Cases};

use super::{
    author, cases,
    client::AdminClient,
    plugin_log,
    print::{self, printable},
    signing,
};
use crate::admin::{
    path_segment,
    wire::{
        ActivatePlugin, BeginShadow, GenerationView, PluginDetail, PluginView, RecordCalls, ReportView,
        ShadowView,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginVerb {
    /// Plugins that serve, with their roles; what served before; what the plugin folder offers
    List,
    /// One plugin: grants, limits, what its generations do and cost
    Describe {
        /// Its name
        name: String,
    },
    /// Check a file, or NAME.wasm of the plugin folder, and say all that is wrong with it
    Validate {
        /// A file, or a name
        what: String,
    },
    /// Check a file and put it into the plugin folder
    Install {
        /// The file
        file: PathBuf,
    },
    /// Load NAME.wasm from the plugin folder and have it serve its roles; loads it anew when it serves already
    Activate {
        /// Its name
        name: String,
        /// For a part of the clients: a share such as 10%, user:PATTERN or client:PATTERN
        #[arg(long, value_name = "PART")]
        canary: Option<String>,
    },
    /// Have a canary serve everybody
    Promote {
        /// Its name
        name: String,
    },
    /// Have what served before serve again, or end a canary
    Rollback {
        /// The name of what is to go
        name: String,
    },
    /// Take NAME.wasm out of the plugin folder, and forget it as what served before
    Remove {
        /// Its name
        name: String,
    },
    /// Let no call through to a plugin; callers get what the role's failure rule says
    Pause {
        /// Its name
        name: String,
    },
    /// End a pause
    Resume {
        /// Its name
        name: String,
    },
    /// The last lines that a plugin has logged, and the host about it
    Logs {
        /// Its name
        name: String,
        /// Only what matters at least so much: debug, info, warn, error
        #[arg(long)]
        level: Option<String>,
        /// Go on with what comes
        #[arg(long, short)]
        follow: bool,
    },
    /// What a candidate answers to copies of live calls, beside what serves
    Shadow {
        /// Its name
        name: String,
        /// Begin, with NAME.wasm of the plugin folder
        #[arg(long)]
        start: bool,
        /// End
        #[arg(long, conflicts_with = "start")]
        stop: bool,
        /// Compare one live call in so many
        #[arg(long, default_value_t = 10, requires = "start")]
        every: u32,
    },
    /// Record live calls of a plugin into a file of cases, with what messages say and the plugin's table of the policy
    Record {
        /// Its name
        name: String,
        /// Where to
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// So many calls at most
        #[arg(long, default_value_t = 1_000)]
        calls: u32,
        /// For so many seconds at most; 240 is the most
        #[arg(long, default_value_t = 60)]
        secs: u32,
    },
    /// Run recorded calls on another component, without a server, and print what differs
    Replay {
        /// The file that `record` wrote
        file: PathBuf,
        /// The component
        #[arg(long, value_name = "FILE")]
        with: PathBuf,
    },
    /// Run a component against written cases, without a server
    Test {
        /// The component
        file: PathBuf,
        /// The cases
        #[arg(long, value_name = "FILE")]
        cases: PathBuf,
    },
    /// Make a project for a plugin of your own
    New {
        /// Its name
        name: String,
        /// In which language
        #[arg(long, value_enum)]
        lang: author::Language,
        /// For which role
        #[arg(long, default_value = "classify")]
        role: String,
        /// The folder; by default one of its name
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
    /// Make a key pair to sign plugins with
    Keygen {
        /// Where to put the private key
        file: PathBuf,
    },
    /// Sign a plugin's file, in place
    Sign {
        /// The file
        file: PathBuf,
        /// The private key that `keygen` made
        #[arg(long)]
        key: PathBuf,
    },
}

impl PluginVerb {
    /// Whether it needs no server.
    pub fn is_local(&self) -> bool {
        use PluginVerb::{Keygen, New, Replay, Sign, Test};
        matches!(self, Keygen { .. } | New { .. } | Sign { .. } | Replay { .. } | Test { .. })
    }

    /// Does what needs no server.
    pub fn apply_locally(self, json: bool) -> anyhow::Result<()> {
        match self {
            PluginVerb::New { name, lang, role, to } => author::new(&name, lang, &role, to),
            PluginVerb::Replay { file, with } => cases::replay(&with, &file, json),
            PluginVerb::Test { file, cases } => cases::test(&file, &cases, json),
            PluginVerb::Keygen { file } => signing::keygen(&file),
            PluginVerb::Sign { file, key } => signing::sign(&file, &key),
            _ => bail!("this needs a server"),
        }
    }

    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            PluginVerb::List => {
                let plugins: Vec<PluginView> = server.get("/v1/plugins").await?;
                if server.json { print::json(&plugins) } else { table(&plugins) }
            }
            PluginVerb::Describe { name } => {
                let detail: PluginDetail = server.get(&path(&name, "")).await?;
                if server.json { print::json(&detail) } else { describe(&detail) }
            }
            PluginVerb::Validate { what } => {
                let file = Path::new(&what);
                let found: ReportView = if file.exists() || what.contains(['/', '.']) {
                    server.send("/v1/components/validate", component(file)?).await?
                } else {
                    server.ask(Method::POST, &path(&what, "/validate"), None::<&()>).await?
                };
                report(&found, server.json)?;
                if found.reasons.is_empty() { Ok(()) } else { bail!("{what} cannot serve") }
            }
            PluginVerb::Install { file } => {
                let found: ReportView = server.send("/v1/components", component(&file)?).await?;
                if server.json {
                    return print::json(&found);
                }
                report(&found, false)?;
                let name = found.name.unwrap_or_default();
                print::line(&format!("{name} is installed; `postern plugin activate {name}` lets it serve"))
            }
            PluginVerb::Activate { name, canary } => {
                let how = ActivatePlugin { canary };
                let plugin: PluginView =
                    server.ask(Method::POST, &path(&name, "/activate"), Some(&how)).await?;
                serves(server, &plugin)
            }
            PluginVerb::Promote { name } => {
                serves(server, &server.ask(Method::POST, &path(&name, "/promote"), None::<&()>).await?)
            }
            PluginVerb::Rollback { name } => {
                serves(server, &server.ask(Method::POST, &path(&name, "/rollback"), None::<&()>).await?)
            }
            PluginVerb::Remove { name } => done(server, Method::DELETE, &name, "", "removed").await,
            PluginVerb::Pause { name } => done(server, Method::POST, &name, "/pause", "paused").await,
            PluginVerb::Resume { name } => done(server, Method::POST, &name, "/resume", "serves again").await,
            PluginVerb::Logs { name, level, follow } => {
                plugin_log::print(server, &name, level.as_deref(), follow).await
            }
            PluginVerb::Shadow { name, start, stop, every } => {
                let path = path(&name, "/shadow");
                let found: ShadowView = match (start, stop) {
                    (true, _) => server.ask(Method::POST, &path, Some(&BeginShadow { every })).await?,
                    (_, true) => server.ask(Method::DELETE, &path, None::<&()>).await?,
                    _ => server.get(&path).await?,
                };
                if server.json { print::json(&found) } else { shadow(&found) }
            }
            PluginVerb::Record { name, to, calls, secs } => {
                let which = RecordCalls { calls, secs };
                let file = cases::create(&to)?;
                let recorded = server.ask(Method::POST, &path(&name, "/record"), Some(&which)).await;
                let recorded: Cases = recorded.inspect_err(|_| drop(fs::remove_file(&to)))?;
                cases::write(file, &recorded)?;
                print::line(&format!("{} calls in {}", recorded.cases.len(), to.display()))
            }
            PluginVerb::Keygen { .. }
            | PluginVerb::Sign { .. }
            | PluginVerb::New { .. }
            | PluginVerb::Replay { .. }
            | PluginVerb::Test { .. } => self.apply_locally(server.json),
        }
    }
}

pub(super) fn path(name: &str, verb: &str) -> String {
    format!("/v1/plugins/{}{verb}", path_segment(name))
}

async fn done(
    server: &AdminClient,
    method: Method,
    name: &str,
    verb: &str,
    told: &str,
) -> anyhow::Result<()> {
    let _: () = server.ask(method, &path(name, verb), None::<&()>).await?;
    if server.json { print::json(&()) } else { print::line(&format!("{} {told}", printable(name))) }
}

/// A component's file, of a size that the server takes.
fn component(file: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || file.display().to_string();
    let opened = fs::File::open(file).with_context(named)?;
    if !opened.metadata().with_context(named)?.is_file() {
        bail!("{}: not a regular file", named());
    }
    let most = MAX_COMPONENT_MIB << 20;
    let mut bytes = Vec::new();
    opened.take(most + 1).read_to_end(&mut bytes).with_context(named)?;
    if bytes.len() as u64 > most {
        bail!("{}: larger than {MAX_COMPONENT_MIB} MiB", named());
    }
    Ok(bytes)
}

pub(super) fn table(plugins: &[PluginView]) -> anyhow::Result<()> {
    let row = |p: &PluginView| {
        let state = p.part.as_ref().map_or_else(|| p.state.clone(), |part| format!("{} {part}", p.state));
        [
            p.name.clone(),
            p.roles.join(","),
            p.version.clone(),
            if p.generation == 0 { String::new() } else { p.generation.to_string() },
            state,
            p.chosen_by.clone().unwrap_or_default(),
        ]
    };
    print::table(
        ["NAME", "ROLES", "VERSION", "GENERATION", "STATE", "BY"],
        &plugins.iter().map(row).collect::<Vec<_>>(),
    )?;
    plugins.iter().filter_map(|p| p.why.as_ref()).try_for_each(|why| print::line(&printable(why)))
}

fn serves(server: &AdminClient, plugin: &PluginView) -> anyhow::Result<()> {
    if server.json {
        return print::json(plugin);
    }
    let PluginView { name, version, generation, roles, part, .. } = plugin;
    let part = part.as_ref().map(|part| format!(" for {part}")).unwrap_or_default();
    print::line(&format!("{name} {version} serves {}{part} (generation {generation})", roles.join(", ")))
}

fn describe(detail: &PluginDetail) -> anyhow::Result<()> {
    table(std::slice::from_ref(&detail.plugin))?;
    print::line(&format!("file    {}", detail.plugin.file))?;
    print::line(&format!("sha256  {}", detail.plugin.digest))?;
    print::line(&format!("grants  {}", detail.grants.join(" ")))?;
    print::line(&format!("used    {}", detail.used.join(" ")))?;
    print::line(&format!("keys    {}", detail.keys.join(" ")))?;
    for (name, value) in &detail.limits {
        print::line(&format!("limit   {name} {value}"))?;
    }
    let us = |us: Option<u64>| match us {
        None => "-".to_owned(),
        Some(u64::MAX) => "> 10 s".to_owned(),
        Some(us) => format!("{us} µs"),
    };
    for it in &detail.generations {
        let GenerationView { generation, version, role, state, instances, idle_instances, queue, .. } = it;
        let part = it.part.as_ref().map(|part| format!(" {part}")).unwrap_or_default();
        print::line(&format!("generation {generation}, {version}, {role}: {state}{part}"))?;
        let calls = it.calls.iter().filter(|(_, count)| **count > 0);
        let calls: Vec<String> = calls.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        print::line(&format!(
            "  calls      {}",
            if calls.is_empty() { "none".to_owned() } else { calls.join(", ") }
        ))?;
        print::line(&format!("  latency    p50 {}, p99 {}", us(it.p50_us), us(it.p99_us)))?;
        print::line(&format!("  CPU        {} ms", it.cpu_us / 1_000))?;
        print::line(&format!("  instances  {instances}, {idle_instances} idle; {queue} calls wait"))?;
        let kib = |bytes: u64| bytes.div_ceil(1 << 10);
        let (now, peak) = (kib(it.memory_bytes), kib(it.peak_memory_bytes));
        print::line(&format!("  memory     {now} KiB, at most {peak} KiB"))?;
    }
    Ok(())
}

fn shadow(found: &ShadowView) -> anyhow::Result<()> {
    let ShadowView { name, version, compared, alike, failed, shed, served_ns, candidate_ns, .. } = found;
    print::line(&format!("{name} {version} in the shadow"))?;
    let percent = if *compared == 0 { 0.0 } else { *alike as f64 * 100.0 / *compared as f64 };
    print::line(&format!("compared  {compared} calls, {alike} alike ({percent:.2} %)"))?;
    print::line(&format!("failed    {failed}; not looked at for want of time {shed}"))?;
    let us = |ns: &u64| *ns as f64 / 1_000.0;
    print::line(&format!(
        "a call    {:.1} µs serving, {:.1} µs the candidate",
        us(served_ns),
        us(candidate_ns)
    ))?;
    found.differences.iter().try_for_each(|line| print::line(&format!("differs   {}", printable(line))))
}

fn report(found: &ReportView, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(found);
    }
    if let (Some(name), Some(version)) = (&found.name, &found.version) {
        print::line(&format!("{name} {version} for {}", found.roles.join(", ")))?;
        print::line(&format!("imports  {}", found.imports.join(" ")))?;
    }
    print::line(&format!("sha256   {}", found.digest))?;
    let kib = |bytes: u64| bytes.div_ceil(1 << 10);
    let (size, memory) = (kib(found.size_bytes), kib(found.memory_bytes));
    print::line(&format!("size     {size} KiB; an instance has {memory} KiB of memory"))?;
    for (role, ns) in &found.call_ns {
        print::line(&format!("call     {role}: {:.1} µs", *ns as f64 / 1_000.0))?;
    }
    print::line(&format!("checked  in {} ms", found.took_ms))?;
    found.reasons.iter().try_for_each(|reason| print::line(&format!("wrong    it {}", printable(reason))))
}
