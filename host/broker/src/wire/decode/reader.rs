//! A cursor over the body of one packet.

use std::ops::Range;

use bytes::Bytes;

use super::super::error::DecodeError;
use super::super::packet::PacketId;
use super::super::property::{Allowed, Set};
use super::super::reason::ReasonCode;
use super::super::text::{Odd, Text, odd};
use super::super::varint::{self, VarInt};

type Result<T> = std::result::Result<T, DecodeError>;

const CUT_SHORT: DecodeError = DecodeError::malformed("a field runs past the end of the packet");
const NUL: DecodeError = DecodeError::malformed("a string holds U+0000 [MQTT-1.5.4-2]");
pub(super) const NOT_UTF8: DecodeError = DecodeError::malformed("a string is not UTF-8 [MQTT-1.5.4-1]");

/// Reads fields in order. Strings and binary data become slices of one shared copy of the body,
/// made when the first of them is met, so that a packet without any costs no allocation.
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    /// Where the part that is being read ends: the body's end, or that of its properties.
    end: usize,
    copy: Option<Bytes>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Reader { body, at: 0, end: body.len(), copy: None }
    }

    /// Bytes left.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The bytes left, without taking them.
    #[inline]
    fn peek(&self) -> &'a [u8] {
        self.body.get(self.at..self.end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.peek().get(..count).ok_or(CUT_SHORT)?;
        self.at += count;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = *self.peek().first_chunk::<N>().ok_or(CUT_SHORT)?;
        self.at += N;
        Ok(taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(super) fn var(&mut self) -> Result<u32> {
        match varint::read(self.peek()) {
            VarInt::Value(value, len) => {
                self.at += len;
                Ok(value)
            }
            VarInt::Incomplete => Err(CUT_SHORT),
            VarInt::TooLong => {
                Err(DecodeError::malformed("a variable byte integer has more than four bytes"))
            }
        }
    }

    /// A byte that is 0 or 1; `what` says which was not.
    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::protocol(what)),
        }
    }

    /// A packet identifier, which is never zero [MQTT-2.2.1-3].
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId> {
        PacketId::new(self.u16()?).ok_or(DecodeError::protocol("packet identifier 0 [MQTT-2.2.1-3]"))
    }

    /// `count` bytes to keep.
    #[inline]
    fn keep(&mut self, count: usize) -> Result<Bytes> {
        let from = self.at;
        self.take(count)?;
        if count == 0 {
            return Ok(Bytes::new());
        }
        let copy = self.copy.get_or_insert_with(|| Bytes::copy_from_slice(self.body));
        Ok(copy.slice(from..from + count))
    }

    /// Binary data behind its two-byte length (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<Bytes> {
        let len = self.u16()?;
        self.keep(usize::from(len))
    }

    /// A UTF-8 string behind its two-byte length [MQTT-1.5.4-1, MQTT-1.5.4-2].
    pub(super) fn text(&mut self) -> Result<Text> {
        self.text_and_odd().map(|(text, _)| text)
    }

    /// A string, and what of it a topic name may not have.
    #[inline]
    pub(super) fn text_and_odd(&mut self) -> Result<(Text, Odd)> {
        let text = Text::try_from(self.binary()?).map_err(|_| NOT_UTF8)?;
        match odd(text.as_bytes()) {
            Odd { nul: true, .. } => Err(NUL),
            odd => Ok((text, odd)),
        }
    }

    /// Where a topic name is in the body. Whether it is UTF-8 shows when it is made a [`Text`].
    #[inline]
    pub(super) fn topic(&mut self) -> Result<Range<usize>> {
        let len = usize::from(self.u16()?);
        let at = self.at;
        match odd(self.take(len)?) {
            Odd { nul: true, .. } => Err(NUL),
            Odd { wildcard: true, .. } => Err(DecodeError::new(
                ReasonCode::TopicNameInvalid,
                "a topic name holds a wildcard [MQTT-3.3.2-2]",
            )),
            _ => Ok(at..at + len),
        }
    }

    /// The copy of the body, and where in it the rest begins.
    #[inline]
    pub(super) fn into_rest(self) -> (Bytes, usize) {
        (self.copy.unwrap_or_else(|| Bytes::copy_from_slice(self.body)), self.at)
    }

    /// Takes a property length of 0, if that is what comes: most packets have no properties.
    #[inline]
    pub(super) fn skip_empty_properties(&mut self) -> bool {
        let empty = self.peek().first() == Some(&0);
        self.at += usize::from(empty);
        empty
    }

    /// Reads a block of properties: `each` gets every identifier and takes its value.
    pub(super) fn properties(
        &mut self,
        allowed: Allowed,
        mut each: impl FnMut(u8, &mut Self) -> Result<()>,
    ) -> Result<()> {
        let len = self.var()? as usize;
        if len == 0 {
            return Ok(());
        }
        if len > self.left() {
            return Err(CUT_SHORT);
        }
        let outer = std::mem::replace(&mut self.end, self.at + len);
        let mut seen = Set::EMPTY;
        while !self.is_empty() {
            let id = self.var()?;
            if !allowed.ids.has(id) {
                return Err(DecodeError::malformed("a property does not belong in this packet"));
            }
            if seen.has(id) && !allowed.repeated.has(id) {
                return Err(DecodeError::protocol("a property comes twice"));
            }
            seen = seen.with(id);
            each(id as u8, self)?;
        }
        self.end = outer;
        Ok(())
    }

    /// A user property's two strings.
    pub(super) fn pair(&mut self) -> Result<(Text, Text)> {
        Ok((self.text()?, self.text()?))
    }

    /// Refuses bytes behind the last field.
    #[inline]
    pub(super) fn finish<T>(&self, packet: T) -> Result<T> {
        if self.is_empty() { Ok(packet) } else { Err(DecodeError::malformed("bytes behind the last field")) }
    }
}
