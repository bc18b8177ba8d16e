//! A person with devices: added by the operator, logged in over HTTPS, signed in by proof.

use std::collections::VecDeque;

use bytes::Bytes;
use phone::{Api, ApiError, Login};
use postern_broker::wire::{
    Ack, Auth, ConnAck, Connect, Disconnect, MessageProperties, Packet, Publish, QoS, ReasonCode, Version,
};

use crate::{Peer, Postern, connect, publish, text};

/// How long a device's session outlives its link, seconds.
const SESSION_SECS: u32 = 3600;

impl Postern {
    /// Adds a user of organisation `acme`, with [`password`].
    pub async fn user(&self, user: &str) {
        self.user_of(user, "acme", &[]).await;
    }

    /// Adds a user of an organisation, in groups.
    pub async fn user_of(&self, user: &str, org: &str, groups: &[&str]) {
        let name = format!("Name of {user}");
        let mut words = vec!["user", "add", user, "--name", &name, "--org", org, "--password-stdin"];
        groups.iter().for_each(|group| words.extend(["--group", group]));
        let output = self.cli_with(&words, &format!("{}\n", password(user))).await;
        assert!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The HTTP side.
    pub fn api(&self) -> Api {
        let base = format!("https://{}", self.address("http"));
        Api::new(&base, Some(&self.ca())).expect("the development certificate")
    }

    /// Logs in by HTTPS.
    pub async fn login(&self, user: &str, password: &str, client_id: &str) -> Result<Login, ApiError> {
        let (api, [user, password, client_id]) = (self.api(), [user, password, client_id].map(str::to_owned));
        tokio::task::spawn_blocking(move || api.login(&user, &password, &client_id)).await.unwrap()
    }

    /// Adds the user if need be, and logs a device in.
    pub async fn device(&self, user: &str, client_id: &str) -> Device {
        let login = match self.login(user, &password(user), client_id).await {
            Err(ApiError::Refused { status: 401, .. }) => {
                self.user(user).await;
                self.login(user, &password(user), client_id).await
            }
            other => other,
        };
        self.device_of(user, client_id, login.expect("the login is accepted"))
    }

    /// A device that has just been logged in.
    pub fn device_of(&self, user: &str, client_id: &str, login: Login) -> Device {
        let folder = self.folder().join("devices");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{user}@{client_id}.json"));
        let state = phone::Device::new(&file, client_id, login).unwrap();
        Device { user: user.to_owned(), state }
    }

    /// [`Postern::device`] and [`Device::sign_in`].
    pub async fn session(&self, user: &str, client_id: &str) -> Session {
        self.device(user, client_id).await.sign_in(self).await
    }
}

/// The password of a test's user.
pub fn password(user: &str) -> String {
    format!("a password of {user}")
}

/// A device that is logged in.
#[derive(Debug)]
pub struct Device {
    /// Whose.
    pub user: String,
    /// Token and counter.
    pub state: phone::Device,
}

impl Device {
    /// A CONNECT with a proof for `listener`: persistent session, MQTT 5.
    pub fn connect(&mut self, listener: &str) -> Connect {
        let broker =
            self.state.login().broker(listener).unwrap_or_else(|| panic!("no broker {listener}")).clone();
        let proof = self.state.proof(&broker).unwrap();
        Connect {
            clean_start: false,
            session_expiry: Some(SESSION_SECS),
            user_name: Some(text(&self.state.login().token.id)),
            password: Some(Bytes::from(proof)),
            ..connect(Version::V5, self.state.client_id())
        }
    }

    /// A CONNECT with the bearer as password.
    pub fn connect_with_bearer(&mut self) -> Connect {
        let token = &self.state.login().token;
        let (id, bearer) = (text(&token.id), Bytes::from(token.bearer.clone()));
        Connect {
            user_name: Some(id),
            password: Some(bearer),
            ..connect(Version::V5, self.state.client_id())
        }
    }

