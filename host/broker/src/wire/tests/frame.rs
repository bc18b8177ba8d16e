//! Fixed headers, sizes, and which packet is whose.

use super::*;
use ReasonCode::{MalformedPacket, PacketTooLarge, ProtocolError};

#[test]
fn a_packet_that_is_not_whole_says_what_it_needs() {
    let ping = [0xC0, 0x00];
    let publish = frame(0x30, &[&text("a/b"), &[0u8; 200]]);
    for (bytes, need) in [(&[][..], 2), (&ping[..1], 2), (&publish[..1], 2), (&publish[..2], 3)] {
        assert_eq!(server(Version::V311).decode(bytes), Ok(Decoded::Incomplete { need }));
    }
    for cut in 3..publish.len() {
        let decoded = server(Version::V311).decode(&publish[..cut]);
        assert_eq!(decoded, Ok(Decoded::Incomplete { need: publish.len() }));
    }
}

#[test]
fn what_follows_a_packet_is_left_alone() {
    let decoded = server(Version::V5).decode(&[0xC0, 0x00, 0xFF, 0xFF]);
    assert_eq!(decoded, Ok(Decoded::Packet { packet: Packet::PingReq, consumed: 2 }));
}

#[test]
fn remaining_length_has_at_most_four_bytes() {
    let long = [0x30, 0x80, 0x80, 0x80, 0x80];
    assert_eq!(refused(server(Version::V311), &long), MalformedPacket);
    // Longer than needed, and readable.
    assert_eq!(accepted(server(Version::V311), &[0xC0, 0x80, 0x80, 0x00]), Packet::PingReq);
}

#[test]
fn size_is_refused_at_the_header() {
    let decoder = Decoder { max_packet_size: 20, ..server(Version::V5) };
    assert_eq!(decoder.decode(&[0x30, 18]), Ok(Decoded::Incomplete { need: 20 }));
    assert_eq!(refused(decoder, &[0x30, 19]), PacketTooLarge);
    let largest = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    assert_eq!(refused(decoder, &largest), PacketTooLarge);
    let open = Decoder { max_packet_size: u32::MAX, ..decoder };
    assert_eq!(open.decode(&largest), Ok(Decoded::Incomplete { need: 5 + MAX_REMAINING_LENGTH }));
}

#[test]
fn reserved_flags_are_refused_before_the_body_is_there() {
    for kind in 1u8..=15 {
        for flags in 0u8..16 {
            let decoder = if matches!(kind, 2 | 9 | 11 | 13) { client } else { server }(Version::V5);
            let good = kind == 3 || flags == if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
            let decoded = decoder.decode(&[kind << 4 | flags]);
            let expected = if good { Ok(Decoded::Incomplete { need: 2 }) } else { Err(MalformedPacket) };
            assert_eq!(decoded.map_err(|error| error.reason), expected, "type {kind} flags {flags}");
        }
    }
    assert_eq!(refused(server(Version::V311), &[0x00, 0x00]), MalformedPacket);
}

#[test]
fn mqtt_31_may_repeat_packets_of_qos_1() {
    for first in [0x6A, 0x8A, 0xAA] {
        assert_eq!(server(Version::V31).decode(&[first]), Ok(Decoded::Incomplete { need: 2 }));
        assert_eq!(refused(server(Version::V311), &[first]), MalformedPacket);
    }
}

#[test]
fn only_connect_comes_first() {
    let fresh = Decoder::server(MAXIMUM);
    for first in [0x20, 0x30, 0x3B, 0x40, 0x82, 0xC0, 0xE0, 0xF0] {
        assert_eq!(refused(fresh, &[first]), ProtocolError, "{first:#x}");
    }
    // The first bytes of a TLS handshake and of an HTTP request on the wrong port.
    for first in [0x16, b'G'] {
        assert!(fresh.decode(&[first]).is_err());
    }
    assert_eq!(fresh.decode(&[0x10]), Ok(Decoded::Incomplete { need: 2 }));
}

#[test]
fn each_side_sends_its_own_packets() {
    for first in [0x20, 0x90, 0xB0, 0xD0] {
        assert_eq!(refused(server(Version::V5), &[first]), ProtocolError, "{first:#x}");
    }
    for first in [0x10, 0x82, 0xA2, 0xC0] {
        assert_eq!(refused(client(Version::V5), &[first]), ProtocolError, "{first:#x}");
    }
    assert_eq!(refused(client(Version::V311), &[0xE0, 0x00]), ProtocolError);
    assert_eq!(refused(server(Version::V311), &[0xF0, 0x00]), MalformedPacket);
}

#[test]
fn empty_packets_have_no_body() {
    for first in [0xC0, 0xE0] {
        assert_eq!(refused(server(Version::V311), &[first, 1, 0]), MalformedPacket);
    }
    assert_eq!(refused(client(Version::V5), &[0xD0, 1, 0]), MalformedPacket);
}

#[test]
fn strings_are_utf8_without_nul() {
    let bad: [&[u8]; 6] = [
        &[0xC0, 0x80],             // U+0000, overlong
        &[0xED, 0xA0, 0x80],       // U+D800, a surrogate [MQTT-1.5.4-1]
        &[0xFF],                   // no UTF-8 at all
        &[0xE2, 0x82],             // cut short
        &[0xF4, 0x90, 0x80, 0x80], // over U+10FFFF
        &[b'a', 0, b'b'],          // U+0000 [MQTT-1.5.4-2]
    ];
    for (version, bytes) in ALL.into_iter().flat_map(|version| bad.map(|bytes| (version, bytes))) {
        // Three places in eights, as the scan goes.
        for pad in [0, 7, 20] {
            let topic = [&vec![b'x'; pad][..], bytes].concat();
            let len = (topic.len() as u16).to_be_bytes();
            let packet = frame(0x30, &[&len, &topic, &[0]]);
            assert_eq!(refused(server(version), &packet), MalformedPacket, "{version:?} {bytes:x?}");
        }
    }
    // U+FEFF is a character like others [MQTT-1.5.4-3].
    let packet = frame(0x30, &[&text("\u{FEFF}a")]);
    let Packet::Publish(publish) = accepted(server(Version::V311), &packet) else { panic!() };
    assert_eq!(publish.topic, "\u{FEFF}a");
}

#[test]
fn fields_end_inside_their_packet() {
    let packet = frame(0x30, &[&[0, 9], b"short"]);
    assert_eq!(refused(server(Version::V311), &packet), MalformedPacket);
    // Properties that say to be longer than the packet.
    let packet = frame(0x30, &[&text("t"), &[5, 0x01]]);
    assert_eq!(refused(server(Version::V5), &packet), MalformedPacket);
    // A property's value that runs out of the properties, though not out of the packet.
    let packet = frame(0x30, &[&text("t"), &[3, 0x02, 0, 0], &[0; 20]]);
    assert_eq!(refused(server(Version::V5), &packet), MalformedPacket);
}

#[test]
fn packets_share_one_copy_of_their_body() {
    let packet = frame(0x30, &[&text("a/topic"), b"the payload"]);
    let Packet::Publish(publish) = accepted(server(Version::V311), &packet) else { panic!() };
    let topic = publish.topic.as_bytes().as_ptr() as usize;
    assert_eq!(publish.payload.as_ptr() as usize, topic + "a/topic".len());
}
