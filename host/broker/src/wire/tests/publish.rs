//! PUBLISH.

use super::*;
use ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid, TopicNameInvalid};

fn publish(decoder: Decoder, bytes: &[u8]) -> Publish {
    match accepted(decoder, bytes) {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_are_read_and_checked() {
    for version in ALL {
        let props: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for flags in 0u8..16 {
            let id: &[u8] = if flags & 0b110 == 0 { &[] } else { &[0, 7] };
            let bytes = frame(0x30 | flags, &[&text("a/b"), id, props, b"payload"]);
            if flags & 0b110 == 0b110 || flags & 0b1110 == 0b1000 {
                // QoS 3 [MQTT-3.3.1-4]; DUP with QoS 0 [MQTT-3.3.1-2]
                assert_eq!(refused(server(version), &bytes), MalformedPacket, "{flags:#b}");
                continue;
            }
            let publish = publish(server(version), &bytes);
            assert_eq!((publish.dup, publish.retain), (flags & 8 != 0, flags & 1 != 0));
            assert_eq!(publish.qos as u8, flags >> 1 & 3);
            assert_eq!(publish.packet_id.map(|id| id.get()), (!id.is_empty()).then_some(7));
            assert_eq!((&*publish.topic, &*publish.payload), ("a/b", &b"payload"[..]));
        }
    }
}

#[test]
fn topics_are_checked() {
    // Wildcards in every place of the scan's words [MQTT-3.3.2-2].
    for at in 0..20 {
        for wildcard in ['+', '#'] {
            let mut topic = "x".repeat(at);
            topic.push(wildcard);
            topic.push_str("yyy");
            for version in ALL {
                let bytes = frame(0x30, &[&text(&topic), &[0]]);
                assert_eq!(refused(server(version), &bytes), TopicNameInvalid, "{topic}");
            }
        }
    }
    for version in ALL {
        assert_eq!(refused(server(version), &frame(0x30, &[&text(""), &[0]])), ProtocolError);
        let bytes = frame(0x30, &[&text("sp ace/ÿ,*\"-~"), &[0]]);
        assert_eq!(publish(server(version), &bytes).topic, "sp ace/ÿ,*\"-~");
    }
}

#[test]
fn packet_id_is_not_zero() {
    for version in ALL {
        for first in [0x32, 0x34] {
            let bytes = frame(first, &[&text("t"), &[0, 0], &[0]]);
            assert_eq!(refused(server(version), &bytes), ProtocolError);
            assert_eq!(refused(server(version), &frame(first, &[&text("t"), &[0]])), MalformedPacket);
        }
    }
}

#[test]
fn payloads_may_be_empty() {
    for (version, props) in [(Version::V311, &[][..]), (Version::V5, &[0])] {
        assert_eq!(publish(server(version), &frame(0x31, &[&text("t"), props])).payload, "");
    }
}

#[test]
fn properties_are_read() {
    let given: [&[u8]; 8] = [
        &[0x01, 1],
        &[0x02, 0, 0, 0, 9],
        &[0x23, 0, 3],
        b"\x08\0\x03r/t",
        b"\x09\0\x02\xFF\0",
        b"\x03\0\x04text",
        b"\x26\0\x01k\0\x01v",
        b"\x26\0\x01k\0\x01v",
    ];
    let bytes = frame(0x30, &[&text(""), &props(&given), b"payload"]);
    let publish = publish(server(Version::V5), &bytes);
    assert_eq!((&*publish.topic, publish.topic_alias), ("", Some(3)));
    let message = publish.properties.unwrap();
    assert_eq!((message.payload_format_utf8, message.message_expiry), (Some(true), Some(9)));
    assert_eq!(message.response_topic.as_deref(), Some("r/t"));
    assert_eq!(message.correlation_data.as_deref(), Some(&[0xFF, 0][..]));
    assert_eq!(message.content_type.as_deref(), Some("text"));
    assert_eq!(message.user_properties.len(), 2);
    assert_eq!(publish.payload, "payload");
}

#[test]
fn bad_properties_are_refused() {
    let cases: [(&[u8], ReasonCode); 11] = [
        (&[0x01, 2], ProtocolError),
        (&[0x01, 1, 0x01, 1], ProtocolError),
        (&[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1], ProtocolError),
        (&[0x23, 0, 0], TopicAliasInvalid), // [MQTT-3.3.2-8]
        (&[0x23, 0, 1, 0x23, 0, 1], ProtocolError),
        (b"\x08\0\x03a/+", ProtocolError), // [MQTT-3.3.2-14]
        (b"\x08\0\0", ProtocolError),
        (b"\x09\0\x01a\x09\0\x01a", ProtocolError),
        (&[0x0B, 1], ProtocolError), // from a client [MQTT-3.3.4-6]
        (&[0x11, 0, 0, 0, 1], MalformedPacket),
        (b"\x1F\0\x01r", MalformedPacket),
    ];
    for (property, reason) in cases {
        let bytes = frame(0x30, &[&text("t"), &props(&[property])]);
        assert_eq!(refused(server(Version::V5), &bytes), reason, "{property:x?}");
    }
}

#[test]
fn servers_send_subscription_ids() {
    let bytes = frame(0x30, &[&text("t"), &props(&[&[0x0B, 1], &[0x0B, 0xFF, 0xFF, 0xFF, 0x7F]])]);
    let publish = publish(client(Version::V5), &bytes);
    assert_eq!(&*publish.subscription_ids, [1, 268_435_455]);
    let bytes = frame(0x30, &[&text("t"), &props(&[&[0x0B, 0]])]);
    assert_eq!(refused(client(Version::V5), &bytes), ProtocolError);
}

#[test]
fn declared_payloads_are_utf8() {
    let text = |utf8| -> PublishProperties {
        Some(Box::new(MessageProperties { payload_format_utf8: utf8, ..MessageProperties::default() }))
    };
    for (properties, payload, good) in [
        (text(Some(true)), &b"ok"[..], true),
        (text(Some(true)), b"\xFF", false),
        (text(Some(false)), b"\xFF", true),
        (text(None), b"\xFF", true),
        (None, b"\xFF", true),
    ] {
        assert_eq!(payload_is_as_declared(&properties, payload), good);
    }
}
