//! Operations on several clients' sessions, against a model of what they must get.
//!
//! What is published arrives at every session that had subscribed, QoS 2 once, in order, over closed
//! windows, lost links, takeovers and expiry; at one member of a shared group; what a client was
//! told is taken was routed, QoS 2 once; a will comes once, and not after a normal end. Queues stay
//! within their limits, nobody sleeps with something to read, and in the end nothing is left.
//!
//! op (what may happen) → world (the broker and what was published) → peer (what one client holds
//! and waits for) · links (how links come and go) · sending (what clients publish)

mod links;
mod op;
mod peer;
mod sending;
mod world;

use crate::script::{self, Ops, from_bytes};
use op::Op;
use world::World;

from_bytes! {
    #[derive(Debug)]
    struct Script {
        /// Limits so small that they are met: then messages may be lost, and all else still holds.
        tight: bool,
        ops: Ops<Op>,
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let script: Script = script::of(bytes);
    let _shown = crate::Shown(&script);
    let mut world = World::new(script.tight);
    for op in &script.ops.0 {
        world.apply(op);
        world.check();
    }
    world.finish();
}
