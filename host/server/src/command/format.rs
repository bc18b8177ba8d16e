//! The messages between server and terminal, byte by byte (docs/protocol/encrypt-on-demand.md).

use postern_guest::{Key, roles::types::Transport};

use super::{keys::Signer, state::State};

const VERSION: u8 = 1;
const INSTRUCTION: u8 = 1;
const COMMAND: u8 = 2;
const QUERY: u8 = 3;
const RESULT: u8 = 4;
/// Bytes of what a terminal says of a command, at most.
const BODY: usize = 16 * 1024;
/// Length of a MAC.
const MAC: usize = 32;
/// A command's flag: on TLS only.
const MUST_ENCRYPT: u8 = 1;
/// A query's flag: DISCONNECT 0x9C is understood.
const TAKES_REDIRECT: u8 = 1;

/// `plain` or `tls`, as MACs name it.
pub fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Plain => "plain",
        Transport::Tls => "tls",
    }
}

/// An order to reconnect.
pub struct Instruction<'a> {
    /// Whom it is for.
    pub terminal: &'a str,
    /// Where to.
    pub to: Transport,
    /// Greater than that of all before it.
    pub sequence: u64,
    /// In ms since the Unix epoch.
    pub expires_at: u64,
    /// Random.
    pub nonce: [u8; 16],
}

impl Instruction<'_> {
    /// Its bytes, signed.
    pub fn signed(&self, signer: &Signer) -> Vec<u8> {
        let mut bytes = vec![VERSION, INSTRUCTION];
        bytes.extend(signer.id());
        bytes.push(u8::from(self.to == Transport::Tls));
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.expires_at.to_be_bytes());
        bytes.extend(self.nonce);
        put_short(&mut bytes, self.terminal);
        let signature = signer.sign(&bytes);
        bytes.extend(signature);
        bytes
    }
}

/// A command on its way to a terminal.
pub struct Command<'a> {
    /// Whom it is for.
    pub terminal: &'a str,
    /// The transport of the link that it goes out on.
    pub transport: Transport,
    /// On TLS only.
    pub must_encrypt: bool,
    /// Its id.
    pub id: [u8; 16],
    /// Greater than that of all before it.
    pub sequence: u64,
    /// In ms since the Unix epoch.
    pub expires_at: u64,
    /// Such as `remote-control`.
    pub class: &'a str,
    /// What to do.
    pub body: &'a [u8],
}

impl Command<'_> {
    /// Its bytes, authenticated.
    pub fn authenticated(&self, key: &Key) -> Vec<u8> {
        let mut bytes = vec![VERSION, COMMAND, if self.must_encrypt { MUST_ENCRYPT } else { 0 }];
        bytes.extend(self.id);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.expires_at.to_be_bytes());
        put_short(&mut bytes, self.class);
        put_long(&mut bytes, self.body);
        let mac = key.hmac(&covered(b"postern command", self.terminal, self.transport, &bytes));
        bytes.extend(mac);
        bytes
    }
}

/// A terminal asks what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// It understands DISCONNECT 0x9C with an instruction.
    pub takes_redirect: bool,
    /// In seconds; 0 when it sends no pings.
    pub keep_alive_secs: u16,
}

impl Query {
    /// Reads it; None when it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [VERSION, QUERY, flags @ 0..=TAKES_REDIRECT, high, low] => Some(Query {
                takes_redirect: flags == TAKES_REDIRECT,
                keep_alive_secs: u16::from_be_bytes([high, low]),
            }),
            _ => None,
        }
    }
}

/// What a terminal says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Which one.
    pub id: [u8; 16],
    /// What became of it.
    pub state: State,
    /// What the requester is shown.
    pub body: &'a [u8],
    mac: &'a [u8],
    before_mac: &'a [u8],
}

impl<'a> Outcome<'a> {
    /// Reads it; None when it is none. It is not authenticated yet.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (before_mac, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        let (&[VERSION, RESULT], rest) = before_mac.split_first_chunk()? else { return None };
        let (id, rest) = rest.split_first_chunk()?;
        let (&[outcome], rest) = rest.split_first_chunk()?;
        let (length, body) = rest.split_first_chunk()?;
        let state = match outcome {
            0 => State::Acknowledged,
            1 => State::Done,
            2 => State::Failed,
            3 => State::Unknown,
            4 => State::Expired,
            _ => return None,
        };
        let whole = usize::try_from(u32::from_be_bytes(*length)).ok()? == body.len();
        (whole && body.len() <= BODY).then_some(Outcome { id: *id, state, body, mac, before_mac })
    }

    /// Whether the holder of this key made it, on a link of this transport.
    pub fn is_from(&self, key: &Key, terminal: &str, transport: Transport) -> bool {
        key.verify(&covered(b"postern result", terminal, transport, self.before_mac), self.mac)
    }
}

