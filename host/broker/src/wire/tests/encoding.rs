//! What is written, and what is left out.

use bytes::BytesMut;

use super::*;

fn bytes(packet: &Packet, version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap();
    assert_eq!(out.len(), encoded_len(packet, version));
    out.to_vec()
}

fn id() -> PacketId {
    PacketId::new(7).unwrap()
}

fn refusal() -> Ack {
    Ack {
        reason_string: Some("why".into()),
        user_properties: vec![("key".into(), "value".into())],
        ..Ack::new(id(), ReasonCode::NotAuthorized)
    }
}

#[test]
fn acks_take_their_shortest_form() {
    let success = Packet::PubAck(Ack::new(id(), ReasonCode::Success));
    let refused = Packet::PubRec(Ack::new(id(), ReasonCode::NotAuthorized));
    for version in ALL {
        assert_eq!(bytes(&success, version), [0x40, 2, 0, 7]);
    }
    assert_eq!(bytes(&refused, Version::V5), [0x50, 3, 0, 7, 0x87]);
    assert_eq!(bytes(&refused, Version::V311), [0x50, 2, 0, 7]);
    assert_eq!(bytes(&Packet::Disconnect(Disconnect::default()), Version::V5), [0xE0, 0]);
    assert_eq!(bytes(&Packet::Auth(Auth::default()), Version::V5), [0xF0, 0]);
}

#[test]
fn older_versions_get_their_own_codes() {
    let connack =
        |reason| Packet::ConnAck(Box::new(ConnAck { reason, session_present: true, ..ConnAck::default() }));
    for (reason, code) in [
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::NotAuthorized, 5),
    ] {
        assert_eq!(bytes(&connack(reason), Version::V311), [0x20, 2, 0, code]);
    }
    assert_eq!(bytes(&connack(ReasonCode::Success), Version::V311), [0x20, 2, 1, 0]);
    assert_eq!(bytes(&connack(ReasonCode::Success), Version::V31), [0x20, 2, 0, 0]);

    let reasons = vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    let ack = SubAck { packet_id: id(), reason_string: None, user_properties: Vec::new(), reasons };
    assert_eq!(bytes(&Packet::SubAck(ack.clone()), Version::V311), [0x90, 4, 0, 7, 1, 0x80]);
    assert_eq!(bytes(&Packet::SubAck(ack.clone()), Version::V5), [0x90, 5, 0, 7, 0, 1, 0x87]);
    assert_eq!(bytes(&Packet::UnsubAck(ack), Version::V311), [0xB0, 2, 0, 7]);
    let auth = encode(&Packet::Auth(Auth::default()), Version::V311, &mut BytesMut::new());
    assert_eq!(auth, Err(EncodeError::NotInVersion));
}

#[test]
fn answers_lose_their_diagnostics_before_they_are_too_large() {
    let whole = encoded_len(&Packet::PubAck(refusal()), Version::V5) as u32;
    let mut sizes = Vec::new();
    for limit in (5..=whole).rev() {
        let mut out = BytesMut::new();
        encode_within(&Packet::PubAck(refusal()), Version::V5, limit, &mut out).unwrap();
        assert!(out.len() <= limit as usize);
        let Packet::PubAck(ack) = accepted(client(Version::V5), &out) else { panic!() };
        assert_eq!(ack.reason, ReasonCode::NotAuthorized);
        sizes.push((ack.reason_string.is_some(), ack.user_properties.len()));
    }
    sizes.dedup();
    assert_eq!(sizes, [(true, 1), (true, 0), (false, 0)]);
    let mut out = BytesMut::new();
    let error = encode_within(&Packet::PubAck(refusal()), Version::V5, 4, &mut out);
    assert_eq!(error, Err(EncodeError::TooLarge { size: 5, limit: 4 }));
    assert!(out.is_empty());
    let success = Packet::PubAck(Ack::new(id(), ReasonCode::Success));
    let error = encode_within(&success, Version::V5, 3, &mut out);
    assert_eq!(error, Err(EncodeError::TooLarge { size: 4, limit: 3 }));
}

#[test]
fn a_reason_string_that_is_too_long_is_left_out() {
    let ack = Ack { reason_string: Some("x".repeat(65_536).into()), ..refusal() };
    let mut out = BytesMut::new();
    encode(&Packet::PubAck(ack), Version::V5, &mut out).unwrap();
    assert_eq!(out, [0x40, 3, 0, 7, 0x87][..]);
    let filters = vec!["x".repeat(65_536).into()];
    let unsubscribe = Unsubscribe { packet_id: id(), user_properties: Vec::new(), filters };
    let error = encode(&Packet::Unsubscribe(unsubscribe), Version::V5, &mut out);
    assert_eq!((error, out.len()), (Err(EncodeError::FieldTooLong), 5));
}

fn written(header: &PublishHeader<'_>, version: Version) -> Vec<u8> {
    let message = MessageProperties {
        message_expiry: Some(100),
        content_type: Some("c".into()),
        ..MessageProperties::default()
    };
    let mut out = BytesMut::from(&b"before"[..]);
    encode_publish(header, "a/b", b"hi", Some(&message), version, &mut out).unwrap();
    assert_eq!(out.len() - 6, publish_len(header, "a/b", 2, Some(&message), version));
    out.split_off(6).to_vec()
}

#[test]
fn publishes_carry_what_is_this_subscribers() {
    let header = PublishHeader {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: true,
        packet_id: Some(id()),
        alias: Some(2),
        send_topic: false,
        subscription_ids: &[1, 300],
        message_expiry: Some(42),
    };
    let Packet::Publish(publish) = accepted(client(Version::V5), &written(&header, Version::V5)) else {
        panic!()
    };
    assert!(publish.dup && publish.retain);
    assert_eq!((&*publish.topic, publish.topic_alias), ("", Some(2)));
    assert_eq!(&*publish.subscription_ids, [1, 300]);
    let message = publish.properties.unwrap();
    // What is left of it, not what came [MQTT-3.3.2-6].
    assert_eq!((message.message_expiry, message.content_type.as_deref()), (Some(42), Some("c")));
    // MQTT 3.1.1 has no alias: the topic goes along, and nothing of the rest.
    assert_eq!(written(&header, Version::V311), b"\x3B\x09\0\x03a/b\0\x07hi");
    // QoS 0 has neither packet identifier nor DUP.
    let header = PublishHeader { qos: QoS::AtMostOnce, ..header };
    assert_eq!(written(&header, Version::V31), b"\x31\x07\0\x03a/bhi");
}

#[test]
fn publishes_that_cannot_go_write_nothing() {
    let mut out = BytesMut::new();
    let header = PublishHeader { qos: QoS::AtLeastOnce, ..PublishHeader::default() };
    let error = encode_publish(&header, "t", b"", None, Version::V5, &mut out);
    assert_eq!(error, Err(EncodeError::NoPacketId));
    let long = "x".repeat(65_536);
    let error = encode_publish(&PublishHeader::default(), &long, b"", None, Version::V5, &mut out);
    assert_eq!((error, out.len()), (Err(EncodeError::FieldTooLong), 0));
}
