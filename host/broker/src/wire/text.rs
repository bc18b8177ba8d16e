//! UTF-8 strings that share their bytes with the packet they came in.

pub use bytestring::ByteString as Text;

/// The same text in bytes of its own, so that a small text does not keep a large packet alive.
pub fn detached(text: &Text) -> Text {
    Text::from(&**text)
}

/// Characters that some texts may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    /// U+0000.
    pub(crate) nul: bool,
    /// `+` or `#`.
    pub(crate) wildcard: bool,
}

/// Looks for them, eight bytes at a time: every topic name that comes in goes through here.
#[inline]
pub(crate) fn odd(text: &[u8]) -> Odd {
    /// Not zero when a byte of `word` is `byte` ("Bit Twiddling Hacks", determine if a word has a
    /// byte equal to n).
    const fn has(word: u64, byte: u8) -> u64 {
        const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
        let zero_there = word ^ u64::from_ne_bytes([byte; 8]);
        zero_there.wrapping_sub(ONES) & !zero_there & (ONES << 7)
    }
    let (mut nul, mut wildcard) = (0, 0);
    let mut look = |word: u64| {
        nul |= has(word, 0);
        wildcard |= has(word, b'+') | has(word, b'#');
    };
    let (words, tail) = text.as_chunks::<8>();
    words.iter().for_each(|word| look(u64::from_ne_bytes(*word)));
    // Bytes already seen do no harm: a tail is the last word, or the whole of a short text.
    match text.last_chunk::<8>() {
        Some(word) => look(u64::from_ne_bytes(*word)),
        None => tail.iter().for_each(|&byte| look(u64::from_ne_bytes([byte; 8]))),
    }
    Odd { nul: nul != 0, wildcard: wildcard != 0 }
}
