//! Where fields go: into a buffer, or into a count of what they would take.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::packet::UserProperties;
use super::super::property as id;
use super::super::text::Text;
use super::super::varint;

/// Takes the fields of a packet. Writing to [`Count`] and to a buffer is the same code, so a size
/// can never differ from what is written.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn var(&mut self, value: usize) {
        let (bytes, len) = varint::bytes(value);
        self.bytes(bytes.get(..len).unwrap_or_default());
    }

    /// A string or binary data behind its two-byte length.
    fn field(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16);
        self.bytes(bytes);
    }

    fn byte_property(&mut self, id: u8, value: Option<u8>) {
        if let Some(value) = value {
            self.u8(id);
            self.u8(value);
        }
    }

    fn u16_property(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id);
            self.u16(value);
        }
    }

    fn u32_property(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id);
            self.u32(value);
        }
    }

    fn var_property(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id);
            self.var(value as usize);
        }
    }

    fn text_property(&mut self, id: u8, value: &Option<Text>) {
        if let Some(value) = value {
            self.u8(id);
            self.field(value.as_bytes());
        }
    }

    fn binary_property(&mut self, id: u8, value: &Option<Bytes>) {
        if let Some(value) = value {
            self.u8(id);
            self.field(value);
        }
    }

    fn user_properties(&mut self, properties: &UserProperties) {
        for (name, value) in properties {
            self.u8(id::USER_PROPERTY);
            self.field(name.as_bytes());
            self.field(value.as_bytes());
        }
    }
}

impl Sink for BytesMut {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }

    #[inline]
    fn u8(&mut self, value: u8) {
        self.put_u8(value);
    }
}

/// Counts instead of writing.
#[derive(Default)]
pub(super) struct Count {
    pub(super) bytes: usize,
    /// A field did not fit its two-byte length.
    pub(super) field_too_long: bool,
}

impl Sink for Count {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }

    #[inline]
    fn field(&mut self, bytes: &[u8]) {
        self.field_too_long |= bytes.len() > usize::from(u16::MAX);
        self.bytes += 2 + bytes.len();
    }
}

/// Writes properties with their length in front.
pub(super) fn properties(sink: &mut dyn Sink, write: &dyn Fn(&mut dyn Sink)) {
    let mut count = Count::default();
    write(&mut count);
    sink.var(count.bytes);
    write(sink);
}
