//! HTTP on a connection of ours: HTTP/1.1 or HTTP/2 by what the client speaks, bounded in time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};
use tracing::debug;

/// How long a client may take.
#[derive(Clone, Copy)]
struct Patience {
    /// For the head of a request.
    header: Duration,
    /// Between requests.
    idle: Duration,
}

const PATIENCE: Patience = Patience { header: Duration::from_secs(10), idle: Duration::from_secs(60) };
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 32;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A socket on the network.
    Network(SocketAddr),
    /// A process on this machine, by the unix socket; its user id.
    Local(u32),
}

/// Serves HTTP on a stream until the client goes, is idle, or `stop`; handlers find [`Peer`] among
/// the request's extensions.
pub async fn serve<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_peer(stream, Peer::Network(peer), router, stop).await;
}

/// As [`serve`], for any peer.
pub async fn serve_peer<S>(stream: S, peer: Peer, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_patiently(stream, peer, router, stop, PATIENCE).await;
}

async fn serve_patiently<S>(
    stream: S,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
    patience: Patience,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Patience { header, idle } = patience;
    let use_of = Arc::new(Use::default());
    let service = {
        let router = router.layer(Extension(peer));
        let use_of = use_of.clone();
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let at_work = AtWork::begin(&use_of);
            let answer = router.clone().oneshot(request);
            async move {
                let _at_work = at_work;
                answer.await
            }
        })
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(idle / 3)
        .keep_alive_timeout(idle / 3);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);

    // The first check comes early: a client that says nothing at all is gone by the header timeout.
    let mut check = interval(header);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.tick().await;
    let mut quiet = Duration::ZERO;
    let mut seen = 0;
    let mut ending = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(e) = ended {
                    debug!(?peer, error = %e, "HTTP connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                quiet = Duration::ZERO;
                connection.as_mut().graceful_shutdown();
            }
            _ = check.tick() => {
                let (requests, at_work) = use_of.read();
                quiet = if at_work > 0 || requests != seen { Duration::ZERO } else { quiet + header };
                seen = requests;
                if quiet >= idle || (requests == 0 && quiet >= header) {
                    if ending || requests == 0 {
                        return; // told to go one idle time ago, or never said anything
                    }
                    ending = true;
                    quiet = Duration::ZERO;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// How a connection is used.
#[derive(Default)]
struct Use {
    requests: AtomicUsize,
    at_work: AtomicUsize,
}

impl Use {
    fn read(&self) -> (usize, usize) {
        (self.requests.load(Ordering::Relaxed), self.at_work.load(Ordering::Relaxed))
    }
}

/// A request under way.
struct AtWork(Arc<Use>);

impl AtWork {
    fn begin(of: &Arc<Use>) -> Self {
        of.requests.fetch_add(1, Ordering::Relaxed);
        of.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(of.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:9".parse().unwrap()
    }

    fn router() -> Router {
        Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
    }

    async fn impatiently(server: tokio::io::DuplexStream) {
        let header = Duration::from_millis(20);
        let patience = Patience { header, idle: 3 * header };
        serve_patiently(server, Peer::Network(peer()), router(), CancellationToken::new(), patience).await;
    }

    #[tokio::test]
    async fn a_handler_knows_who_asks() {
        let (mut client, server) = tokio::io::duplex(4096);
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(server, peer(), router(), stop.clone()));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("192.0.2.1"), "{answer}");
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_client_is_ended() {
        let (mut client, server) = tokio::io::duplex(4096);
        let task = tokio::spawn(impatiently(server));
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_slow_head_is_ended() {
        let (mut client, server) = tokio::io::duplex(4096);
        let task = tokio::spawn(impatiently(server));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn stop_ends_resting_connections() {
        let (mut client, server) = tokio::io::duplex(4096);
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(server, peer(), router(), stop.clone()));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 16];
        client.read_exact(&mut some).await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }
}
