//! The id of the work at hand, and how it is found by whoever writes a log line.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::{SpanId, TraceId};
use ring::rand::SecureRandom;

/// A piece of work: what it is known by, and the span that is open for it, if it is traced.
///
/// Written as `4bf92f3577b34da6a3ce929d0e0e4736` (a trace id), `9f3c21-17` (the 17th link of a process)
/// or `9f3c21-17-345` (the 345th packet on it); a traced one crosses the bus with its span behind a `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    id: Id,
    /// The open span; 0 when the work is not traced. For many at once: whether one of them is.
    span: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Id {
    /// Nobody's: what the host does by itself.
    #[default]
    None,
    /// Of a link, and a packet on it, from 1; 0 is the link as a whole.
    Packet { process: u32, packet: u32, link: u64 },
    /// Of a trace, sampled or not.
    Trace([u8; 16]),
    /// Of several: [`MANY`] has them.
    Many,
}

thread_local! {
    static NOW: Cell<Work> = const { Cell::new(Work { id: Id::None, span: 0 }) };
    /// What is worked on together, while that is what runs on this thread.
    static MANY: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// Ids of one log line, at most; a batch may have thousands.
const SHOWN: usize = 32;

/// The next link's number, from 1.
pub fn next_link() -> u64 {
    static LINKS: AtomicU64 = AtomicU64::new(0);
    LINKS.fetch_add(1, Ordering::Relaxed) + 1
}

/// What tells this process's links from those of others and of its earlier lives: 24 random bits.
pub fn process() -> u32 {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    *PROCESS.get_or_init(|| {
        let mut bytes = [0; 4];
        // Without randomness the ids are still distinct within the process.
        let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
        u32::from_be_bytes(bytes) >> 8
    })
}

impl Work {
    /// A link, whatever comes on it.
    pub fn link(link: u64) -> Work {
        Work { id: Id::Packet { process: process(), packet: 0, link }, span: 0 }
    }

    /// A packet of a link, by its number from 1.
    #[must_use]
    pub fn packet(self, packet: u32) -> Work {
        match self.id {
            Id::Packet { process, link, .. } => Work { id: Id::Packet { process, packet, link }, span: 0 },
            _ => self,
        }
    }

    /// A trace, and the span of it that is open; none when it is not sampled.
    pub(crate) fn trace(trace: TraceId, span: Option<SpanId>) -> Work {
        let span = span.map_or(0, |span| u64::from_be_bytes(span.to_bytes()));
        Work { id: Id::Trace(trace.to_bytes()), span }
    }

    /// Several at once.
    pub(crate) fn many(works: &[Work]) -> Work {
        Work { id: Id::Many, span: u64::from(works.iter().any(|work| work.is_traced())) }
    }

    /// What this thread works at.
    #[inline]
    pub fn now() -> Work {
        NOW.get()
    }

    /// Whether spans are recorded of it.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.span != 0
    }

    /// Whether it is nobody's.
    pub fn is_none(&self) -> bool {
        self.id == Id::None
    }

    pub(crate) fn is_many(&self) -> bool {
        self.id == Id::Many
    }

    /// The trace and its open span, when it is traced.
    pub(crate) fn parent(&self) -> Option<(TraceId, SpanId)> {
        match self.id {
            Id::Trace(trace) if self.span != 0 => {
                Some((TraceId::from_bytes(trace), SpanId::from_bytes(self.span.to_be_bytes())))
            }
            _ => None,
        }
    }

    /// From now on this thread works at it, until what this gives is dropped.
    #[inline]
    pub fn enter(self) -> Entered {
        Entered { before: NOW.replace(self) }
    }

    /// As it crosses the bus; none for nobody's work, and for several at once.
    pub fn carried(&self) -> Option<String> {
        match (self.id, self.span) {
            (Id::None | Id::Many, _) => None,
            (_, 0) => Some(self.to_string()),
            (_, span) => Some(format!("{self}/{span:016x}")),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Id::None | Id::Many => f.write_str("-"),
            Id::Packet { process, packet: 0, link } => write!(f, "{process:06x}-{link}"),
            Id::Packet { process, packet, link } => write!(f, "{process:06x}-{link}-{packet}"),
            Id::Trace(trace) => write!(f, "{:032x}", u128::from_be_bytes(trace)),
        }
    }
}

/// No id of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no id of a piece of work")]
pub struct NoId;

