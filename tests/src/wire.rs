//! A wire between a client and the server that records what passes, and can be cut.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What passed, in one direction, over all connections.
type Recording = Arc<Mutex<Vec<u8>>>;

/// A TCP proxy. Everything that a person in the middle of a plain link could see is in its recordings.
#[derive(Debug)]
pub struct Wire {
    address: String,
    up: Recording,
    down: Recording,
    cut: watch::Sender<u64>,
}

impl Wire {
    /// A wire to `target`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (up, down, cut) = (Recording::default(), Recording::default(), watch::Sender::new(0));
        let (target, records, cuts) = (target.to_owned(), (up.clone(), down.clone()), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(copy(from_client, to_server, records.0.clone(), cuts.subscribe()));
                tokio::spawn(copy(from_server, to_client, records.1.clone(), cuts.subscribe()));
            }
        });
        Wire { address, up, down, cut }
    }

    /// Where to connect instead of to the target.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What went to the server.
    pub fn up(&self) -> Vec<u8> {
        self.up.lock().unwrap().clone()
    }

    /// What came from the server.
    pub fn down(&self) -> Vec<u8> {
        self.down.lock().unwrap().clone()
    }

    /// Ends all connections at once, without a goodbye.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    record: Recording,
    mut cut: watch::Receiver<u64>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = cut.changed() => 0,
        };
        record.lock().unwrap().extend_from_slice(&bytes[..read]);
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
