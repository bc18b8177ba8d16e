//! HTTP on a connection of ours: HTTP/1.1 or HTTP/2 by what the client speaks, bounded in time.

use std::{
    net::SocketAddr,
    pin::pin,
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
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::{io::InspectWriter, sync::CancellationToken};
use tower::{ServiceExt, service_fn};
use tracing::debug;

/// How long a client may take.
#[derive(Clone, Copy)]
struct Patience {
    /// For the head of a request.
    header: Duration,
    /// Between requests, and between two pieces of an answer that the client takes.
    idle: Duration,
    /// When the node stops, to go on with a request that has begun to come.
    stopping: Duration,
}

const PATIENCE: Patience =
    Patience { header: Duration::from_secs(10), idle: Duration::from_secs(60), stopping: STOPPING };
/// How long a peer who is about to ask or to sign in when the node stops has to go on, and to hear that it stops.
pub(super) const STOPPING: Duration = Duration::from_secs(3);
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 32;
/// Bytes of an answer that count as one taken: PINGs of HTTP/2 are less, all that go out in an idle time.
const PART_OF_ANSWER: usize = 128;
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
    let Patience { header, idle, stopping } = patience;
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
    // What is taken of a long answer is use, too; an answer that nobody takes is none.
    let (sent, mut part) = (use_of.clone(), 0);
    let stream = InspectWriter::new(stream, move |written: &[u8]| {
        part += written.len();
        if part >= PART_OF_ANSWER {
            part = 0;
            sent.moved();
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);

    // The first check comes early: a client that says nothing at all is gone by the header timeout.
    let mut check = interval(header);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.tick().await;
    let mut quiet = Duration::ZERO;
    let mut seen = 0;
    let mut ending = false;
    let mut seen_stopping = 0;
    let mut leave = pin!(sleep(stopping));
    let mut stopped = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(e) = ended {
                    debug!(?peer, error = %e, "HTTP connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !stopped => {
                (stopped, ending) = (true, true);
                quiet = Duration::ZERO;
                connection.as_mut().graceful_shutdown();
                (seen_stopping, _) = use_of.read();
                leave.as_mut().reset(Instant::now() + stopping);
            }
            () = &mut leave, if stopped => {
                // A stop waits for answers that are made or taken, not for who has begun to ask and does not go on.
                let (moves, at_work) = use_of.read();
                if at_work == 0 && moves == seen_stopping {
                    return;
                }
                seen_stopping = moves;
                leave.as_mut().reset(Instant::now() + stopping);
            }
            _ = check.tick() => {
                let (moves, at_work) = use_of.read();
                quiet = if at_work > 0 || moves != seen { Duration::ZERO } else { quiet + header };
                seen = moves;
                if quiet >= idle || (moves == 0 && quiet >= header) {
                    if ending || moves == 0 {
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
    /// Requests that came, and writes of what answers them.
    moves: AtomicUsize,
    at_work: AtomicUsize,
}

impl Use {
    fn read(&self) -> (usize, usize) {
        (self.moves.load(Ordering::Relaxed), self.at_work.load(Ordering::Relaxed))
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request under way.
struct AtWork(Arc<Use>);

impl AtWork {
    fn begin(of: &Arc<Use>) -> Self {
        of.moved();
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
    use std::convert::Infallible;

    use axum::{body::Body, routing::get};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:9".parse().unwrap()
    }

    fn router() -> Router {
        Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
    }

    const TICK: Duration = Duration::from_millis(20);

    async fn impatiently(server: tokio::io::DuplexStream) {
        answering(router(), server).await;
    }

    async fn answering(router: Router, server: tokio::io::DuplexStream) {
        let patience = Patience { header: TICK, idle: 3 * TICK, stopping: TICK };
        serve_patiently(server, Peer::Network(peer()), router, CancellationToken::new(), patience).await;
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

    /// An answer that takes several times as long as a connection may rest.
    #[tokio::test]
    async fn an_answer_that_is_taken_is_use() {
        let (mut client, server) = tokio::io::duplex(1024);
        let pieces = || {
            stream::unfold(0, |n| async move {
                sleep(TICK / 2).await;
                (n < 50).then(|| (Ok::<_, Infallible>("piece of an answer ".repeat(20)), n + 1))
            })
        };
        let router = Router::new().route("/", get(move || async move { Body::from_stream(pieces()) }));
        tokio::spawn(answering(router, server));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.matches("piece of an answer").count(), 50 * 20, "{answer}");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_ended() {
        let (mut client, server) = tokio::io::duplex(64);
        let endless = || stream::repeat_with(|| Ok::<_, Infallible>("and again "));
        let router = Router::new().route("/", get(move || async move { Body::from_stream(endless()) }));
        let task = tokio::spawn(answering(router, server));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn stop_does_not_wait_for_half_a_head() {
        let (mut client, server) = tokio::io::duplex(16);
        let stop = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        let patience = Patience { header: hour, idle: hour, stopping: TICK };
        let task =
            tokio::spawn(serve_patiently(server, Peer::Network(peer()), router(), stop.clone(), patience));
        // More than the pipe holds: when it is written, some has been read.
        client.write_all(b"GET / HTTP/1.1\r\nhost: example.com\r\n").await.unwrap();
        stop.cancel();
        tokio::time::timeout(hour / 360, task).await.expect("it ends").unwrap();
    }

    /// One that is long in the making, and then comes in many pieces.
    #[tokio::test]
    async fn stop_waits_for_an_answer() {
        let (mut client, server) = tokio::io::duplex(256);
        let (asked, came) = tokio::sync::oneshot::channel();
        let asked = Arc::new(parking_lot::Mutex::new(Some(asked)));
        let answer = move || {
            let asked = asked.clone();
            async move {
                asked.lock().take().unwrap().send(()).unwrap();
                sleep(5 * TICK).await;
                "all of it ".repeat(100)
            }
        };
        let stop = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        let patience = Patience { header: hour, idle: hour, stopping: TICK };
        let router = Router::new().route("/", get(answer));
        let serving = serve_patiently(server, Peer::Network(peer()), router, stop.clone(), patience);
        let task = tokio::spawn(serving);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        came.await.unwrap();
        stop.cancel();
        let (mut answer, mut some) = (Vec::new(), [0; 64]);
        loop {
            match client.read(&mut some).await.unwrap() {
                0 => break,
                n => answer.extend_from_slice(&some[..n]),
            }
        }
        assert!(answer.ends_with(&b"all of it ".repeat(100)), "{}", String::from_utf8_lossy(&answer));
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
