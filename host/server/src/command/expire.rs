//! What time does to commands and terminals: commands expire, instructions are repeated, idle periods
//! end.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use super::{Commands, state::State};
use crate::clock;

/// How often commands that have expired are looked for.
const STEP: Duration = Duration::from_secs(1);
/// How long a command that has ended can be asked for, in ms.
const KEPT: u64 = 30 * 86_400_000;

/// Runs until it is stopped.
pub async fn run(commands: Arc<Commands>) {
    let mut step = tokio::time::interval(STEP);
    step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (due, next) = commands.links.due(clock::now().0);
        for terminal in due {
            let this = commands.clone();
            commands.tasks.spawn(async move { this.look_at(&terminal).await });
        }
        let until = next.map(|at| Duration::from_millis(at.saturating_sub(clock::now().0)));
        tokio::select! {
            _ = step.tick() => expire(&commands).await,
            () = commands.links.earlier.notified() => {}
            () = tokio::time::sleep(until.unwrap_or(STEP)) => {}
        }
    }
}

async fn expire(commands: &Arc<Commands>) {
    let now = clock::now().0;
    match commands.store.expire(State::Expired.name(), now).await {
        Ok(expired) => {
            for command in expired {
                commands.tell(&command).await;
            }
        }
        Err(e) => warn!(error = %e, "commands"),
    }
    if now % 60_000 < 1_000
        && let Err(e) = commands.store.purge(now.saturating_sub(KEPT)).await
    {
        warn!(error = %e, "commands");
    }
    let (plain, tls) = commands.links.count();
    for (transport, count) in [("plain", plain), ("tls", tls)] {
        metrics::gauge!("postern_terminals", "transport" => transport).set(count as f64);
    }
}
