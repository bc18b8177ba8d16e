//! The result of a command.

use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{CommandId, MAC, RESULT, Reader, Transport, Untrusted, VERSION, mac_input, put_long, verify};
use crate::keys::CommandKey;

/// How far a command came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is on disk, and will be executed.
    Acknowledged,
    /// Executed.
    Done,
    /// Executed in vain.
    Failed,
    /// It began, and nobody knows how it ended.
    Unknown,
    /// It came too late.
    Expired,
}

impl Outcome {
    const ALL: [Outcome; 5] =
        [Outcome::Acknowledged, Outcome::Done, Outcome::Failed, Outcome::Unknown, Outcome::Expired];

    /// The byte for it.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Acknowledged => 0,
            Outcome::Done => 1,
            Outcome::Failed => 2,
            Outcome::Unknown => 3,
            Outcome::Expired => 4,
        }
    }
}

/// What became of a command: what `cmd/{terminal}/result` carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the command.
    pub id: CommandId,
    /// How far it came.
    pub outcome: Outcome,
    /// What the requester is shown; empty for [`Outcome::Acknowledged`].
    pub body: Vec<u8>,
}

impl Report {
    /// The message's bytes, for this terminal's link on this transport.
    pub fn write(&self, key: &CommandKey, terminal: &str, transport: Transport) -> Vec<u8> {
        let mut bytes = vec![VERSION, RESULT];
        bytes.extend(self.id.0);
        bytes.push(self.outcome.code());
        put_long(&mut bytes, &self.body);
        let message = mac_input(b"postern result", terminal, transport, &bytes);
        bytes.extend(hmac::sign(&key.hmac(), &message).as_ref());
        bytes
    }

    /// Reads what [`Report::write`] wrote. The server's side: for tests.
    ///
    /// # Errors
    /// [`Untrusted::Malformed`] and [`Untrusted::Forged`].
    pub fn read(
        bytes: &[u8],
        key: &CommandKey,
        terminal: &str,
        transport: Transport,
    ) -> Result<Self, Untrusted> {
        let (report, mac) = Self::fields(bytes).ok_or(Untrusted::Malformed)?;
        verify(b"postern result", bytes, mac, key, terminal, transport)?;
        Ok(report)
    }

    fn fields(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::of(bytes, RESULT)?;
        let id = CommandId(reader.array()?);
        let code = reader.u8()?;
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.code() == code)?;
        let body = reader.long()?.to_vec();
        (reader.0.len() == MAC).then_some((Report { id, outcome, body }, reader.0))
    }
}
