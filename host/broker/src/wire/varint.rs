//! Variable Byte Integers (5.0, section 1.5.5).

/// The largest Remaining Length, in bytes.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// What the front of a slice holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarInt {
    /// A value, and the bytes it took.
    Value(u32, usize),
    /// More bytes are needed.
    Incomplete,
    /// A fifth byte would follow.
    TooLong,
}

/// Reads one. Encodings that are longer than needed are accepted up to four bytes.
#[inline]
pub(crate) fn read(input: &[u8]) -> VarInt {
    let mut value = 0u32;
    for (at, byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return VarInt::Value(value, at + 1);
        }
    }
    if input.len() < 4 { VarInt::Incomplete } else { VarInt::TooLong }
}

/// Bytes that `value` takes on the wire.
#[inline]
pub(crate) const fn len(value: usize) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// The bytes of `value`, and how many of them count.
#[inline]
pub(crate) const fn bytes(value: usize) -> ([u8; 4], usize) {
    let count = len(value);
    (
        [
            (value & 0x7F) as u8 | if count > 1 { 0x80 } else { 0 },
            ((value >> 7) & 0x7F) as u8 | if count > 2 { 0x80 } else { 0 },
            ((value >> 14) & 0x7F) as u8 | if count > 3 { 0x80 } else { 0 },
            ((value >> 21) & 0x7F) as u8,
        ],
        count,
    )
}