impl FromStr for Work {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Work, NoId> {
        let (id, span) = match text.split_once('/') {
            Some((id, span)) => (id, u64::from_str_radix(span, 16).map_err(|_| NoId)?),
            None => (text, 0),
        };
        let mut parts = id.split('-');
        let (first, link, packet) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let id = match link {
            None if first.len() == 32 => {
                Id::Trace(u128::from_str_radix(first, 16).map_err(|_| NoId)?.to_be_bytes())
            }
            None => return Err(NoId),
            Some(link) => Id::Packet {
                process: u32::from_str_radix(first, 16).map_err(|_| NoId)?,
                packet: packet.unwrap_or("0").parse().map_err(|_| NoId)?,
                link: link.parse().map_err(|_| NoId)?,
            },
        };
        Ok(Work { id, span })
    }
}

/// While this is there, the thread works at what was entered.
#[must_use = "it ends when this is dropped"]
#[derive(Debug)]
pub struct Entered {
    before: Work,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        NOW.set(self.before);
    }
}

/// The same for several at once: they lie in `works` while they are not worked at.
pub(crate) struct EnteredMany<'a> {
    works: &'a mut Vec<Work>,
    _entered: Entered,
}

impl<'a> EnteredMany<'a> {
    pub(crate) fn new(all: Work, works: &'a mut Vec<Work>) -> Self {
        swap(works);
        EnteredMany { works, _entered: all.enter() }
    }
}

impl Drop for EnteredMany<'_> {
    fn drop(&mut self) {
        swap(self.works);
    }
}

fn swap(works: &mut Vec<Work>) {
    MANY.with_borrow_mut(|many| std::mem::swap(many, works));
}

/// What this thread works at, one by one.
pub(crate) fn all() -> Vec<Work> {
    match NOW.get() {
        now if now.is_many() => MANY.with_borrow(Clone::clone),
        now => vec![now],
    }
}

/// The ids of what this thread works at, separated by spaces; at most 32 of them, and how many more there
/// are.
pub struct Ids(Work);

/// What a log line written now belongs to; none when that is nobody's work.
pub fn ids() -> Option<Ids> {
    let now = NOW.get();
    (!now.is_none()).then_some(Ids(now))
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_many() {
            return self.0.fmt(f);
        }
        MANY.with_borrow(|many| {
            for (n, work) in many.iter().take(SHOWN).enumerate() {
                if n > 0 {
                    f.write_str(" ")?;
                }
                work.fmt(f)?;
            }
            match many.len().saturating_sub(SHOWN) {
                0 => Ok(()),
                more => write!(f, " +{more}"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_crosses_the_bus_and_is_the_same() {
        let trace = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let traced = Work::trace(trace, Some(SpanId::from_hex("00f067aa0ba902b7").unwrap()));
        assert_eq!(traced.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let link = Work::link(17);
        assert!(link.packet(3).to_string().ends_with("-17-3"));
        for work in [traced, Work::trace(trace, None), link, link.packet(345)] {
            assert_eq!(work.carried().unwrap().parse(), Ok(work));
        }
        assert_eq!(Work::default().carried(), None);
        for nonsense in ["", "-", "a", "1-2-x", "4bf92f", "zz-1", "1-2/x"] {
            assert_eq!(nonsense.parse::<Work>(), Err(NoId), "{nonsense}");
        }
    }

    #[test]
    fn what_is_entered_is_left_again() {
        assert!(ids().is_none());
        let (link, packet) = (Work::link(1), Work::link(1).packet(2));
        {
            let _link = link.enter();
            {
                let _packet = packet.enter();
                assert_eq!(ids().unwrap().to_string(), packet.to_string());
            }
            assert_eq!(Work::now(), link);
        }
        assert!(ids().is_none());
    }

    #[test]
    fn a_batch_shows_a_bounded_number() {
        let mut works: Vec<Work> = (1..=SHOWN as u32 + 5).map(|n| Work::link(1).packet(n)).collect();
        let count = works.len();
        {
            let _entered = EnteredMany::new(Work::many(&works.clone()), &mut works);
            let text = ids().unwrap().to_string();
            assert!(
                text.starts_with(&Work::link(1).packet(1).to_string()) && text.ends_with(" +5"),
                "{text}"
            );
        }
        assert_eq!(works.len(), count);
    }
}
