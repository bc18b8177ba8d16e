//! The only wiring: what is built, in which order, and who is handed what.
//!
//! config → policy → plugin files are there → data folder → addresses → certificate → database →
//! keys → plugins (checked, prepared) → bus → tasks → `listening …` → until a signal → [`drain`](crate::drain)
//!
//! Everything that can be refused is refused before the database is opened, so that a wrong start
//! touches no data.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use postern_broker::{
    Broker,
    wire::{ReasonCode, Text},
};
use postern_bus::Bus;
use postern_guest::{Host, Keyring, Role, Runtime, RuntimeConfig, Slots};
use postern_store::Database;
use rustls_pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use ulid::Ulid;

use crate::{
    admin::{self, Admin},
    audit::Audit,
    check,
    command::{self, Commands, Links, keys::Signer, pace::Pace},
    config::{Config, Origin},
    control::{
        cursors::Cursors, heard, history, ids::AssignedIds, ingest::Ingest, people::People,
        presence::Presence, purge, push::Push, saving::Saving, tokens::Tokens, wire::BrokerAddress,
    },
    datadir::DataDir,
    drain::Running,
    listen::{bind::Bound, descriptors, doors::Doors, tls::Certificates, wire::ListenerName},
    login::{self, KeyLogins, LoginContext, LoginRole},
    mqtt::{self, live::Live, rights::Compilations},
    node::Node,
    plugins::{self, Kept, Life, PluginError, Start},
    policy::{self, InForce, Policy},
    reload::Reloader,
    signals::Signals,
    tasks::Background,
};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// One line that says what is wrong and where.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Signals { mut stop, hangups } = Signals::catch().context("signals")?;
    let running = tokio::select! {
        running = Box::pin(start(config, hangups)) => running?,
        () = stop.wanted() => {
            info!("stopped before it served");
            return Ok(());
        }
    };
    stop.wanted().await;
    running.stop().await;
    Ok(())
}

