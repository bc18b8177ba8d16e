//! What the terminal agrees to. Pure: facts in, decisions out; time is an argument.

use serde::Serialize;

use crate::DAY_MS;
use crate::keys::InstructionKey;
use crate::message::{Command, Instruction, Outcome, Transport, Untrusted};

/// Why something was not done. Shown in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Not a message of this protocol.
    Malformed,
    /// Signed under a key that is not in the terminal's list.
    UnknownKey,
    /// Signature or MAC is wrong: forged, altered, for another terminal, or made for the other transport.
    Forged,
    /// For another terminal.
    OtherTerminal,
    /// Too late.
    Expired,
    /// Not newer than the last instruction that was followed.
    OldSequence,
    /// The link is on that transport.
    AlreadyThere,
    /// Only TLS may send the terminal to TCP.
    NotOnTls,
    /// A command is being executed, or waits to be reported.
    Busy,
    /// Must be encrypted, and came on plain.
    MustEncrypt,
    /// The journal knows it.
    Known,
    /// It is being executed, or next.
    UnderWay,
    /// More wait than the terminal takes.
    Full,
}

impl From<Untrusted> for Reason {
    fn from(why: Untrusted) -> Self {
        match why {
            Untrusted::Malformed => Reason::Malformed,
            Untrusted::UnknownKey => Reason::UnknownKey,
            Untrusted::Forged => Reason::Forged,
        }
    }
}

/// Where the terminal stands when an instruction comes.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Our id.
    pub terminal: &'a str,
    /// How the link that the instruction came on is carried.
    pub transport: Transport,
    /// Of the instruction followed last; 0 before the first.
    pub last_sequence: u64,
    /// A command is being executed, or waits to be executed or reported.
    pub busy: bool,
    /// Milliseconds since 1970 by the server's clock.
    pub now_ms: u64,
}

/// Whether to follow an instruction.
///
/// # Errors
/// Why it is not followed.
pub fn follow(instruction: &Instruction, standing: Standing<'_>) -> Result<(), Reason> {
    let Standing { terminal, transport, last_sequence, busy, now_ms } = standing;
    if instruction.terminal != terminal {
        return Err(Reason::OtherTerminal);
    }
    if instruction.expires_at <= now_ms {
        return Err(Reason::Expired);
    }
    if instruction.sequence <= last_sequence {
        return Err(Reason::OldSequence);
    }
    match (instruction.to, transport) {
        (Transport::Plain, Transport::Plain) => Err(Reason::NotOnTls),
        (Transport::Tls, Transport::Tls) => Err(Reason::AlreadyThere),
        (Transport::Plain, Transport::Tls) if busy => Err(Reason::Busy),
        _ => Ok(()),
    }
}

/// As [`follow`], from the bytes that came.
///
/// # Errors
/// Why it is not followed, with the instruction if it is one.
pub fn follow_bytes(
    bytes: &[u8],
    keys: &[InstructionKey],
    standing: Standing<'_>,
) -> Result<Instruction, (Reason, Option<Instruction>)> {
    let instruction = Instruction::read(bytes, keys).map_err(|why| (why.into(), None))?;
    match follow(&instruction, standing) {
        Ok(()) => Ok(instruction),
        Err(reason) => Err((reason, Some(instruction))),
    }
}

/// What the terminal knows of a command's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// It waits for the command before it; not in the journal yet.
    Waiting,
    /// It is being executed now.
    Running,
    /// The journal says that it began, and nothing else: the terminal stopped in between.
    Begun,
    /// The journal says how it ended.
    Finished,
}

/// What to do with a command whose MAC is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do nothing, report nothing; count and log.
    Ignore(Reason),
    /// Do nothing, report this.
    Report(Outcome, Reason),
    /// Do nothing, report again what the journal says.
    ReportAgain,
    /// Write it to the journal, then act.
    Execute,
}

/// Whether to execute a command that came on this transport.
pub fn receive(command: &Command, transport: Transport, known: Known, now_ms: u64) -> Decision {
    if command.must_encrypt && transport == Transport::Plain {
        return Decision::Ignore(Reason::MustEncrypt);
    }
    match known {
        // First what happened: a late copy of what was executed is not told as `expired`.
        Known::Finished => Decision::ReportAgain,
        Known::Begun => Decision::Report(Outcome::Unknown, Reason::Known),
        Known::Running => Decision::Report(Outcome::Acknowledged, Reason::UnderWay),
        Known::Waiting => Decision::Ignore(Reason::UnderWay),
        Known::No if command.expires_at <= now_ms => Decision::Report(Outcome::Expired, Reason::Expired),
        Known::No => Decision::Execute,
    }
}

/// Whether the report of a command may go out on this transport.
pub fn may_report(must_encrypt: bool, transport: Transport) -> bool {
    !must_encrypt || transport == Transport::Tls
}

/// Whether the journal may forget a command that expired at `expires_at`.
pub fn may_forget(expires_at: u64, now_ms: u64) -> bool {
    expires_at.saturating_add(DAY_MS) < now_ms
}
