//! MQTT 3.1.1 packets looked at in place: only so far as a generator needs that must be quicker than
//! what it measures. Everything else decodes (pump).

use anyhow::{Result, bail};

/// A packet that has come whole.
pub(crate) enum Frame<'a> {
    /// A message, with its packet id at QoS 1.
    Publish(Option<u16>, &'a [u8]),
    /// The acknowledgement of one of ours.
    PubAck(u16),
    /// What needs no look.
    Other,
}

/// The first packet of `bytes` and its length; None while it has not come whole.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let Some((&head, mut rest)) = bytes.split_first() else { return Ok(None) };
    let (mut len, mut shift) = (0_usize, 0_u32);
    loop {
        let Some((&byte, behind)) = rest.split_first() else { return Ok(None) };
        if shift > 21 {
            bail!("a packet's length has more than four bytes");
        }
        len |= usize::from(byte & 0x7f) << shift;
        (shift, rest) = (shift + 7, behind);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let whole = bytes.len() - rest.len() + len;
    let Some(content) = rest.get(..len) else { return Ok(None) };
    let frame = match head >> 4 {
        3 => message(head, content).ok_or_else(|| anyhow::anyhow!("a PUBLISH is cut off"))?,
        4 => match content.first_chunk() {
            Some(id) => Frame::PubAck(u16::from_be_bytes(*id)),
            None => bail!("a PUBACK without an id"),
        },
        14 => bail!("the server said DISCONNECT"),
        _ => Frame::Other,
    };
    Ok(Some((frame, whole)))
}

fn message(head: u8, content: &[u8]) -> Option<Frame<'_>> {
    let (topic, rest) = content.split_first_chunk()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*topic))..)?;
    if head & 0b0110 == 0 {
        return Some(Frame::Publish(None, rest));
    }
    let (id, body) = rest.split_first_chunk()?;
    Some(Frame::Publish(Some(u16::from_be_bytes(*id)), body))
}

/// The PUBACK of a message.
pub(crate) fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}

/// What a PUBLISH to `topic` begins with, at QoS 0 or 1: all before the packet id and a body of `body` bytes.
pub(crate) fn head(topic: &str, qos1: bool, body: usize) -> Result<Vec<u8>> {
    let mut head = vec![if qos1 { 0x32 } else { 0x30 }];
    let mut len = 2 + topic.len() + if qos1 { 2 } else { 0 } + body;
    while len > 0x7f {
        head.push(u8::try_from(len & 0x7f)? | 0x80);
        len >>= 7;
    }
    head.push(u8::try_from(len)?);
    head.extend(u16::try_from(topic.len())?.to_be_bytes());
    head.extend(topic.as_bytes());
    Ok(head)
}

/// A message of one publisher, again and again with another count and time.
pub(crate) struct Template {
    head: Vec<u8>,
    source: u32,
    filler: Vec<u8>,
}

/// What every body begins with: source, count, microseconds. Bytes.
pub(crate) const STAMP: usize = 16;

impl Template {
    /// A PUBLISH to `topic` with a body of `body` bytes, at least [`STAMP`], at QoS 0 or 1.
    pub(crate) fn new(topic: &str, qos1: bool, source: u32, body: usize) -> Result<Self> {
        let head = head(topic, qos1, body)?;
        Ok(Template { head, source, filler: vec![b'x'; body.saturating_sub(STAMP)] })
    }

    /// Appends the message with this count and time, and a packet id at QoS 1.
    pub(crate) fn write(&self, id: Option<u16>, count: u32, micros: u64, out: &mut bytes::BytesMut) {
        out.extend_from_slice(&self.head);
        if let Some(id) = id {
            out.extend_from_slice(&id.to_be_bytes());
        }
        out.extend_from_slice(&self.source.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&micros.to_be_bytes());
        out.extend_from_slice(&self.filler);
    }
}

/// Source, count and time of a body; None for a foreign one.
pub(crate) fn stamp(body: &[u8]) -> Option<(u32, u32, u64)> {
    let (source, rest) = body.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (micros, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*source), u32::from_be_bytes(*count), u64::from_be_bytes(*micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_writes_is_read_back() {
        for (qos1, id) in [(false, None), (true, Some(0x1234))] {
            for body in [STAMP, 64, 20_000] {
                let mut out = bytes::BytesMut::new();
                Template::new("bench/1/0", qos1, 7, body).unwrap().write(id, 9, 11, &mut out);
                let whole = out.len();
                assert!(first(&out[..whole - 1]).unwrap().is_none());
                let (frame, len) = first(&out).unwrap().unwrap();
                let Frame::Publish(found, content) = frame else { panic!("not a PUBLISH") };
                assert_eq!((found, content.len(), len), (id, body, whole));
                assert_eq!(stamp(content), Some((7, 9, 11)));
            }
        }
    }

    #[test]
    fn acknowledgements_and_others_are_told_apart() {
        assert!(matches!(first(&puback(0x0102)).unwrap(), Some((Frame::PubAck(0x0102), 4))));
        assert!(matches!(first(&[0xd0, 0]).unwrap(), Some((Frame::Other, 2))));
        assert!(first(&[0xe0, 0]).is_err() && first(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(first(&[]).unwrap().is_none() && first(&[0x30, 0x80]).unwrap().is_none());
    }
}
