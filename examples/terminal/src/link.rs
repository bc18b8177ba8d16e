//! One MQTT 5 link, signed in by proof. Each link is a session of its own: what waits comes by the query.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Disconnect, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport as Carrier};
use tokio::sync::mpsc;

use crate::keys::CommandKey;
use crate::message::{CommandId, Outcome, Transport};
use crate::state::State;
use crate::trust::Trust;

/// The largest packet that we take, bytes.
const MAX_PACKET: u32 = 1024 * 1024;
/// Messages of QoS 1 that we have not acknowledged, at most.
const RECEIVE_MAXIMUM: u16 = 16;
/// How long TCP, TLS and CONNACK may take together.
const OPEN_SECS: u64 = 15;
/// How long DISCONNECT may take.
const CLOSE: Duration = Duration::from_secs(2);

/// How links are made.
pub(crate) struct Dial {
    pub(crate) trust: Trust,
    /// Where the login named no host.
    pub(crate) host: String,
    /// In place of the login's, by transport.
    pub(crate) tcp_port: Option<u16>,
    pub(crate) tls_port: Option<u16>,
    pub(crate) keep_alive_secs: u16,
}

/// Why there is no link.
pub(crate) enum NoLink {
    /// CONNACK: this token is not good, log in again.
    Refused(String),
    /// Anything else: try again later.
    Failed(String),
    /// The counter could not be written.
    Disk(io::Error),
}

/// What we publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Query,
    Result(CommandId, Outcome),
}

/// What happens on a link.
pub(crate) enum Happened {
    Arrived(Publish),
    /// It is on the wire.
    Sent(What),
    Acknowledged(What, PubAckReason),
    /// The link is gone. A DISCONNECT 0x9C may have brought an instruction.
    Gone {
        why: String,
        instruction: Option<Vec<u8>>,
    },
}

/// What the pump hands over.
enum Pumped {
    Happened(Box<Happened>),
    Sent(u16),
    Acknowledged(u16, PubAckReason),
}

/// A link that is signed in.
pub(crate) struct Link {
    pub(crate) transport: Transport,
    /// Of the token by which the link signed in.
    pub(crate) key: CommandKey,
    /// Whether the TLS session was resumed.
    pub(crate) resumed: Option<bool>,
    client: AsyncClient,
    pumped: mpsc::Receiver<Pumped>,
    pump: tokio::task::JoinHandle<()>,
    /// Published, without packet id yet, in order.
    handed: VecDeque<What>,
    /// Sent and not acknowledged, by packet id.
    sent: HashMap<u16, What>,
}

