//! What a call of the role *classify* costs: prints the median CPU time of a warm call in ns, for
//! senders without and with a user, and for a rule that asks for the sender's groups.
//!
//! ```text
//! cargo run --release -p postern-guest --example classify_cost [target/plugins/classify-topic.wasm]
//! ```

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use postern_guest::roles::classify::{Facts, Origin, SenderFacts};
use postern_guest::roles::types::{Profile, Relation, Transport};
use postern_guest::{Host, Keyring, PluginPolicy, Role, Runtime, RuntimeConfig, Slots};
use postern_store::Database;
use rustix::time::{ClockId, clock_gettime};

/// Calls of one sample; the clock costs about as much as a call.
const CALLS: u64 = 10_000;
const SAMPLES: usize = 101;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/plugins/classify-topic.wasm"), PathBuf::from);
    let folder = std::env::temp_dir().join(format!("postern-classify-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&path, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(path: &std::path::Path, folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let database = Database::open(&format!("sqlite:{}", folder.join("x.db").display()), folder).await?;
    let keyring = Keyring::from_material(&"00".repeat(32), "bench")?;
    let runtime = Runtime::new(
        RuntimeConfig { cache: folder.join("cache"), signers: None, gives_way: false },
        Host { database, keyring },
    )?;
    let policy = PluginPolicy {
        grants: ["log", "config"].map(str::to_owned).into(),
        config: "notifiers = { groups = ['sales'] }".parse()?,
        ..PluginPolicy::default()
    };
    let plugin = runtime.load(path, &|_| policy.clone()).await?;
    let slots = Slots::new();
    slots.activate(Role::Classify, plugin)?;

    let profile = Profile {
        user: "alice".into(),
        name: "Alice".into(),
        org: "acme".into(),
        groups: vec!["staff".into(), "sales".into()],
        ..Profile::default()
    };
    let anonymous = Arc::new(SenderFacts { client_id: "phone".into(), profile: None });
    let sender = Arc::new(SenderFacts { client_id: "phone".into(), profile: Some(profile) });
    let (chat, note) = ("im/u/bob/alice", "note/u/bob");
    for (what, topic, sender, len) in [
        ("anonymous, 256 B", chat, &anonymous, 256),
        ("signed in, 256 B", chat, &sender, 256),
        ("signed in, 4 KiB", chat, &sender, 4096),
        ("groups asked for, 256 B", note, &sender, 256),
    ] {
        let payload = vec![7; len];
        let facts = Facts {
            topic,
            payload: &payload,
            qos: 1,
            retain: false,
            origin: Origin::Client,
            transport: Transport::Tls,
            sender: Some(sender),
            relation: Relation::Internal,
            now: 1,
        };
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let start = cpu_ns();
            for _ in 0..CALLS {
                // A refusal costs about the same; what it says is not measured here.
                let _ = black_box(slots.classify().classify(black_box(&facts)));
            }
            samples.push((cpu_ns() - start) / CALLS);
        }
        samples.sort_unstable();
        let at = |part: usize| samples.get(part).copied().unwrap_or_default();
        println!("classify, {what}: median {} ns, fastest {} ns of CPU a call", at(SAMPLES / 2), at(0));
    }
    Ok(())
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
