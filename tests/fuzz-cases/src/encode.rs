//! Any packet, written for a peer with any limit.

mod packets;

use arbitrary::Unstructured;
use bytes::BytesMut;
use postern_broker::wire::{
    Decoded, Decoder, EncodeError, Packet, Side, Version, encode, encode_within, encoded_len,
};

use packets::Maker;

pub(crate) fn run(bytes: &[u8]) {
    // Ends when the bytes do.
    let _ = packets_of(&mut Unstructured::new(bytes));
}

fn packets_of(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    while !u.is_empty() {
        let version = *u.choose(&[Version::V5, Version::V311, Version::V31])?;
        let side = *u.choose(&[Side::Server, Side::Client])?;
        let limit = if u.arbitrary()? { u32::MAX } else { u.int_in_range(0..=255)? };
        let good = u.arbitrary()?;
        let mut maker = Maker { u, good, version };
        let packet = maker.packet(side)?;
        let _shown = crate::Shown(&packet);
        if good {
            good_packet(&packet, version, side, limit);
        } else {
            any_packet(&packet, version, side, limit);
        }
    }
    Ok(())
}

/// Packets that are no packets of MQTT: written within the limit or not at all.
fn any_packet(packet: &Packet, version: Version, side: Side, limit: u32) {
    let mut out = BytesMut::from(&b"before"[..]);
    match encode_within(packet, version, limit, &mut out) {
        Ok(()) => {
            let written = &out[6..];
            assert!(!written.is_empty() && written.len() <= limit as usize);
            assert!(written.len() <= encoded_len(packet, version));
            if let Some(read) = decode(packet, version, side, written) {
                let mut again = BytesMut::new();
                encode(&read, version, &mut again).unwrap();
                assert!(again.len() <= written.len());
            }
        }
        Err(error) => {
            assert_eq!(&out[..], b"before", "{error}");
            if let EncodeError::TooLarge { size, limit } = error {
                assert!(size > limit);
            }
        }
    }
}

/// A packet of MQTT 5 is read as it was written; one of 3.x without what 3.x lacks. An answer for a
/// peer that takes little loses what may be left out, and nothing more.
fn good_packet(packet: &Packet, version: Version, side: Side, limit: u32) {
    let mut out = BytesMut::new();
    if encode_within(packet, version, u32::MAX, &mut out) == Err(EncodeError::NotInVersion) {
        assert_eq!(encoded_len(packet, version), 0);
        return;
    }
    assert_eq!(out.len(), encoded_len(packet, version));
    let read = decode(packet, version, side, &out).expect("it is read");
    let mut again = BytesMut::new();
    encode(&read, version, &mut again).unwrap();
    assert_eq!(again, out);
    if version == Version::V5 {
        assert_eq!(read, *packet);
    }

    let mut within = BytesMut::new();
    match encode_within(packet, version, limit, &mut within) {
        Ok(()) => {
            assert!(within.len() <= limit as usize);
            let cut = decode(packet, version, side, &within).expect("it is read");
            let fewer = without(read.clone(), false);
            assert!(cut == read || cut == fewer || cut == without(fewer.clone(), true), "{cut:?}");
            assert_eq!(cut == read, out.len() <= limit as usize);
        }
        Err(error) => {
            assert!(within.is_empty() && matches!(error, EncodeError::TooLarge { .. }));
            let least = without(without(read, false), true);
            assert!(encoded_len(&least, version) > limit as usize);
        }
    }
}

fn decode(packet: &Packet, version: Version, side: Side, bytes: &[u8]) -> Option<Packet> {
    // A CONNECT tells its own version.
    let version = (!matches!(packet, Packet::Connect(_))).then_some(version);
    let decoder = Decoder { version, max_packet_size: u32::MAX, side };
    match decoder.decode(bytes) {
        Ok(Decoded::Packet { packet, consumed }) => {
            assert_eq!(consumed, bytes.len());
            Some(packet)
        }
        Ok(Decoded::Incomplete { need }) => panic!("{need} bytes needed, {} written", bytes.len()),
        Err(_) => None,
    }
}

/// An answer without user properties, or without its reason string.
fn without(mut packet: Packet, string: bool) -> Packet {
    let (reason_string, user_properties) = match &mut packet {
        Packet::ConnAck(p) => (&mut p.reason_string, &mut p.user_properties),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            (&mut p.reason_string, &mut p.user_properties)
        }
        Packet::SubAck(p) | Packet::UnsubAck(p) => (&mut p.reason_string, &mut p.user_properties),
        Packet::Disconnect(p) => (&mut p.reason_string, &mut p.user_properties),
        Packet::Auth(p) => (&mut p.reason_string, &mut p.user_properties),
        _ => return packet,
    };
    if string {
        *reason_string = None;
    } else {
        user_properties.clear();
    }
    packet
}
