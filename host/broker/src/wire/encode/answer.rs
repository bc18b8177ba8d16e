//! Acknowledgements, DISCONNECT and AUTH.

use super::super::kind::Kind;
use super::super::packet::{Ack, Auth, Disconnect, Packet, SubAck, UserProperties, Version};
use super::super::property as id;
use super::super::reason::ReasonCode;
use super::super::text::Text;
use super::Shape;
use super::sink::{Sink, properties};

/// The four bytes of an acknowledgement of success that says nothing more: nearly all of them.
#[inline]
pub(super) fn short(packet: &Packet) -> Option<[u8; 4]> {
    let (kind, ack) = match packet {
        Packet::PubAck(ack) => (Kind::PubAck, ack),
        Packet::PubRec(ack) => (Kind::PubRec, ack),
        Packet::PubRel(ack) => (Kind::PubRel, ack),
        Packet::PubComp(ack) => (Kind::PubComp, ack),
        _ => return None,
    };
    let silent =
        ack.reason == ReasonCode::Success && ack.reason_string.is_none() && ack.user_properties.is_empty();
    let [high, low] = ack.packet_id.get().to_be_bytes();
    silent.then_some([kind.first_byte(), 2, high, low])
}

impl Shape {
    /// Whether any of these would be written.
    fn has(self, reason_string: &Option<Text>, user_properties: &UserProperties) -> bool {
        self.reason_string && reason_string.is_some() || self.user_properties && !user_properties.is_empty()
    }

    /// Writes a Reason String and user properties as far as this shape has them.
    pub(super) fn diagnostics(
        self,
        reason_string: &Option<Text>,
        user_properties: &UserProperties,
        sink: &mut dyn Sink,
    ) {
        if self.reason_string {
            sink.text_property(id::REASON_STRING, reason_string);
        }
        if self.user_properties {
            sink.user_properties(user_properties);
        }
    }
}

pub(super) fn ack(ack: &Ack, shape: Shape, sink: &mut dyn Sink) {
    sink.u16(ack.packet_id.get());
    let has_properties = shape.has(&ack.reason_string, &ack.user_properties);
    if shape.version != Version::V5 || !has_properties && ack.reason == ReasonCode::Success {
        return;
    }
    sink.u8(ack.reason as u8);
    if has_properties {
        properties(sink, &|sink| shape.diagnostics(&ack.reason_string, &ack.user_properties, sink));
    }
}

pub(super) fn suback(ack: &SubAck, shape: Shape, sink: &mut dyn Sink) {
    sink.u16(ack.packet_id.get());
    if shape.version == Version::V5 {
        properties(sink, &|sink| shape.diagnostics(&ack.reason_string, &ack.user_properties, sink));
    }
    for &reason in &ack.reasons {
        let failed = shape.version != Version::V5 && reason.is_error();
        sink.u8(if failed { ReasonCode::UnspecifiedError } else { reason } as u8);
    }
}

pub(super) fn unsuback(ack: &SubAck, shape: Shape, sink: &mut dyn Sink) {
    if shape.version == Version::V5 {
        suback(ack, shape, sink);
    } else {
        sink.u16(ack.packet_id.get());
    }
}

pub(super) fn disconnect(disconnect: &Disconnect, shape: Shape, sink: &mut dyn Sink) {
    let has_properties = disconnect.session_expiry.is_some()
        || disconnect.server_reference.is_some()
        || shape.has(&disconnect.reason_string, &disconnect.user_properties);
    if shape.version != Version::V5 || !has_properties && disconnect.reason == ReasonCode::Success {
        return;
    }
    sink.u8(disconnect.reason as u8);
    if has_properties {
        properties(sink, &|sink| {
            sink.u32_property(id::SESSION_EXPIRY_INTERVAL, disconnect.session_expiry);
            sink.text_property(id::SERVER_REFERENCE, &disconnect.server_reference);
            shape.diagnostics(&disconnect.reason_string, &disconnect.user_properties, sink);
        });
    }
}

pub(super) fn auth(auth: &Auth, shape: Shape, sink: &mut dyn Sink) {
    let has_properties =
        auth.method.is_some() || auth.data.is_some() || shape.has(&auth.reason_string, &auth.user_properties);
    if !has_properties && auth.reason == ReasonCode::Success {
        return;
    }
    sink.u8(auth.reason as u8);
    properties(sink, &|sink| {
        sink.text_property(id::AUTHENTICATION_METHOD, &auth.method);
        sink.binary_property(id::AUTHENTICATION_DATA, &auth.data);
        shape.diagnostics(&auth.reason_string, &auth.user_properties, sink);
    });
}
