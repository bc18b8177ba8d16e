//! A TCP proxy that counts what passes: payload bytes of TCP each way, and the segments they need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Payload bytes of one TCP segment on Ethernet: 1,500 less IPv4 and TCP headers with timestamps.
const SEGMENT: u64 = 1_448;

/// The counts of one proxy.
#[derive(Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    segments: AtomicU64,
}

/// What passed between two moments.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Bytes {
    /// Payload bytes to the server.
    pub(crate) up: u64,
    /// Payload bytes from the server.
    pub(crate) down: u64,
    /// Segments with payload, both ways: each write of an end, cut where a segment is full.
    pub(crate) segments: u64,
}

impl std::ops::Sub for Bytes {
    type Output = Bytes;

    fn sub(self, former: Bytes) -> Bytes {
        Bytes {
            up: self.up.saturating_sub(former.up),
            down: self.down.saturating_sub(former.down),
            segments: self.segments.saturating_sub(former.segments),
        }
    }
}

/// A counting proxy.
pub(crate) struct Tally {
    /// Where to connect instead of to the server.
    pub(crate) address: String,
    counts: Arc<Counts>,
}

impl Tally {
    /// In front of `target`.
    pub(crate) async fn before(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let counts = Arc::new(Counts::default());
        let (target, for_task) = (target.to_owned(), counts.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
                    continue;
                }
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(copy(from_client, to_server, for_task.clone(), |counts| &counts.up));
                tokio::spawn(copy(from_server, to_client, for_task.clone(), |counts| &counts.down));
            }
        });
        Ok(Tally { address, counts })
    }

    /// What has passed so far.
    pub(crate) fn so_far(&self) -> Bytes {
        Bytes {
            up: self.counts.up.load(Relaxed),
            down: self.counts.down.load(Relaxed),
            segments: self.counts.segments.load(Relaxed),
        }
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    counts: Arc<Counts>,
    of: fn(&Counts) -> &AtomicU64,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        of(&counts).fetch_add(bytes, Relaxed);
        counts.segments.fetch_add(bytes.div_ceil(SEGMENT), Relaxed);
        if to.write_all(buffer.get(..read).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}
