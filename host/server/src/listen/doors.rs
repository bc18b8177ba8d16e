//! All listeners, opened: each accepted connection goes to its journey.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use postern_trace::next_link;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accept::{Gate, accept},
    bind::{Admin, Bound},
    connection::Greeting,
    handshake::Handshake,
    http,
    strangers::Stranger,
    tls::Certificates,
    wire::{ListenerName, Origin},
};
use crate::{
    admin::{Routers, serve_unix},
    config::Config,
    mqtt::{connect::sign_in, framed::Framed, wrong_group},
    node::Node,
    tasks::Background,
};

/// Connections of the admin and health listeners, each, before the oldest has to go.
const INNER: usize = 32;
/// Places that are there for them: more, so that a probe always comes in, whoever shares its address.
const INNER_ROOM: usize = 4 * INNER;

/// What all listeners share.
pub struct Doors<'a> {
    /// Bounds.
    pub config: &'a Config,
    /// For the TLS listeners.
    pub certificates: Certificates,
    /// Owner of the connections.
    pub tasks: TaskTracker,
    /// Ends accepting.
    pub stop: CancellationToken,
}

impl Doors<'_> {
    /// Accepts on every listener, as work of `doors`. `node` is None where the broker role is not
    /// held: then MQTT clients are refused (A2).
    pub fn open(
        self,
        bound: Bound,
        node: Option<Arc<Node>>,
        application: Router,
        routers: Routers,
        doors: &Background,
    ) {
        let limits = &self.config.limits;
        let gate = Arc::new(Gate::new(
            limits.connections as usize,
            limits.connections_per_address as usize,
            limits.connects_per_address_per_second,
            limits.connections_before_sign_in as usize,
        ));
        // Nobody signs in there: who keeps asking must not send those away who are about to sign in.
        let beside = Arc::new(gate.beside(limits.connections_before_sign_in as usize));
        for (name, listener, _) in bound.public {
            match name {
                ListenerName::Http => doors.spawn(self.https(listener, beside.clone(), application.clone())),
                _ => doors.spawn(self.mqtt(name, listener, gate.clone(), node.clone())),
            }
        }
        let inner = || Arc::new(Gate::new(INNER_ROOM, INNER_ROOM, u32::MAX, INNER));
        match bound.admin {
            Admin::Unix(listener, file) => {
                let serving = serve_unix(listener, routers.admin, self.tasks.clone(), self.stop.clone());
                doors.spawn(async move {
                    let _file = file;
                    serving.await;
                });
            }
            Admin::Network(listener, _) => doors.spawn(self.https(listener, inner(), routers.admin)),
        }
        if let Some((listener, _)) = bound.health {
            // Probes are answered as long as there is something to say: that the node stops, too. Nobody waits
            // for them.
            doors.spawn_until(|stop| {
                let over = stop.clone();
                let serve = move |stream, peer, stranger: Stranger| -> Greeting {
                    let serving = http::serve(stream, peer, routers.health.clone(), over.clone());
                    Box::pin(async move {
                        Box::pin(stranger.while_here(serving)).await;
                        None
                    })
                };
                accept(listener, inner(), TaskTracker::new(), stop, serve)
            });
        }
    }

    fn mqtt(
        &self,
        name: ListenerName,
        listener: TcpListener,
        gate: Arc<Gate>,
        node: Option<Arc<Node>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let limits = &self.config.limits;
        let patience = Duration::from_secs(u64::from(limits.handshake_timeout_secs));
        let max_packet = limits.packet_bytes;
        let handshake = Handshake {
            certificates: self.certificates.clone(),
            max_packet: max_packet as usize,
            origins: self.config.origins.clone(),
        };
        let stop = self.stop.clone();
        let serve = move |stream: TcpStream, peer: SocketAddr, stranger: Stranger| -> Greeting {
            let (handshake, node, stop) = (handshake.clone(), node.clone(), stop.clone());
            Box::pin(async move {
                let origin = Origin { peer, listener: name, link: next_link() };
                // One time for all of it: who takes it for the handshake has none left for the CONNECT.
                let by = Instant::now() + patience;
                let pump = Box::pin(stranger.while_here(origin.work().run(async move {
                    let wire = handshake.perform(stream, origin, by).await?;
                    let conn = Framed::new(wire, max_packet);
                    match node {
                        Some(node) => sign_in(node, conn, origin, by).await,
                        None => {
                            wrong_group::refuse(conn, by).await;
                            None
                        }
                    }
                })));
                while_open(&stop, pump).await.flatten().flatten()
            })
        };
        accept(listener, gate, self.tasks.clone(), self.stop.clone(), serve)
    }

    fn https(
        &self,
        listener: TcpListener,
        gate: Arc<Gate>,
        router: Router,
    ) -> impl Future<Output = ()> + Send + use<> {
        let certificates = self.certificates.clone();
        let patience = Duration::from_secs(u64::from(self.config.limits.handshake_timeout_secs));
        let stop = self.stop.clone();
        let serve = move |stream: TcpStream, peer: SocketAddr, stranger: Stranger| -> Greeting {
            let tls = TlsAcceptor::from(certificates.http());
            let (router, stop) = (router.clone(), stop.clone());
            Box::pin(async move {
                let served = async {
                    let shaken = tokio::time::timeout(patience, tls.accept(stream));
                    match while_open(&stop, shaken).await {
                        Some(Ok(Ok(stream))) => http::serve(stream, peer, router, stop).await,
                        Some(Ok(Err(_))) => count("handshake-failed"),
                        Some(Err(_)) => count("handshake-timeout"),
                        None => {}
                    }
                };
                Box::pin(stranger.while_here(served)).await;
                None
            })
        };
        accept(listener, gate, self.tasks.clone(), self.stop.clone(), serve)
    }
}

/// Does that work of a stranger, unless the node stops meanwhile: a stop waits for links, not for who says nothing.
async fn while_open<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let closed = async {
        stop.cancelled().await;
        tokio::time::sleep(http::STOPPING).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = closed => None,
    }
}

fn count(reason: &'static str) {
    metrics::counter!("postern_refused_total", "reason" => reason).increment(1);
}
