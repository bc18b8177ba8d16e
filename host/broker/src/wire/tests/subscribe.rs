//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use super::*;
use ReasonCode::{MalformedPacket, ProtocolError};

const ID: &[u8] = &[0, 7];

fn subscribe(version: Version, filter: &str, options: u8) -> Vec<u8> {
    let props: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    frame(0x82, &[ID, props, &text(filter), &[options]])
}

#[test]
fn options_are_read() {
    let bytes = subscribe(Version::V5, "a/#", 0b0010_1110);
    let Packet::Subscribe(subscribe) = accepted(server(Version::V5), &bytes) else { panic!() };
    let [filter] = &subscribe.filters[..] else { panic!() };
    assert_eq!((&*filter.filter, filter.qos), ("a/#", QoS::ExactlyOnce));
    assert!(filter.no_local && filter.retain_as_published);
    assert_eq!(filter.retain_handling, RetainHandling::DoNotSend);
}

#[test]
fn options_are_checked() {
    for options in 0u8..=255 {
        for version in ALL {
            let decoded = server(version).decode(&subscribe(version, "a", options));
            let expected = match version {
                Version::V5 if options & 0b1100_0000 != 0 => Err(MalformedPacket), // [MQTT-3.8.3-5]
                Version::V5 if options & 3 == 3 || options >> 4 == 3 => Err(ProtocolError),
                Version::V5 => Ok(()),
                _ if options > 2 => Err(MalformedPacket), // [MQTT-3-8.3-4]
                _ => Ok(()),
            };
            assert_eq!(decoded.map(drop).map_err(|error| error.reason), expected, "{options:#b}");
        }
    }
}

#[test]
fn no_local_does_not_go_with_shared_subscriptions() {
    let bytes = subscribe(Version::V5, "$share/g/a", 0b100);
    assert_eq!(refused(server(Version::V5), &bytes), ProtocolError);
    accepted(server(Version::V5), &subscribe(Version::V5, "$share/g/a", 0));
    accepted(server(Version::V5), &subscribe(Version::V5, "$shared", 0b100));
}

#[test]
fn there_is_a_filter_and_a_packet_id() {
    for version in ALL {
        let props: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for first in [0x82, 0xA2] {
            let tail = [&text("a")[..], &[0][..if first == 0x82 { 1 } else { 0 }]].concat();
            accepted(server(version), &frame(first, &[ID, props, &tail, &tail]));
            assert_eq!(refused(server(version), &frame(first, &[ID, props])), ProtocolError);
            assert_eq!(refused(server(version), &frame(first, &[&[0, 0], props, &tail])), ProtocolError);
            let cut = frame(first, &[ID, props, &tail[..2]]);
            assert_eq!(refused(server(version), &cut), MalformedPacket);
        }
    }
}

#[test]
fn subscription_ids_are_one_and_not_zero() {
    let with = |property: &[u8]| frame(0x82, &[ID, &props(&[property]), &text("a"), &[0]]);
    let Packet::Subscribe(subscribe) = accepted(server(Version::V5), &with(&[0x0B, 0xFF, 0x7F])) else {
        panic!()
    };
    assert_eq!(subscribe.subscription_id, Some(16_383));
    for (property, reason) in [
        (&[0x0B, 0][..], ProtocolError),
        (&[0x0B, 1, 0x0B, 2], ProtocolError),
        (&[0x0B, 0x80, 0x80, 0x80, 0x80, 0x01], MalformedPacket),
        (b"\x1F\0\x01r", MalformedPacket),
    ] {
        assert_eq!(refused(server(Version::V5), &with(property)), reason, "{property:x?}");
    }
    let unsubscribe = frame(0xA2, &[ID, &props(&[&[0x0B, 1]]), &text("a")]);
    assert_eq!(refused(server(Version::V5), &unsubscribe), MalformedPacket);
}

#[test]
fn acknowledgements_are_read_by_clients() {
    let Packet::SubAck(ack) = accepted(client(Version::V311), &frame(0x90, &[ID, &[0, 1, 2, 0x80]])) else {
        panic!()
    };
    use ReasonCode::{GrantedQoS1, GrantedQoS2, Success, UnspecifiedError};
    assert_eq!(ack.reasons, [Success, GrantedQoS1, GrantedQoS2, UnspecifiedError]);
    let cases: [(Version, u8, &[u8], ReasonCode); 6] = [
        (Version::V311, 0x90, &[3], MalformedPacket), // [MQTT-3.9.3-2]
        (Version::V311, 0x90, &[], ProtocolError),
        (Version::V311, 0xB0, &[0], MalformedPacket), // no codes in 3.x
        (Version::V5, 0x90, &[0, 0x11], ProtocolError), // UNSUBACK's
        (Version::V5, 0xB0, &[0, 0x01], ProtocolError), // SUBACK's
        (Version::V5, 0xB0, &[0], ProtocolError),
    ];
    for (version, first, rest, reason) in cases {
        assert_eq!(refused(client(version), &frame(first, &[ID, rest])), reason, "{rest:x?}");
    }
    accepted(client(Version::V5), &frame(0xB0, &[ID, &[0, 0x11]]));
    accepted(client(Version::V311), &frame(0xB0, &[ID]));
}
