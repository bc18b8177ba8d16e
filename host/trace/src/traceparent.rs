//! `traceparent` of W3C Trace Context: the header of HTTP, the user property of an MQTT 5 PUBLISH.

use std::fmt;
use std::str::FromStr;

use opentelemetry::trace::{SpanId, TraceId};

/// Which trace a peer's request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    pub(crate) trace: TraceId,
    pub(crate) parent: SpanId,
    /// The peer records it, and asks that others do.
    pub(crate) sampled: bool,
}

/// Not of the form that the standard gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent")]
pub struct NoTraceparent;

impl FromStr for Traceparent {
    type Err = NoTraceparent;

    /// Reads version 00, and of later versions what they promise to keep (section 4.3 of the standard).
    fn from_str(text: &str) -> Result<Self, NoTraceparent> {
        let mut fields = text.split('-');
        let mut field = |len: usize| {
            let field = fields.next().filter(|field| field.len() == len).ok_or(NoTraceparent)?;
            let is_hex = field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if is_hex { Ok(field) } else { Err(NoTraceparent) }
        };
        let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let has_more = fields.next().is_some();
        if version == "ff" || (version == "00" && has_more) {
            return Err(NoTraceparent);
        }
        let trace = TraceId::from_hex(trace).map_err(|_| NoTraceparent)?;
        let parent = SpanId::from_hex(parent).map_err(|_| NoTraceparent)?;
        if trace == TraceId::INVALID || parent == SpanId::INVALID {
            return Err(NoTraceparent);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoTraceparent)?;
        Ok(Traceparent { trace, parent, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-0{}", self.trace, self.parent, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_form_is_read_and_written() {
        let parsed: Traceparent = GOOD.parse().unwrap();
        assert!(parsed.sampled);
        assert_eq!(parsed.to_string(), GOOD);
        assert!(!GOOD.replace("-01", "-00").parse::<Traceparent>().unwrap().sampled);
        assert!(GOOD.replace("-01", "-03").parse::<Traceparent>().unwrap().sampled, "flags of later times");
        assert!(GOOD.replace("00-4b", "cc-4b").parse::<Traceparent>().is_ok(), "a later version");
        assert!(format!("{}-more", GOOD.replace("00-4b", "cc-4b")).parse::<Traceparent>().is_ok());
    }

    #[test]
    fn all_else_is_none() {
        for wrong in [
            "",
            "-",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(wrong.parse::<Traceparent>(), Err(NoTraceparent), "{wrong}");
        }
    }
}
