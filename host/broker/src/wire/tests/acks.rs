//! PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH.

use super::*;
use ReasonCode::{MalformedPacket, PacketIdentifierNotFound, ProtocolError, Success};

const ID: &[u8] = &[0, 7];
const KINDS: [u8; 4] = [0x40, 0x50, 0x62, 0x70];

fn ack(packet: Packet) -> Ack {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => ack,
        other => panic!("{other:?}"),
    }
}

#[test]
fn short_forms_mean_success() {
    for first in KINDS {
        for version in ALL {
            let short = ack(accepted(server(version), &frame(first, &[ID])));
            assert_eq!(short, Ack::new(PacketId::new(7).unwrap(), Success));
        }
        let reason = if first < 0x60 { 0x87 } else { 0x92 };
        for rest in [&[reason][..], &[reason, 0]] {
            let ack = ack(accepted(server(Version::V5), &frame(first, &[ID, rest])));
            assert_eq!(ack.reason as u8, reason);
        }
        let long = frame(first, &[ID, &[0], &props(&[b"\x1F\0\x03why", b"\x26\0\x01k\0\x01v"])]);
        let ack = ack(accepted(server(Version::V5), &long));
        assert_eq!((ack.reason_string.as_deref(), ack.user_properties.len()), (Some("why"), 1));
    }
}

#[test]
fn acks_are_checked() {
    for first in KINDS {
        for version in ALL {
            assert_eq!(refused(server(version), &frame(first, &[&[0, 0]])), ProtocolError);
            assert_eq!(refused(server(version), &frame(first, &[&[7]])), MalformedPacket);
        }
        assert_eq!(refused(server(Version::V311), &frame(first, &[ID, &[0]])), MalformedPacket);
        for (rest, reason) in [
            (&[0x03][..], MalformedPacket),                   // no such code
            (&[0x8E], ProtocolError),                         // another packet's
            (&[0, 0, 0], MalformedPacket),                    // bytes left
            (&[0, 3, 0x11, 0, 0], MalformedPacket),           // another packet's property
            (b"\0\x08\x1F\0\x01a\x1F\0\x01b", ProtocolError), // twice
        ] {
            assert_eq!(refused(server(Version::V5), &frame(first, &[ID, rest])), reason, "{rest:x?}");
        }
    }
    // Each half of QoS 2 has its own codes.
    assert_eq!(refused(server(Version::V5), &frame(0x50, &[ID, &[0x92]])), ProtocolError);
    assert_eq!(refused(server(Version::V5), &frame(0x62, &[ID, &[0x87]])), ProtocolError);
    let rel = ack(accepted(server(Version::V5), &frame(0x62, &[ID, &[0x92]])));
    assert_eq!(rel.reason, PacketIdentifierNotFound);
}

#[test]
fn disconnect_has_short_forms() {
    for version in ALL {
        assert_eq!(accepted(server(version), &[0xE0, 0]), Packet::Disconnect(Disconnect::default()));
    }
    for bytes in [&[0xE0, 1, 4][..], &[0xE0, 2, 4, 0]] {
        let Packet::Disconnect(disconnect) = accepted(server(Version::V5), bytes) else { panic!() };
        assert_eq!(disconnect.reason, ReasonCode::DisconnectWithWill);
    }
    let bytes = frame(0xE0, &[&[0], &props(&[&[0x11, 0, 0, 0, 9], b"\x1F\0\x01r"])]);
    let Packet::Disconnect(disconnect) = accepted(server(Version::V5), &bytes) else { panic!() };
    assert_eq!((disconnect.session_expiry, disconnect.reason_string.as_deref()), (Some(9), Some("r")));
}

#[test]
fn disconnect_is_checked() {
    let cases: [(Decoder, &[u8], ReasonCode); 8] = [
        (server(Version::V311), &[0], MalformedPacket),
        (server(Version::V5), &[0x8B], ProtocolError), // a server's reason
        (client(Version::V5), &[0x04], ProtocolError), // a client's
        (server(Version::V5), &[0x05], MalformedPacket),
        (server(Version::V5), &[0, 0, 0], MalformedPacket),
        (server(Version::V5), &[0, 3, 0x21, 0, 1], MalformedPacket),
        (server(Version::V5), &[0, 10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], ProtocolError),
        (client(Version::V5), &[0, 5, 0x11, 0, 0, 0, 1], ProtocolError), // [MQTT-3.14.2-2]
    ];
    for (decoder, body, reason) in cases {
        assert_eq!(refused(decoder, &frame(0xE0, &[body])), reason, "{body:x?}");
    }
    accepted(client(Version::V5), &frame(0xE0, &[&[0x8B]]));
}

#[test]
fn auth_is_read_and_checked() {
    let bytes = frame(0xF0, &[&[0x18], &props(&[b"\x15\0\x01m", b"\x16\0\x01d"])]);
    for decoder in [server(Version::V5), client(Version::V5)] {
        let Packet::Auth(auth) = accepted(decoder, &bytes) else { panic!() };
        assert_eq!(auth.reason, ReasonCode::ContinueAuthentication);
        assert_eq!((auth.method.as_deref(), auth.data.as_deref()), (Some("m"), Some(&b"d"[..])));
    }
    assert_eq!(accepted(client(Version::V5), &[0xF0, 0]), Packet::Auth(Auth::default()));
    let method: &[u8] = b"\x15\0\x01m";
    let cases: [(Decoder, &[&[u8]], ReasonCode); 6] = [
        (server(Version::V5), &[], ProtocolError), // success is the server's to say
        (server(Version::V5), &[&[0], &props(&[method])], ProtocolError),
        (client(Version::V5), &[&[0x19], &props(&[method])], ProtocolError), // the client's
        (server(Version::V5), &[&[0x18, 0]], ProtocolError),                 // no method
        (server(Version::V5), &[&[0x18]], MalformedPacket),                  // no properties
        (server(Version::V5), &[&[0x18], &props(&[method, method])], ProtocolError),
    ];
    for (decoder, body, reason) in cases {
        assert_eq!(refused(decoder, &frame(0xF0, body)), reason, "{body:x?}");
    }
}