    /// A CONNECT that begins an AUTH exchange (MQTT 5).
    pub fn connect_with_challenge(&self) -> Connect {
        let id = self.state.login().token.id.clone();
        let (auth_method, auth_data) = (Some(text(phone::AUTH_METHOD)), Some(Bytes::from(id)));
        Connect { auth_method, auth_data, ..connect(Version::V5, self.state.client_id()) }
    }

    /// The AUTH that answers a challenge which came on a listener.
    pub fn answer(&self, listener: &str, challenge: &Auth) -> Auth {
        let broker = self.state.login().broker(listener).unwrap_or_else(|| panic!("no broker {listener}"));
        let data = self.state.answer(broker, challenge.data.as_deref().expect("a challenge")).unwrap();
        Auth { reason: ReasonCode::ContinueAuthentication, data: Some(data.into()), ..challenge.clone() }
    }

    /// Signs in on TLS by proof; the server must accept.
    pub async fn sign_in(&mut self, postern: &Postern) -> Session {
        self.sign_in_on(postern, "tls", |_| {}).await
    }

    /// Signs in on a listener, with a changed CONNECT.
    pub async fn sign_in_on(
        &mut self,
        postern: &Postern,
        listener: &str,
        change: impl FnOnce(&mut Connect),
    ) -> Session {
        let mut connect = self.connect(listener);
        change(&mut connect);
        self.sign_in_through(Peer::to(postern, listener).await, connect).await
    }

    /// Signs in on a link, wherever it leads; the server must accept.
    pub async fn sign_in_through(&self, mut peer: Peer, connect: Connect) -> Session {
        let ack = peer.connect(connect).await.expect("CONNACK");
        assert_eq!(ack.reason, ReasonCode::Success, "sign-in of {}", self.user);
        self.session(peer, ack)
    }

    /// Signs in on TLS by a challenge, with this answer whatever the challenge is; the server must
    /// accept.
    pub async fn sign_in_by_challenge(&self, postern: &Postern, answer: &'static [u8]) -> Session {
        let mut peer = Peer::to(postern, "tls").await;
        peer.send(Packet::Connect(Box::new(self.connect_with_challenge()))).await;
        let Packet::Auth(challenge) = peer.packet().await else { panic!("expected AUTH") };
        peer.send(Packet::Auth(Auth { data: Some(answer.into()), ..challenge })).await;
        let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
        assert_eq!(ack.reason, ReasonCode::Success, "sign-in of {}", self.user);
        self.session(peer, *ack)
    }

    fn session(&self, peer: Peer, ack: ConnAck) -> Session {
        Session { user: self.user.clone(), peer, ack, came: VecDeque::new(), acknowledges: true }
    }
}

/// A signed-in device. It acknowledges what it gets, unless told otherwise.
#[derive(Debug)]
pub struct Session {
    /// Whose.
    pub user: String,
    /// The link.
    pub peer: Peer,
    /// What the server answered to the CONNECT.
    pub ack: ConnAck,
    /// Whether publishes of QoS 1 and 2 are acknowledged when they come.
    pub acknowledges: bool,
    /// Publishes that came while something else was waited for.
    came: VecDeque<Publish>,
}

impl Session {
    /// Sends an instant message with an id, QoS 1, and waits for its PUBACK.
    pub async fn send(&mut self, to: &str, id: &str, body: &str) -> Ack {
        self.publish(&format!("im/u/{to}/{}", self.user), id, body).await
    }

    /// Publishes with QoS 1 and the user property `id`, and waits for the PUBACK.
    pub async fn publish(&mut self, topic: &str, id: &str, body: &str) -> Ack {
        let sent = self.start(topic, id, body).await;
        self.acknowledged(sent).await
    }

