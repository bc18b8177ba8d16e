//! The four messages, byte by byte. Any bytes may come: what is not a message is an error, never a panic.

mod report;

use std::fmt;

use ring::{hmac, signature};
use serde::{Serialize, Serializer};

use crate::keys::{CommandKey, InstructionKey};

pub use report::{Outcome, Report};

const VERSION: u8 = 1;
const INSTRUCTION: u8 = 1;
const COMMAND: u8 = 2;
const QUERY: u8 = 3;
const RESULT: u8 = 4;

/// Length of a MAC, bytes.
const MAC: usize = 32;
/// Length of an Ed25519 signature, bytes.
const SIGNATURE: usize = 64;

/// How a link is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Plain TCP: the open road.
    Plain,
    /// TLS.
    Tls,
}

impl Transport {
    /// As proofs and MACs name it: `plain` or `tls`.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Plain => "plain",
            Transport::Tls => "tls",
        }
    }

    /// The listener for it: `tcp` or `tls`.
    pub fn listener(self) -> &'static str {
        match self {
            Transport::Plain => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// Why bytes are not a message to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// Too short, too long, or of an unknown version or kind.
    Malformed,
    /// Signed under a key that is not in the list.
    UnknownKey,
    /// A wrong signature or MAC.
    Forged,
}

/// A command's id; shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub [u8; 16]);

impl CommandId {
    /// The id that is shown so.
    pub fn parse(hex: &str) -> Option<Self> {
        let ok = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        u128::from_str_radix(hex, 16).ok().filter(|_| ok).map(|id| CommandId(id.to_be_bytes()))
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where to sign in next: what `link/{terminal}` carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Names the key that signed it.
    pub key_id: [u8; 4],
    /// Where to.
    pub to: Transport,
    /// Greater than that of every instruction followed before.
    pub sequence: u64,
    /// Milliseconds since 1970 by the server's clock.
    pub expires_at: u64,
    /// Makes no two alike.
    pub nonce: [u8; 16],
    /// Whom it is for: a user id of at most 255 bytes.
    pub terminal: String,
}

impl Instruction {
    /// Reads an instruction that a key of `keys` has signed. Whom it is for, and whether it still holds, is
    /// left to [`crate::rules::follow`].
    ///
    /// # Errors
    /// [`Untrusted`], as its cases say.
    pub fn read(bytes: &[u8], keys: &[InstructionKey]) -> Result<Self, Untrusted> {
        let (instruction, rest) = Self::fields(bytes).ok_or(Untrusted::Malformed)?;
        let signed = bytes.get(..bytes.len().saturating_sub(SIGNATURE)).ok_or(Untrusted::Malformed)?;
        let message = [b"postern instruction", signed].concat();
        let mut named = keys.iter().filter_map(|key| key.if_named(instruction.key_id)).peekable();
        if named.peek().is_none() {
            return Err(Untrusted::UnknownKey);
        }
        let good = |key: Vec<u8>| {
            signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(&message, rest).is_ok()
        };
        if named.any(good) { Ok(instruction) } else { Err(Untrusted::Forged) }
    }

    /// The fields, and the 64 bytes of the signature.
    fn fields(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::of(bytes, INSTRUCTION)?;
        let key_id = reader.array()?;
        let to = match reader.u8()? {
            0 => Transport::Plain,
            1 => Transport::Tls,
            _ => return None,
        };
        let (sequence, expires_at, nonce) = (reader.u64()?, reader.u64()?, reader.array()?);
        let length = reader.u8()?.into();
        let terminal = String::from_utf8(reader.take(length)?.to_vec()).ok()?;
        let instruction = Instruction { key_id, to, sequence, expires_at, nonce, terminal };
        (reader.0.len() == SIGNATURE).then_some((instruction, reader.0))
    }

    /// The message's bytes. The server's side: for tests and vectors.
    pub fn write(&self, key: &signature::Ed25519KeyPair) -> Vec<u8> {
        let mut bytes = vec![VERSION, INSTRUCTION];
        bytes.extend(self.key_id);
        bytes.push(u8::from(self.to == Transport::Tls));
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.expires_at.to_be_bytes());
        bytes.extend(self.nonce);
        put_short(&mut bytes, self.terminal.as_bytes());
        let signature = key.sign(&[b"postern instruction", &bytes[..]].concat());
        bytes.extend(signature.as_ref());
        bytes
    }
}

