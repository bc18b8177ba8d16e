//! A will is a message like any other: rights, classification and storage apply (A16).

use std::sync::Arc;

use postern_broker::{DueWill, Message, Will};
use postern_trace::follow;
use tracing::{debug, warn};

use super::publish::{Admitted, Arrived, Sender};
use crate::{clock, control::ingest::Outcome, node::Node};

/// Publishes a will whose time has come, on a task of its own; a stop of the node waits for it.
pub fn publish(node: Arc<Node>, due: DueWill) {
    // `connect` put it there: the rights under which the will was accepted.
    let Some(Ok(sender)) = due.will.context.clone().map(|context| context.downcast::<Sender>()) else {
        warn!("a will was not published: its sender is not known");
        return;
    };
    node.tasks.clone().spawn(follow(async move {
        if let Err(why) = run(&node, &sender, due.will).await {
            warn!(why, "a will was not published");
        }
    }));
}

async fn run(node: &Node, sender: &Sender, will: Will) -> Result<(), String> {
    let mut message =
        Message::new(will.topic, will.payload, will.qos, clock::now()).with_properties(will.properties);
    message.retain = will.retain;
    let arrived = Arrived { message, repeats: None };
    sender.may_still_speak(node).await?;
    loop {
        match sender.admit(node, &arrived, None, clock::now()) {
            Admitted::Route(message) => {
                node.broker.publish(&message, None, clock::now());
                return Ok(());
            }
            Admitted::Store(incoming) => {
                let answer = node.ingest.try_submit(*incoming).ok_or("too much waits to be stored")?;
                let outcomes = answer.await.map_err(|e| e.to_string())?;
                debug!(?outcomes, "will stored");
                return match outcomes.into_iter().next() {
                    Some(Outcome::Durable) => Ok(()),
                    Some(Outcome::Refused(why) | Outcome::Unavailable(why) | Outcome::Down(_, why)) => {
                        Err(why)
                    }
                    None => Err("no answer".to_owned()),
                };
            }
            Admitted::Ask(question) => question.await.map_err(|e| e.to_string())?,
            Admitted::Command(..) => return Err("a will is no command".to_owned()),
            Admitted::Refuse(refusal) => {
                refusal.count();
                return Err(refusal.to_string());
            }
        }
    }
}