/// All of it, until it serves.
async fn start(mut config: Config, hangups: Signal) -> anyhow::Result<Running> {
    let asked = *config.origin("limits.connections") != Origin::Default;
    descriptors::make_room(&mut config.limits, asked);
    if !config.listen.serves_anybody() {
        warn!("{}", check::NOBODY);
    }
    let exporting = config.telemetry.as_ref().map(postern_trace::start).transpose();
    let exporting = exporting.map_err(|e| config.error("telemetry.otlp", e))?;
    let policy = Policy::load(&config.policy)?;
    let plan = Start::look_up(&policy, &config)?;
    Database::check(&config.store_url).map_err(|e| config.error("store.url", e))?;
    let data = DataDir::open(&config.data)?;
    let bound = Bound::all(&config).await?;
    let certificates = Certificates::load(&config, &data, UnixTime::now())?;
    let keyring = match config.master_key.clone() {
        Some(keyring) => keyring,
        None => Keyring::open_or_create(&data.master_key())?,
    };
    let opened = Database::open(&config.store_url, data.path()).await;
    let database = opened.map_err(|e| config.error("store.url", e))?;
    let bus = match &config.bus_url {
        None => Bus::local(),
        Some(url) => Bus::connect(url).await.map_err(|e| config.error("bus.url", e))?,
    };

    let host = Host { database: database.clone(), keyring: keyring.clone() };
    let runtime =
        RuntimeConfig { cache: data.plugin_cache(), signers: policy.signers.clone(), gives_way: true };
    let runtime = Runtime::new(runtime, host)?;
    let slots = Arc::new(Slots::new());
    let components = Kept::new(data.components());
    plan.serve(&runtime, &policy, &slots, &components).await?;
    if config.roles.broker {
        let path = || plan.file_of(Role::Token).unwrap_or(&config.policy).to_owned();
        let admits = slots.token().admits_anonymous().await;
        let admits = admits.map_err(|error| PluginError::Silent { path: path(), error })?;
        policy::refuse_anonymous_off_loopback(&bound.addresses(), admits)
            .map_err(|error| PluginError::Anonymous { path: path(), error })?;
    }

    let policy: InForce = Arc::new(ArcSwap::from_pointee(policy));
    let signer = Signer::new(&keyring, config.instruction_key)?;
    let audit = Audit::open(&data.audit_log())?;
    let background = Background::default();
    background.spawn(purge::run(database.clone()));
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let node = if config.roles.broker {
        let parts = Parts {
            config: &config,
            policy: &policy,
            slots: &slots,
            database: &database,
            bus: &bus,
            bound: &bound,
            background: &background,
            node: data.node_name()?,
            tasks: &tasks,
            audit: &audit,
            signer,
        };
        Some(broker_node(parts).await?)
    } else {
        None
    };
    if config.roles.login {
        login::bus::answer_bus(slots.clone(), &bus, &background).await?;
    }
    let announced = bound.announced();
    let ready = plan.serve_beside(&runtime, &policy.load_full(), &slots, &components).await;
    let life = Arc::new(Life::new(plugins::Parts {
        runtime: Arc::new(runtime),
        slots: slots.clone(),
        policy,
        roles: config.roles,
        folders: plugins::Folders::of(&config),
        components,
        file: data.activations(),
        public: bound.addresses(),
        record: plan.record,
        ready,
    }));
    background.spawn(plugins::watch_folder(life.clone(), audit.clone()));
    background.spawn(plugins::watch_probation(life.clone(), audit.clone()));
    let reloader = Arc::new(Reloader::new(certificates.clone(), life.clone(), audit.clone()));
    background.spawn(reloader.clone().on_hangups(hangups));
    background.spawn(reloader.clone().watch());
    let routers = admin::routers(Admin {
        slots: slots.clone(),
        life,
        reloader,
        broker: node.as_ref().map(|n| n.broker.clone()),
        bus: bus.clone(),
        commands: database.commands(),
        terminals: node.as_ref().map(|n| n.commands.clone()),
        database: database.clone(),
        roles: config.roles,
        listeners: announced.clone(),
        token: config.admin_token.clone(),
        audit,
        data: data.path().to_owned(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    });
    let application = login::router(LoginContext {
        role: config.roles.login.then(|| LoginRole {
            slots: slots.clone(),
            keys: KeyLogins::new(&keyring, &database, certificates.clone()),
        }),
        bus: bus.clone(),
        limits: config.limits.clone(),
    });
    let doors = Doors { config: &config, certificates, tasks: tasks.clone(), stop: stop.clone() };
    doors.open(bound, node.clone(), application, routers, &background);

    for (name, address) in announced {
        // Whoever started us may have closed it; that is no reason not to serve.
        let _ = writeln!(std::io::stdout(), "listening {name} {address}");
    }
    info!(roles = ?config.roles.names(), "ready");
    let reason = match config.server_reference {
        Some(_) => ReasonCode::UseAnotherServer,
        None => ReasonCode::ServerShuttingDown,
    };
    let grace = Duration::from_secs(u64::from(config.limits.drain_secs));
    Ok(Running { node, tasks, stop, background, bus, database, exporting, data, reason, grace })
}

/// The journeys of the broker role, wired.
async fn broker_node(parts: Parts<'_>) -> anyhow::Result<Arc<Node>> {
    let Parts { config, policy, slots, database, bus, bound, background, node, tasks, audit, signer } = parts;
    let broker = Arc::new(Broker::new(config.limits.broker()));
    let kept = database.kept(&node);
    mqtt::keep::restore(&broker, &kept).await.context("sessions")?;
    let cursors = Cursors::new(database.cursors());
    let presence =
        Presence::new(Ulid::new().to_string(), bus.clone(), broker.clone(), Push::new(slots.clone()));
    #[cfg(feature = "bench-bypass")]
    let hooks = crate::bypass::Hooks::of_environment()?;
    let saving = Saving {
        slots: slots.clone(),
        #[cfg(feature = "bench-bypass")]
        native: hooks.store(database).await?,
    };
    let ingest = Ingest::start(saving, broker.clone(), config.limits.ingest_bytes as usize, background);
    let people = Arc::new(People::new(bus.clone()));
    let commands = Arc::new(Commands {
        people: people.clone(),
        store: database.commands(),
        slots: slots.clone(),
        broker: broker.clone(),
        bus: bus.clone(),
        push: Push::new(slots.clone()),
        ingest: ingest.clone(),
        audit: audit.clone(),
        signer,
        policy: policy.clone(),
        pace: Pace::new(config.limits.instructions_per_second),
        limits: config.limits.clone(),
        tasks: tasks.clone(),
        links: Links::default(),
    });
    let node = Arc::new(Node {
        ingest,
        commands: commands.clone(),
        people,
        presence: Arc::new(presence),
        cursors: cursors.clone(),
        rights: Compilations::default(),
        live: Live::default(),
        ids: AssignedIds::new(config.limits.inflight.max(1_024)),
        tasks: tasks.clone(),
        limits: config.limits.clone(),
        server_reference: config.server_reference.as_deref().map(Text::from),
        all_other: policy.load().all_other,
        policy: policy.clone(),
        #[cfg(feature = "bench-bypass")]
        hooks,
        slots: slots.clone(),
        bus: bus.clone(),
        broker,
    });
    background.spawn_until(|stop| cursors.write_behind(stop));
    background.spawn_until(|stop| mqtt::keep::write(node.broker.clone(), kept, stop));
    background.spawn(mqtt::timers::run(node.clone()));
    background.spawn(mqtt::sys::publish(node.clone()));
    heard::listen(&node, background).await?;
    history::serve(slots.clone(), bus, background).await?;
    let brokers = Arc::new(addresses(config, bound));
    let tokens = Tokens { node: node.clone(), brokers };
    tokens.clone().serve(background).await?;
    background.spawn(command::expire(commands.clone()));
    background.spawn(command::look_after(commands.clone()));
    commands.serve_bus(tokens, background).await?;
    Ok(node)
}

/// What a broker node is made of.
struct Parts<'a> {
    config: &'a Config,
    policy: &'a InForce,
    slots: &'a Arc<Slots>,
    database: &'a Database,
    bus: &'a Bus,
    bound: &'a Bound,
    background: &'a Background,
    /// This node's name.
    node: String,
    tasks: &'a TaskTracker,
    audit: &'a Audit,
    signer: Signer,
}

/// Where the login answer sends clients.
fn addresses(config: &Config, bound: &Bound) -> Vec<BrokerAddress> {
    let mqtt = bound.addresses().into_iter().filter(|(name, _)| *name != ListenerName::Http);
    mqtt.map(|(name, at)| BrokerAddress {
        listener: name.as_str().to_owned(),
        transport: name.transport().to_owned(),
        host: config.advertise_host.clone(),
        port: at.port(),
    })
    .collect()
}