    /// Publishes with QoS 1 and does not wait.
    pub async fn start(&mut self, topic: &str, id: &str, body: &str) -> std::num::NonZeroU16 {
        let packet_id = self.peer.next_id();
        let user_properties = vec![(text("id"), text(id))];
        let properties = Some(Box::new(MessageProperties { user_properties, ..Default::default() }));
        let properties = properties.filter(|_| self.peer.version == Version::V5 && !id.is_empty());
        let message = publish(topic, body.to_owned(), QoS::AtLeastOnce);
        self.peer.send(Publish { packet_id: Some(packet_id), properties, ..message }).await;
        packet_id
    }

    /// Waits for the PUBACK of a packet.
    pub async fn acknowledged(&mut self, id: std::num::NonZeroU16) -> Ack {
        loop {
            match self.peer.packet().await {
                Packet::PubAck(ack) if ack.packet_id == id => return ack,
                other => self.keep(other).await,
            }
        }
    }

    /// The next message that is not presence.
    pub async fn message(&mut self) -> Publish {
        self.next_that(|publish| !publish.topic.starts_with("status/")).await
    }

    /// The next AUTH.
    pub async fn auth(&mut self) -> Auth {
        loop {
            match self.peer.packet().await {
                Packet::Auth(auth) => return auth,
                other => self.keep(other).await,
            }
        }
    }

    /// The next presence message of `user`: its state.
    pub async fn status_of(&mut self, user: &str) -> String {
        let topic = format!("status/{user}");
        let publish = self.next_that(|publish| *publish.topic == *topic).await;
        let body: serde_json::Value = serde_json::from_slice(&publish.payload).expect("presence is JSON");
        body["state"].as_str().expect("a state").to_owned()
    }

    /// The next message that `wanted` accepts; others are kept for later.
    pub async fn next_that(&mut self, wanted: impl Fn(&Publish) -> bool) -> Publish {
        if let Some(at) = self.came.iter().position(&wanted) {
            return self.came.remove(at).unwrap();
        }
        loop {
            let packet = self.peer.packet().await;
            self.keep(packet).await;
            if self.came.back().is_some_and(&wanted) {
                return self.came.pop_back().unwrap();
            }
        }
    }

    /// A message that has come already, while something else was waited for.
    pub fn came_already(&mut self, wanted: impl Fn(&Publish) -> bool) -> Option<Publish> {
        let at = self.came.iter().position(wanted)?;
        self.came.remove(at)
    }

    /// Everything that has come, up to the answer to a PINGREQ; presence apart.
    pub async fn messages_so_far(&mut self) -> Vec<Publish> {
        for packet in self.peer.so_far().await {
            self.keep(packet).await;
        }
        let (status, messages) = self.came.drain(..).partition(|p| p.topic.starts_with("status/"));
        self.came = status;
        Vec::from(messages)
    }

    /// Ends the link in order.
    pub async fn leave(mut self) {
        self.peer.send(Packet::Disconnect(Disconnect::default())).await;
        self.peer.closed().await;
    }

    /// Waits for the end of the link; gives the reason of a DISCONNECT, if one came.
    pub async fn ended(mut self) -> Option<ReasonCode> {
        let packets = self.peer.closed().await;
        packets.into_iter().find_map(|packet| match packet {
            Packet::Disconnect(disconnect) => Some(disconnect.reason),
            _ => None,
        })
    }

    async fn keep(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => {
                if self.acknowledges {
                    self.accept(&publish).await;
                }
                self.came.push_back(publish);
            }
            Packet::PubRel(release) => {
                self.peer.send(Packet::PubComp(Ack::new(release.packet_id, ReasonCode::Success))).await;
            }
            Packet::Disconnect(disconnect) => {
                panic!("the server ended the link of {}: {disconnect:?}", self.user)
            }
            _ => {}
        }
    }

    async fn accept(&mut self, publish: &Publish) {
        self.peer.acknowledge(publish).await;
        if publish.qos == QoS::ExactlyOnce {
            let id = publish.packet_id.expect("QoS 2 has an id");
            self.peer.send(Packet::PubRec(Ack::new(id, ReasonCode::Success))).await;
        }
    }
}

/// The body of a message, as text.
pub fn body(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.payload).expect("text")
}
