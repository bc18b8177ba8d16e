//! Permit, accept, spawn: the way in. The handshake runs in the connection's own task.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    connection::{Connection, Greeting},
    strangers::{Stranger, Strangers},
};
use crate::login::neighbourhood;

const SECOND: Duration = Duration::from_secs(1);

/// How many connections may be open, in total and from one address.
pub struct Gate {
    room: Arc<Semaphore>,
    per_address: usize,
    per_second: u32,
    by_address: Addresses,
    strangers: Arc<Strangers>,
}

type Addresses = Arc<Mutex<HashMap<IpAddr, Visits>>>;

/// What one address does.
struct Visits {
    open: usize,
    /// The second that is being counted, and the connections in it.
    since: Instant,
    fresh: u32,
}

/// Addresses remembered for their rate alone before the quiet ones are forgotten.
const REMEMBERED: usize = 10_000;

/// A connection's place; given back when dropped.
pub struct Place {
    _room: OwnedSemaphorePermit,
    address: IpAddr,
    by_address: Addresses,
}

impl Gate {
    /// A gate for `total` connections, `per_address` of them from one IP address, which may open
    /// `per_second` new ones a second; `strangers` of them may not have said who they are.
    pub fn new(total: usize, per_address: usize, per_second: u32, strangers: usize) -> Self {
        let room = Arc::new(Semaphore::new(total.min(Semaphore::MAX_PERMITS)));
        let strangers = Strangers::new(strangers);
        Gate { room, per_address, per_second, by_address: Arc::default(), strangers }
    }

    /// The same connections, counted together, with strangers of its own.
    pub fn beside(&self, strangers: usize) -> Self {
        Gate {
            room: self.room.clone(),
            by_address: self.by_address.clone(),
            strangers: Strangers::new(strangers),
            ..*self
        }
    }

    fn admit(&self, room: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = neighbourhood(address);
        let now = Instant::now();
        let mut all = self.by_address.lock();
        if all.len() >= REMEMBERED {
            all.retain(|_, visits| visits.open > 0 || now - visits.since < SECOND);
        }
        let visits = all.entry(address).or_insert(Visits { open: 0, since: now, fresh: 0 });
        if now - visits.since >= SECOND {
            (visits.since, visits.fresh) = (now, 0);
        }
        if visits.open >= self.per_address || visits.fresh >= self.per_second {
            return None;
        }
        visits.open += 1;
        visits.fresh += 1;
        Some(Place { _room: room, address, by_address: self.by_address.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.by_address.lock();
        if let Some(visits) = all.get_mut(&self.address) {
            visits.open -= 1;
            if visits.open == 0 && visits.since.elapsed() >= SECOND {
                all.remove(&self.address);
            }
        }
    }
}

/// Accepts until `stop`; each connection gets a task of `tasks` that runs `serve`, a stranger at first.
pub async fn accept<F>(
    listener: TcpListener,
    gate: Arc<Gate>,
    tasks: TaskTracker,
    stop: CancellationToken,
    serve: F,
) where
    F: Fn(TcpStream, SocketAddr, Stranger) -> Greeting,
{
    loop {
        // Permit first: without room the backlog waits in the kernel, not in our memory.
        let permit = tokio::select! {
            permit = gate.room.clone().acquire_owned() => permit,
            () = stop.cancelled() => return,
        };
        let Ok(permit) = permit else { return };
        let (stream, peer) = tokio::select! {
            accepted = accept_with_backoff(&listener) => accepted,
            () = stop.cancelled() => return,
        };
        let Some(place) = gate.admit(permit, peer.ip()) else {
            metrics::counter!("postern_refused_total", "reason" => "connections-per-address").increment(1);
            debug!(%peer, "too many connections from this address, or too fast");
            continue;
        };
        if let Err(e) = stream.set_nodelay(true) {
            debug!(%peer, error = %e, "TCP_NODELAY");
        }
        let stranger = tokio::select! {
            stranger = gate.strangers.admit() => stranger,
            () = stop.cancelled() => return,
        };
        tasks.spawn(Connection::new(serve(stream, peer, stranger), place));
    }
}

/// An accept that fails for want of descriptors is tried again when some may have come free.
async fn accept_with_backoff(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                warn!(error = %e, "accept");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ipv6_network_counts_as_one_address() {
        let gate = Gate::new(10, 2, 10, 10);
        let admit = async |address: &str| {
            let room = gate.room.clone().acquire_owned().await.unwrap();
            gate.admit(room, address.parse().unwrap())
        };
        let first = admit("2001:db8::1").await.unwrap();
        let _second = admit("2001:db8::2:1").await.unwrap();
        assert!(admit("2001:db8::3").await.is_none());
        assert!(admit("2001:db8:0:1::3").await.is_some(), "another network");
        assert!(admit("::ffff:192.0.2.1").await.is_some(), "not all of IPv4 is one");
        drop(first);
        assert!(admit("2001:db8::3").await.is_some());
        let beside = gate.beside(1);
        assert!(Arc::ptr_eq(&gate.room, &beside.room));
    }
}
