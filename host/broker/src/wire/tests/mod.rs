//! Tests of the wire format: tables of bytes per family of statements, and random packets.

mod acks;
mod connect;
mod encoding;
mod frame;
mod publish;
mod random;
mod samples;
mod subscribe;

use super::*;

/// The largest packet in these tests, in bytes.
const MAXIMUM: u32 = 1 << 20;

const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn server(version: Version) -> Decoder {
    Decoder { version: Some(version), ..Decoder::server(MAXIMUM) }
}

fn client(version: Version) -> Decoder {
    Decoder::client(version, MAXIMUM)
}

/// A packet from its first byte and the parts of its body.
fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let (len, count) = varint::bytes(body.len());
    [&[first], &len[..count], &body].concat()
}

/// A string as a field.
fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u16).to_be_bytes(), value.as_bytes()].concat()
}

/// Properties with their length.
fn props(parts: &[&[u8]]) -> Vec<u8> {
    frame(0, parts).split_off(1)
}

#[track_caller]
fn accepted(decoder: Decoder, bytes: &[u8]) -> Packet {
    match decoder.decode(bytes) {
        Ok(Decoded::Packet { packet, consumed }) => {
            assert_eq!(consumed, bytes.len());
            packet
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(decoder: Decoder, bytes: &[u8]) -> ReasonCode {
    match decoder.decode(bytes) {
        Err(error) => error.reason,
        Ok(other) => panic!("{other:?}"),
    }
}
