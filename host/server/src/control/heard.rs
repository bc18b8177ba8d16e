//! What a broker node hears on the bus and acts on: revocations, renewals, presence, the directory.

use std::sync::Arc;

use postern_bus::BusError;
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use super::{
    people::CHANGED,
    wire::{PresenceChange, Renewed, RevokeTokens, Revoked},
};
use crate::{node::Node, tasks::Background};

/// Listens until the bus closes.
///
/// # Errors
/// When the bus takes no subscription.
pub async fn listen(node: &Arc<Node>, tasks: &Background) -> Result<(), BusError> {
    hear(node, tasks, Revoked::SUBJECT, |node, revoked: Revoked| {
        for id in revoked.tokens {
            node.live.end(&RevokeTokens::Token { id }, &node.broker);
        }
    })
    .await?;
    hear(node, tasks, RevokeTokens::ENDING, |node, which: RevokeTokens| {
        node.live.end(&which, &node.broker);
    })
    .await?;
    hear(node, tasks, Renewed::SUBJECT, |node, renewed: Renewed| {
        node.live.renew(&renewed.old, &renewed.new, renewed.expires_at);
    })
    .await?;
    hear(node, tasks, PresenceChange::SUBJECT, |node, change: PresenceChange| node.presence.changed(change))
        .await?;
    hear(node, tasks, CHANGED, |node, _: serde_json::Value| {
        node.people.forget();
        debug!("the directory changed");
    })
    .await
}

async fn hear<T, F>(
    node: &Arc<Node>,
    tasks: &Background,
    subject: &'static str,
    act: F,
) -> Result<(), BusError>
where
    T: DeserializeOwned,
    F: Fn(&Node, T) + Send + 'static,
{
    let mut told = node.bus.subscribe(subject).await?;
    let node = node.clone();
    tasks.spawn(async move {
        while let Some(body) = told.next().await {
            match serde_json::from_slice(&body) {
                Ok(what) => act(&node, what),
                Err(e) => warn!(subject, error = %e, "not understood"),
            }
        }
    });
    Ok(())
}
