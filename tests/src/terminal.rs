//! A terminal that says exactly what the test wants, message by message
//! (docs/protocol/encrypt-on-demand.md), and the phone that asks it for something.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use phone::ApiError;
use postern_broker::wire::{Ack, Publish, QoS, ReasonCode};
use ring::{hkdf, hmac};
use serde_json::{Value, json};

use crate::{Device, Postern, Session, publish};

/// Where an instruction sends a terminal.
pub const TCP: u8 = 0;
/// See [`TCP`].
pub const TLS: u8 = 1;

/// What a terminal says of a command.
pub const ACKNOWLEDGED: u8 = 0;
/// See [`ACKNOWLEDGED`].
pub const DONE: u8 = 1;
/// See [`ACKNOWLEDGED`].
pub const FAILED: u8 = 2;
/// See [`ACKNOWLEDGED`].
pub const UNKNOWN: u8 = 3;

/// An instruction as it came.
#[derive(Debug)]
pub struct Instruction {
    /// [`TCP`] or [`TLS`].
    pub to: u8,
    /// Greater than that of all before it.
    pub sequence: u64,
    /// All of it.
    pub bytes: Bytes,
}

/// A command as it came.
#[derive(Debug)]
pub struct Command {
    /// 32 hex digits.
    pub id: String,
    /// On TLS only.
    pub must_encrypt: bool,
    /// What to do.
    pub body: Vec<u8>,
    /// All of it.
    pub bytes: Bytes,
}

/// A phone that asks for commands.
#[derive(Debug)]
pub struct Requester {
    device: Device,
    api: phone::Api,
}

impl Postern {
    /// A terminal's account and device.
    pub async fn terminal(&self, terminal: &str) -> Device {
        self.device(terminal, &format!("{terminal}-unit")).await
    }

    /// A user who may control these terminals, logged in.
    pub async fn requester(&self, user: &str, terminals: &[&str]) -> Requester {
        self.user_of(user, "acme", terminals).await;
        Requester { device: self.device(user, "phone").await, api: self.api() }
    }
}

impl Requester {
    /// The device, to sign in with.
    pub fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    /// The server has other addresses since its restart.
    pub fn follows(&mut self, postern: &Postern) {
        self.api = postern.api();
    }

    /// `POST /v1/commands`.
    pub async fn ask(&self, command: Value) -> Result<Value, ApiError> {
        let (api, token) = (self.api.clone(), self.device.state.login().token.clone());
        let asked = move || api.post::<Value>(&token, "/v1/commands", &command);
        tokio::task::spawn_blocking(asked).await.unwrap()
    }

    /// The same for a command that must be encrypted; its id.
    pub async fn ask_for(&self, terminal: &str, body: &str) -> String {
        let command = json!({ "terminal": terminal, "class": "remote-control", "body": body });
        let accepted = self.ask(command).await.expect("the command is accepted");
        accepted["id"].as_str().expect("an id").to_owned()
    }

    /// `DELETE /v1/commands/{id}`.
    pub async fn take_back(&self, id: &str) -> Result<(), ApiError> {
        let (api, token) = (self.api.clone(), self.device.state.login().token.clone());
        let path = format!("/v1/commands/{id}");
        tokio::task::spawn_blocking(move || api.delete(&token, &path)).await.unwrap()
    }

    /// `GET /v1/commands/{id}`.
    pub async fn find(&self, id: &str) -> Result<Value, ApiError> {
        let (api, token) = (self.api.clone(), self.device.state.login().token.clone());
        let path = format!("/v1/commands/{id}");
        tokio::task::spawn_blocking(move || api.get::<Value>(&token, &path)).await.unwrap()
    }
}

impl Device {
    /// Signs in as a terminal, on `tcp` or `tls`: a clean session.
    pub async fn drive(&mut self, postern: &Postern, listener: &str) -> Session {
        self.sign_in_on(postern, listener, |connect| {
            (connect.clean_start, connect.session_expiry) = (true, None);
        })
        .await
    }

    /// A result of a command, authenticated for a link on `plain` or `tls`.
    pub fn result(&self, transport: &str, id: &str, outcome: u8, body: &str) -> Vec<u8> {
        let mut bytes = vec![1, 4];
        bytes.extend(u128::from_str_radix(id, 16).unwrap().to_be_bytes());
        bytes.push(outcome);
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body.as_bytes());
        let mac = self.mac("postern result", transport, &bytes);
        bytes.extend(mac);
        bytes
    }

    /// Whether the server made a command for this terminal and a link of this transport.
    pub fn is_genuine(&self, transport: &str, command: &Command) -> bool {
        let (covered, mac) = command.bytes.split_at(command.bytes.len() - 32);
        self.mac("postern command", transport, covered) == mac
    }

    fn mac(&self, context: &str, transport: &str, bytes: &[u8]) -> Vec<u8> {
        let proof_key = URL_SAFE_NO_PAD.decode(&self.state.login().token.key).unwrap();
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&proof_key);
        let mut key = [0; 32];
        derived.expand(&[b"command"], hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
        let mut covered = context.as_bytes().to_vec();
        for field in [&*self.user, transport] {
            covered.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            covered.extend(field.as_bytes());
        }
        covered.extend(bytes);
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &covered).as_ref().to_vec()
    }
}

impl Session {
    /// Publishes bytes with QoS 1 and waits for the PUBACK.
    pub async fn put(&mut self, topic: &str, bytes: impl Into<Bytes>) -> Ack {
        let packet_id = self.peer.next_id();
        let message = Publish { packet_id: Some(packet_id), ..publish(topic, bytes, QoS::AtLeastOnce) };
        self.peer.send(message).await;
        self.acknowledged(packet_id).await
    }

    /// The terminal's query, which must be taken.
    pub async fn query(&mut self) {
        let (topic, query) = (format!("cmd/{}/query", self.user), [1, 3, 0, 0, 60]);
        assert_eq!(self.put(&topic, query.to_vec()).await.reason, ReasonCode::Success);
    }

    /// A result, as [`Device::result`] makes it.
    pub async fn report(&mut self, bytes: Vec<u8>) -> ReasonCode {
        let topic = format!("cmd/{}/result", self.user);
        self.put(&topic, bytes).await.reason
    }

    /// The next instruction.
    pub async fn instruction(&mut self) -> Instruction {
        let topic = format!("link/{}", self.user);
        let came = self.next_that(|publish| *publish.topic == *topic).await;
        let bytes = came.payload;
        assert_eq!((bytes[0], bytes[1]), (1, 1), "an instruction of version 1");
        Instruction { to: bytes[6], sequence: u64::from_be_bytes(bytes[7..15].try_into().unwrap()), bytes }
    }

    /// The next command.
    pub async fn command(&mut self) -> Command {
        let topic = format!("cmd/{}/do", self.user);
        let came = self.next_that(|publish| *publish.topic == *topic).await;
        command(came.payload)
    }
}

fn command(bytes: Bytes) -> Command {
    assert_eq!((bytes[0], bytes[1]), (1, 2), "a command of version 1");
    let id = format!("{:032x}", u128::from_be_bytes(bytes[3..19].try_into().unwrap()));
    let class = 36 + usize::from(bytes[35]);
    let body = bytes[class + 4..bytes.len() - 32].to_vec();
    Command { id, must_encrypt: bytes[2] == 1, body, bytes }
}
