//! The open road: a plain link on which everything that passes is recorded.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// A TCP proxy that listens on a free port for as long as the demo runs.
pub(crate) struct Road {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Road {
    /// A road to `target`, `host:port`.
    pub(crate) fn to(target: &str) -> Result<Road> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, seen) = (listener.local_addr()?.port(), Arc::default());
        let (target, record) = (target.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                for (from, to) in [(client, server), (server_too, client_too)] {
                    let record = Arc::clone(&record);
                    std::thread::spawn(move || carry(from, to, &record));
                }
            }
        });
        Ok(Road { port, seen })
    }

    /// Where to connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many bytes passed, in both directions.
    pub(crate) fn length(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether these bytes passed.
    pub(crate) fn has_seen(&self, bytes: &[u8]) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.windows(bytes.len()).any(|window| window == bytes)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, record: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let Some(read) = bytes.get(..count) else { break };
        record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(read);
        if to.write_all(read).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
