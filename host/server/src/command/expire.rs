//! What time does to commands and terminals: commands expire, instructions are repeated, idle periods
//! end.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use super::{Commands, state::State};
use crate::clock;

/// How often commands that have expired are looked for.
const STEP: Duration = Duration::from_secs(1);
/// How often what is kept for a while is tidied up.
const TIDY: Duration = Duration::from_secs(60);
/// How long a command that has ended can be asked for, in ms.
const KEPT: u64 = 30 * 86_400_000;
/// How long after its expiry the terminal may still say what became of a command that it was sent, in ms: it
/// keeps its journal as long.
const GRACE: u64 = 86_400_000;

/// Looks after terminals when it is time, until it is stopped.
pub async fn look_after(commands: Arc<Commands>) {
    loop {
        let (due, next) = commands.links.due(clock::now().0);
        for terminal in due {
            let this = commands.clone();
            commands.tasks.spawn(async move { this.look_at(&terminal).await });
        }
        let until = next.map(|at| Duration::from_millis(at.saturating_sub(clock::now().0)));
        tokio::select! {
            () = commands.links.earlier.notified() => {}
            () = tokio::time::sleep(until.unwrap_or(TIDY)) => {}
        }
    }
}

/// Ends commands whose time is over, until it is stopped.
pub async fn run(commands: Arc<Commands>) {
    let interval = |every| {
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval
    };
    let (mut step, mut tidy) = (interval(STEP), interval(TIDY));
    loop {
        tokio::select! {
            _ = step.tick() => expire(&commands).await,
            _ = tidy.tick() => {
                let now = clock::now().0;
                commands.links.tidy(now);
                commands.write_accounts().await;
                if let Err(e) = commands.store.purge(now.saturating_sub(KEPT)).await {
                    warn!(error = %e, "commands");
                }
            }
        }
    }
}

async fn expire(commands: &Arc<Commands>) {
    let now = clock::now().0;
    let unsent = commands.store.expire(&State::Sent.after(), State::Expired.name(), now, now).await;
    let sent = [State::Sent.name(), State::Acknowledged.name()];
    let silent = commands.store.expire(&sent, State::Unknown.name(), now.saturating_sub(GRACE), now).await;
    for ended in [unsent, silent] {
        match ended {
            Ok(ended) => {
                for command in ended {
                    commands.tell(&command).await;
                }
            }
            Err(e) => warn!(error = %e, "commands"),
        }
    }
    let (plain, tls) = commands.links.count();
    for (transport, count) in [("plain", plain), ("tls", tls)] {
        metrics::gauge!("postern_terminals", "transport" => transport).set(count as f64);
        // Looked at each second: what they spend on either transport, all together.
        let seconds = u64::try_from(count).unwrap_or(u64::MAX);
        metrics::counter!("postern_terminal_seconds_total", "transport" => transport).increment(seconds);
    }
}