fn covered(context: &[u8], terminal: &str, transport: Transport, bytes: &[u8]) -> Vec<u8> {
    let mut covered = context.to_vec();
    put_long(&mut covered, terminal.as_bytes());
    put_long(&mut covered, transport_name(transport).as_bytes());
    covered.extend_from_slice(bytes);
    covered
}

/// With its length in one byte before it: names are short, which is seen to before.
fn put_short(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

fn put_long(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::command::deliver::id_bytes;

    /// docs/protocol/encrypt-on-demand-vectors.json: what terminals check themselves against.
    fn vectors(kind: &str) -> Vec<Value> {
        let file = include_str!("../../../../docs/protocol/encrypt-on-demand-vectors.json");
        let all: Value = serde_json::from_str(file).unwrap();
        all[kind].as_array().unwrap().clone()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        let hex = value.as_str().unwrap();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn array<const N: usize>(value: &Value) -> [u8; N] {
        bytes(value).try_into().unwrap()
    }

    fn number(value: &Value) -> u64 {
        value.as_str().unwrap().parse().unwrap()
    }

    fn transport(value: &Value) -> Transport {
        if value == "tls" { Transport::Tls } else { Transport::Plain }
    }

    fn key(proof_key: &Value) -> Key {
        Key::new(array(proof_key)).derive(b"command")
    }

    #[test]
    fn rule_4_instructions_are_those_of_the_vectors() {
        for vector in vectors("instructions") {
            let signer = Signer::from_seed(&array(&vector["seed"])).unwrap();
            let instruction = Instruction {
                terminal: vector["terminal"].as_str().unwrap(),
                to: transport(&vector["to"]),
                sequence: number(&vector["sequence"]),
                expires_at: number(&vector["expires_at"]),
                nonce: array(&vector["nonce"]),
            };
            assert_eq!(instruction.signed(&signer), bytes(&vector["bytes"]), "{vector}");
            assert_eq!(signer.id().to_vec(), bytes(&vector["key_id"]));
        }
    }

    #[test]
    fn rule_2_commands_are_those_of_the_vectors() {
        for vector in vectors("commands") {
            let body = bytes(&vector["body"]);
            let command = Command {
                terminal: vector["terminal"].as_str().unwrap(),
                transport: transport(&vector["transport"]),
                must_encrypt: vector["must_encrypt"] == true,
                id: id_bytes(vector["id"].as_str().unwrap()),
                sequence: number(&vector["sequence"]),
                expires_at: number(&vector["expires_at"]),
                class: vector["class"].as_str().unwrap(),
                body: &body,
            };
            assert_eq!(
                command.authenticated(&key(&vector["proof_key"])),
                bytes(&vector["bytes"]),
                "{vector}"
            );
        }
    }

    #[test]
    fn queries_are_those_of_the_vectors() {
        for vector in vectors("queries") {
            let query = Query::read(&bytes(&vector["bytes"])).unwrap();
            assert_eq!(Value::from(query.takes_redirect), vector["understands_disconnect"], "{vector}");
            assert_eq!(Value::from(query.keep_alive_secs), vector["keep_alive_secs"], "{vector}");
        }
    }

    #[test]
    fn results_are_those_of_the_vectors_and_no_other_bytes() {
        for vector in vectors("results") {
            let (whole, key) = (bytes(&vector["bytes"]), key(&vector["proof_key"]));
            let (terminal, way) = (vector["terminal"].as_str().unwrap(), transport(&vector["transport"]));
            let outcome = Outcome::read(&whole).unwrap();
            assert_eq!(outcome.id, id_bytes(vector["id"].as_str().unwrap()));
            assert_eq!(outcome.body, bytes(&vector["body"]));
            assert_eq!(vector["outcome"], outcome.state.name(), "{vector}");
            assert!(outcome.is_from(&key, terminal, way));
            assert!(!outcome.is_from(&key, "another", way));
            for at in 0..whole.len() {
                let mut altered = whole.clone();
                altered[at] ^= 1;
                let taken = Outcome::read(&altered).is_some_and(|it| it.is_from(&key, terminal, way));
                assert!(!taken, "byte {at} of {vector}");
                assert!(Outcome::read(&whole[..at]).is_none_or(|it| !it.is_from(&key, terminal, way)));
            }
        }
    }
}
