//! What time makes due in the broker: sessions that expire, delayed wills.

use std::{sync::Arc, time::Duration};

use super::will;
use crate::{clock, node::Node};

/// Expiry and delays are given in whole seconds.
const STEP: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
pub async fn run(node: Arc<Node>) {
    let mut step = tokio::time::interval(STEP);
    let expired = &node.broker.stats().sessions_expired;
    let mut seen = expired.get();
    loop {
        step.tick().await;
        for due in node.broker.tick(clock::now()) {
            will::publish(node.clone(), due);
        }
        let now = expired.get();
        if now != seen {
            seen = now;
            node.ids.retain(|session| node.broker.session(session).is_some());
        }
    }
}
