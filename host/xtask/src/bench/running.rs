//! A server under measurement, ours or another.

use anyhow::Result;

use super::peer::Peer;
use crate::server::Server;

/// A running broker; ends when dropped.
pub(super) struct Running {
    pub(super) tcp: String,
    pub(super) tls: String,
    pub(super) id: u32,
    _process: Process,
}

#[allow(dead_code)] // held for their ends
enum Process {
    Ours(Server),
    Peer(Peer),
}

impl Running {
    /// A Postern.
    pub(super) fn ours(server: Server) -> Result<Self> {
        Ok(Running {
            tcp: server.address("tcp")?.to_owned(),
            tls: server.address("tls")?.to_owned(),
            id: server.id(),
            _process: Process::Ours(server),
        })
    }

    /// Another broker.
    pub(super) fn peer(peer: Peer) -> Self {
        Running {
            tcp: peer.address.clone(),
            tls: peer.tls.clone(),
            id: peer.id(),
            _process: Process::Peer(peer),
        }
    }
}
