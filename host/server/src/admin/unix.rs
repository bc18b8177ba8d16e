//! The admin listener on a unix socket.

use axum::Router;
use tokio::net::UnixListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::listen::http::{Peer, serve_peer};

/// Accepts until `stop`; each connection gets a task of `tasks`.
pub async fn serve_unix(listener: UnixListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // Who it is goes to the audit log; the file's permissions have admitted him.
                let uid = stream.peer_cred().map_or(u32::MAX, |cred| cred.uid());
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(serve_peer(stream, Peer::Local(uid), router, stop));
            }
            Err(e) => {
                warn!(error = %e, "admin listener");
                // Out of descriptors: some come free when connections end.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
