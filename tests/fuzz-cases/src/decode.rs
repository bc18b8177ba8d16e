//! Bytes of a peer, as a link's reads bring them.

use bytes::{Buf, BytesMut};
use postern_broker::wire::{
    DecodeError, Decoded, Decoder, Packet, Side, Version, encode, encode_within, encoded_len,
    payload_is_as_declared,
};

/// The first two bytes choose the decoder, the third how the rest is cut to pieces.
pub(crate) fn run(bytes: &[u8]) {
    let [who, limit, cut, stream @ ..] = bytes else { return };
    let decoder = Decoder {
        version: [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)][usize::from(who % 4)],
        max_packet_size: if *limit < 128 { u32::MAX } else { 4 * (u32::from(*limit) - 126) },
        side: if who & 4 == 0 { Side::Server } else { Side::Client },
    };
    let (whole, end) = decode_in_pieces(decoder, stream, stream.len().max(1));
    let (pieces, end_of_pieces) = decode_in_pieces(decoder, stream, usize::from(*cut).max(1));
    assert_eq!(whole, pieces);
    assert_eq!(end, end_of_pieces);
    if let Some(error) = end {
        assert!(error.reason.is_error() && !error.what.is_empty());
        assert!(error.connect.is_some() || error.connack_version().is_none());
    }
    for (packet, version, size) in &whole {
        goes_around(packet, *version, decoder.side, *size);
    }
}

type Came = Vec<(Packet, Version, usize)>;

/// What a link makes of `stream` when each read brings `piece` bytes; and what ended it.
fn decode_in_pieces(mut decoder: Decoder, stream: &[u8], piece: usize) -> (Came, Option<DecodeError>) {
    let mut came = Vec::new();
    let mut partial = BytesMut::new();
    for read in stream.chunks(piece) {
        partial.extend_from_slice(read);
        loop {
            match decoder.decode(&partial) {
                Ok(Decoded::Packet { packet, consumed }) => {
                    assert!((2..=partial.len()).contains(&consumed));
                    assert!(consumed <= decoder.max_packet_size as usize);
                    if let Packet::Connect(connect) = &packet {
                        decoder.version = Some(connect.version);
                    }
                    partial.advance(consumed);
                    came.push((packet, decoder.version.unwrap(), consumed));
                }
                Ok(Decoded::Incomplete { need }) => {
                    assert!(need > partial.len());
                    break;
                }
                Err(error) => return (came, Some(error)),
            }
        }
    }
    (came, None)
}

/// What was decoded is encoded, in no more bytes than it came in, and is the same again.
fn goes_around(packet: &Packet, version: Version, side: Side, size: usize) {
    let mut out = BytesMut::new();
    encode_within(packet, version, size as u32, &mut out).unwrap();
    assert_eq!(out.len(), encoded_len(packet, version));
    let version_then = if matches!(packet, Packet::Connect(_)) { None } else { Some(version) };
    let decoder = Decoder { version: version_then, max_packet_size: size as u32, side };
    match decoder.decode(&out) {
        Ok(Decoded::Packet { packet: again, consumed }) => {
            assert_eq!((&again, consumed), (packet, out.len()));
            let mut twice = BytesMut::new();
            encode(&again, version, &mut twice).unwrap();
            assert_eq!(twice, out);
        }
        other => panic!("{packet:?} became {other:?}"),
    }
    if let Packet::Publish(publish) = packet {
        payload_is_as_declared(&publish.properties, &publish.payload);
    }
}
