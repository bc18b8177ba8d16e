//! A node without the broker role refuses MQTT chat (A2), and says where to turn as well as MQTT can.

use postern_broker::wire::{ConnAck, Packet, Text};
use tokio::time::Instant;

use super::framed::Framed;
use crate::refuse::Refusal;

/// Reads the CONNECT and refuses it, by that time.
pub async fn refuse(mut conn: Framed, by: Instant) {
    let refused = async {
        if let Ok(Packet::Connect(connect)) = conn.next().await {
            let refusal = Refusal::WrongGroup;
            refusal.count();
            let ack = ConnAck {
                reason: refusal.connack_code(),
                reason_string: Some(Text::from(refusal.told())),
                ..ConnAck::default()
            };
            let _ = conn.send(&Packet::ConnAck(Box::new(ack)), connect.version).await;
            let _ = conn.finish().await;
        }
    };
    let _ = tokio::time::timeout_at(by, refused).await;
}
