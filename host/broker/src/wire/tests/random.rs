//! Random packets and random bytes.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::samples::sample;
use super::*;

fn decoder(version: Version, side: Side, packet: &Packet) -> Decoder {
    // A CONNECT tells its own version.
    let known = !matches!(packet, Packet::Connect(_));
    Decoder { version: known.then_some(version), max_packet_size: MAXIMUM, side }
}

/// No answer of a decoder may be worse than a refusal, whatever comes.
fn survives(decoder: Decoder, bytes: &[u8]) {
    match decoder.decode(bytes) {
        Ok(Decoded::Packet { consumed, .. }) => assert!((2..=bytes.len()).contains(&consumed)),
        Ok(Decoded::Incomplete { need }) => assert!(need > bytes.len()),
        Err(error) => assert!(error.reason.is_error()),
    }
}

fn decoders() -> impl Iterator<Item = Decoder> {
    let versions = [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)];
    versions.into_iter().flat_map(|version| {
        [Side::Server, Side::Client].map(|side| Decoder { version, max_packet_size: MAXIMUM, side })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_encoded_is_decoded((version, side, packet) in sample()) {
        let mut out = BytesMut::new();
        encode(&packet, version, &mut out).unwrap();
        prop_assert_eq!(out.len(), encoded_len(&packet, version));
        prop_assert_eq!(accepted(decoder(version, side, &packet), &out), packet);
    }

    #[test]
    fn a_packet_that_is_cut_short_is_incomplete((version, side, packet) in sample(), cut in any::<prop::sample::Index>()) {
        let mut out = BytesMut::new();
        encode(&packet, version, &mut out).unwrap();
        let cut = cut.index(out.len());
        match decoder(version, side, &packet).decode(&out[..cut]) {
            Ok(Decoded::Incomplete { need }) => prop_assert!(need > cut && need <= out.len()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn limits_are_kept((version, _, packet) in sample(), limit in 2u32..400) {
        let mut out = BytesMut::new();
        match encode_within(&packet, version, limit, &mut out) {
            Ok(()) => prop_assert!(!out.is_empty() && out.len() <= limit as usize),
            Err(_) => prop_assert!(out.is_empty()),
        }
    }

    #[test]
    fn mutated_packets_do_no_harm(
        (version, side, packet) in sample(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        (cut, tail) in (any::<prop::sample::Index>(), vec(any::<u8>(), 0..8)),
    ) {
        let mut out = BytesMut::new();
        encode(&packet, version, &mut out).unwrap();
        for (at, value) in changes {
            let at = at.index(out.len());
            out[at] = value;
        }
        // With its length made right again, so that the body is read.
        let body = &out[2.min(out.len())..];
        let framed = frame(out[0], &[body]);
        for decoder in decoders() {
            survives(decoder, &out);
            survives(decoder, &out[..cut.index(out.len())]);
            survives(decoder, &[&out[..], &tail].concat());
            survives(decoder, &framed);
        }
        survives(decoder(version, side, &packet), &framed);
    }

    #[test]
    fn random_bytes_do_no_harm(first in any::<u8>(), body in vec(any::<u8>(), 0..64)) {
        for decoder in decoders() {
            survives(decoder, &body);
            survives(decoder, &frame(first, &[&body]));
        }
        // Past the name and level of a CONNECT.
        for name in [&b"\0\x04MQTT\x05"[..], b"\0\x04MQTT\x04", b"\0\x06MQIsdp\x03"] {
            survives(Decoder::server(MAXIMUM), &frame(0x10, &[name, &body]));
        }
    }
}