/// What waits for me? What `cmd/{terminal}/query` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// An instruction may come in a DISCONNECT 0x9C.
    pub understands_disconnect: bool,
    /// As in the CONNECT, seconds.
    pub keep_alive_secs: u16,
}

impl Query {
    /// The message's 5 bytes.
    pub fn write(&self) -> Vec<u8> {
        let [high, low] = self.keep_alive_secs.to_be_bytes();
        vec![VERSION, QUERY, self.understands_disconnect.into(), high, low]
    }
}

/// What to do: what `cmd/{terminal}/do` carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Executed once, however often it comes.
    pub id: CommandId,
    /// It, and its result, travel on TLS only.
    pub must_encrypt: bool,
    /// Counts a terminal's commands.
    pub sequence: u64,
    /// Milliseconds since 1970 by the server's clock.
    pub expires_at: u64,
    /// Such as `remote-control`; at most 255 bytes.
    pub class: String,
    /// What the actor gets.
    pub body: Vec<u8>,
}

impl Command {
    /// Reads a command that was made under `key` for this terminal on this transport.
    ///
    /// # Errors
    /// [`Untrusted::Malformed`] and [`Untrusted::Forged`].
    pub fn read(
        bytes: &[u8],
        key: &CommandKey,
        terminal: &str,
        transport: Transport,
    ) -> Result<Self, Untrusted> {
        let (command, mac) = Self::fields(bytes).ok_or(Untrusted::Malformed)?;
        verify(b"postern command", bytes, mac, key, terminal, transport)?;
        Ok(command)
    }

    /// The fields, and the 32 bytes of the MAC.
    fn fields(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::of(bytes, COMMAND)?;
        let must_encrypt = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (id, sequence, expires_at) = (CommandId(reader.array()?), reader.u64()?, reader.u64()?);
        let length = reader.u8()?.into();
        let class = String::from_utf8(reader.take(length)?.to_vec()).ok()?;
        let body = reader.long()?.to_vec();
        let command = Command { id, must_encrypt, sequence, expires_at, class, body };
        (reader.0.len() == MAC).then_some((command, reader.0))
    }

    /// The message's bytes. The server's side: for tests and vectors.
    pub fn write(&self, key: &CommandKey, terminal: &str, transport: Transport) -> Vec<u8> {
        let mut bytes = vec![VERSION, COMMAND, self.must_encrypt.into()];
        bytes.extend(self.id.0);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.expires_at.to_be_bytes());
        put_short(&mut bytes, self.class.as_bytes());
        put_long(&mut bytes, &self.body);
        let message = mac_input(b"postern command", terminal, transport, &bytes);
        bytes.extend(hmac::sign(&key.hmac(), &message).as_ref());
        bytes
    }
}

/// Whether the `mac` at the end of `bytes` is good.
fn verify(
    label: &[u8],
    bytes: &[u8],
    mac: &[u8],
    key: &CommandKey,
    terminal: &str,
    transport: Transport,
) -> Result<(), Untrusted> {
    let covered = bytes.get(..bytes.len().saturating_sub(MAC)).ok_or(Untrusted::Malformed)?;
    let message = mac_input(label, terminal, transport, covered);
    hmac::verify(&key.hmac(), &message, mac).map_err(|_| Untrusted::Forged)
}

/// `label ‖ fields(terminal, transport) ‖ bytes`.
fn mac_input(label: &[u8], terminal: &str, transport: Transport, bytes: &[u8]) -> Vec<u8> {
    let mut message = label.to_vec();
    put_long(&mut message, terminal.as_bytes());
    put_long(&mut message, transport.name().as_bytes());
    message.extend_from_slice(bytes);
    message
}

/// One byte of length, and the bytes: 255 at most, the rest is left out.
fn put_short(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    to.push(length);
    to.extend(bytes.iter().take(length.into()));
}

/// Four bytes of length, and the bytes.
fn put_long(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The bytes after version and kind, if they are ours.
    fn of(bytes: &'a [u8], kind: u8) -> Option<Self> {
        bytes.strip_prefix(&[VERSION, kind]).map(Reader)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Four bytes of length, and as many bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.array().map(u32::from_be_bytes)?;
        self.take(usize::try_from(length).ok()?)
    }
}
