//! What a trap costs the host: a guest that traps beside the same guest that answers, by wall clock, on one thread.
//!
//! ```text
//! cargo run --release -p postern-guest --example trap_cost [target/test-guests/rogue-classify.wasm]
//! ```
//!
//! A trap takes its instance with it, so that the next call makes one: its cost is what that call takes longer.
//! Between two traps one call answers, so that the breaker stays closed.

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use postern_guest::roles::classify::{Facts, Origin};
use postern_guest::roles::types::{Relation, Transport};
use postern_guest::{CallError, Down, Host, Keyring, PluginPolicy, Role, Runtime, RuntimeConfig, Slots};
use postern_store::Database;

const SAMPLES: usize = 5_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/test-guests/rogue-classify.wasm"), PathBuf::from);
    let folder = std::env::temp_dir().join(format!("postern-trap-cost-{}", std::process::id()));
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
        config: "misbehave = 'trap'\nwhen = 'boom'".parse()?,
        ..PluginPolicy::default()
    };
    let plugin = runtime.load(path, &|_| policy.clone()).await?;
    let slots = Slots::new();
    slots.activate(Role::Classify, plugin)?;

    let facts = |topic| Facts {
        topic,
        payload: &[7; 256],
        qos: 1,
        retain: false,
        origin: Origin::Client,
        transport: Transport::Tls,
        sender: None,
        relation: Relation::Internal,
        now: 1,
    };
    let (good, bad) = (facts("im/u/bob/alice"), facts("im/u/bob/alice/boom"));
    let answers = || -> Result<Duration, Box<dyn Error>> {
        let began = Instant::now();
        black_box(slots.classify().classify(black_box(&good)))?;
        Ok(began.elapsed())
    };
    for _ in 0..SAMPLES {
        answers()?;
    }
    let mut warm = (0..SAMPLES).map(|_| answers()).collect::<Result<Vec<_>, _>>()?;
    let (mut traps, mut fresh) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let began = Instant::now();
        match black_box(slots.classify().classify(black_box(&bad))) {
            Err(CallError::Down(Down::Trapped)) => traps.push(began.elapsed()),
            other => return Err(format!("it did not trap: {other:?}").into()),
        }
        fresh.push(answers()?);
    }
    tell("a call that answers", &mut warm);
    tell("a call that traps", &mut traps);
    tell("the call after it, with a fresh instance", &mut fresh);
    Ok(())
}

fn tell(what: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let at =
        |percent: usize| samples.get(samples.len() * percent / 100).copied().unwrap_or_default().as_nanos();
    println!("{what}: median {} ns, 99th percentile {} ns", at(50), at(99));
}