impl Link {
    /// Connects to the listener for `transport` and signs in.
    ///
    /// # Errors
    /// [`NoLink`], as its cases say.
    pub(crate) async fn open(dial: &Dial, state: &mut State, transport: Transport) -> Result<Link, NoLink> {
        let failed = |why: &dyn std::fmt::Display| NoLink::Failed(why.to_string());
        let broker = state.broker(transport).cloned().ok_or_else(|| failed(&"no such listener"))?;
        let (port, carrier) = match transport {
            Transport::Plain => (dial.tcp_port, Carrier::Tcp),
            Transport::Tls => (
                dial.tls_port,
                Carrier::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&dial.trust.config))),
            ),
        };
        let host = if broker.host.is_empty() { &dial.host } else { &broker.host };
        let (token_id, proof, key) = state.sign_in(transport).map_err(NoLink::Disk)?;
        let mut options = MqttOptions::new(state.client_id(), host, port.unwrap_or(broker.port));
        options.set_transport(carrier).set_credentials(token_id, proof).set_clean_start(true);
        options.set_keep_alive(Duration::from_secs(dial.keep_alive_secs.into()));
        options.set_connection_timeout(OPEN_SECS).set_manual_acks(true);
        options.set_receive_maximum(Some(RECEIVE_MAXIMUM)).set_max_packet_size(Some(MAX_PACKET));
        let (client, mut events) = AsyncClient::new(options, 64);
        dial.trust.forget_handshake();
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) if is_final(code) => {
                    return Err(NoLink::Refused(format!("{code:?}")));
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        let resumed = (transport == Transport::Tls).then(|| !dial.trust.was_full_handshake());
        let (to, pumped) = mpsc::channel(64);
        let pump = tokio::spawn(pump(events, to));
        let (handed, sent) = Default::default();
        Ok(Link { transport, key, resumed, client, pumped, pump, handed, sent })
    }

    /// What happens next. Losing the race in a `select!` loses nothing.
    pub(crate) async fn next(&mut self) -> Happened {
        loop {
            match self.pumped.recv().await {
                None => return Happened::Gone { why: "closed".to_owned(), instruction: None },
                Some(Pumped::Happened(happened)) => return *happened,
                Some(Pumped::Sent(packet_id)) => {
                    if let Some(what) = self.handed.pop_front() {
                        self.sent.insert(packet_id, what);
                        return Happened::Sent(what);
                    }
                }
                Some(Pumped::Acknowledged(packet_id, reason)) => {
                    if let Some(what) = self.sent.remove(&packet_id) {
                        return Happened::Acknowledged(what, reason);
                    }
                }
            }
        }
    }

    /// Subscribes at QoS 1.
    pub(crate) fn subscribe(&self, filter: &str) {
        self.client.try_subscribe(filter, QoS::AtLeastOnce).ok();
    }

    /// Publishes at QoS 1. False: not now, because much is on its way, or the link is gone.
    pub(crate) fn publish(&mut self, topic: &str, what: What, payload: Vec<u8>) -> bool {
        let handed = self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_ok();
        if handed {
            self.handed.push_back(what);
        }
        handed
    }

    /// Whether `what` waits for its PUBACK.
    pub(crate) fn is_under_way(&self, what: What) -> bool {
        self.handed.contains(&what) || self.sent.values().any(|sent| *sent == what)
    }

    /// PUBACK.
    pub(crate) fn acknowledge(&self, publish: &Publish) {
        self.client.try_ack(publish).ok();
    }

    /// DISCONNECT with reason 0x00, after what was acknowledged before.
    pub(crate) async fn close(mut self) {
        self.client.try_disconnect().ok();
        // Read what still comes, so that the pump is not held up.
        tokio::time::timeout(CLOSE, async { while self.pumped.recv().await.is_some() {} }).await.ok();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Whether only a new login helps.
fn is_final(code: ConnectReturnCode) -> bool {
    matches!(code, ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized)
}

/// Moves what comes to the link, in a task of its own: polling must not be cut half-way.
async fn pump(mut events: EventLoop, to: mpsc::Sender<Pumped>) {
    loop {
        let (event, error) = match events.poll().await {
            Ok(event) => (Some(event), None),
            Err(error) => (None, Some(error)),
        };
        // Polled after an error, rumqttc would connect anew: what came before the error is taken by hand.
        let rest = if error.is_some() { std::mem::take(&mut events.state.events) } else { VecDeque::new() };
        for event in event.into_iter().chain(rest) {
            if event == Event::Outgoing(Outgoing::Disconnect) {
                return;
            }
            if let Some(pumped) = translate(event)
                && to.send(pumped).await.is_err()
            {
                return;
            }
        }
        if let Some(error) = error {
            let gone = Happened::Gone { why: error.to_string(), instruction: None };
            to.send(Pumped::Happened(Box::new(gone))).await.ok();
            return;
        }
    }
}

fn translate(event: Event) -> Option<Pumped> {
    match event {
        Event::Incoming(Packet::Publish(publish)) => {
            Some(Pumped::Happened(Box::new(Happened::Arrived(publish))))
        }
        Event::Incoming(Packet::PubAck(ack)) => Some(Pumped::Acknowledged(ack.pkid, ack.reason)),
        Event::Incoming(Packet::SubAck(ack)) => {
            let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
            let code = ack.return_codes.iter().find(refused)?;
            let why = format!("subscription refused: {code:?}");
            Some(Pumped::Happened(Box::new(Happened::Gone { why, instruction: None })))
        }
        Event::Incoming(Packet::Disconnect(disconnect)) => {
            Some(Pumped::Happened(Box::new(gone(&disconnect))))
        }
        Event::Outgoing(Outgoing::Publish(packet_id)) => Some(Pumped::Sent(packet_id)),
        _ => None,
    }
}

fn gone(disconnect: &Disconnect) -> Happened {
    let properties = disconnect.properties.iter().flat_map(|p| &p.user_properties);
    let mut instructions = properties.filter(|(name, _)| name == "postern-instruction");
    let instruction = instructions.next().and_then(|(_, value)| URL_SAFE_NO_PAD.decode(value).ok());
    Happened::Gone { why: format!("DISCONNECT {:?}", disconnect.reason_code), instruction }
}
