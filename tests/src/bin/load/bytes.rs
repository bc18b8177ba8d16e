//! What a sign-in and a message weigh on the wire (A15), for MQTT 3.1.1 and 5, plain and TLS 1.3.
//!
//! Publisher and recipient each sit behind a counting proxy. Messages go one at a time; a PINGREQ
//! and its answer end each series, so that all has passed when it is counted, and are taken off.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use postern_broker::wire::{Ack, Packet, PacketId, PublishHeader, QoS, ReasonCode, Version, encode_publish};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::messages::{publisher_of, recipient_of};
use crate::people::People;
use crate::pump::{Line, tcp};
use crate::tally::{Bytes, Tally};

/// Messages of a series.
const MESSAGES: u16 = 50;
/// A full TLS record header with its authentication tag and content type: what one more record costs.
const RECORD: u64 = 22;

/// Where to count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener.
    tcp: String,
    /// The TLS listener.
    tls: String,
    /// The certificate to trust, PEM.
    ca: PathBuf,
    /// Bytes of a message's body.
    body: usize,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

type Client = Line<Box<dyn Stream>>;

/// A way to the server through a counting proxy.
struct Way {
    listener: &'static str,
    tally: Tally,
    /// None: plain. Its session tickets make the second handshake a resumed one.
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Counts all cases.
pub(crate) async fn run(request: &Request, people: &mut People) -> Result<Value> {
    let ca = std::fs::read(&request.ca).with_context(|| request.ca.display().to_string())?;
    let mut cases = Vec::new();
    for (listener, address) in [("tcp", &request.tcp), ("tls", &request.tls)] {
        for (name, version) in [("3.1.1", Version::V311), ("5", Version::V5)] {
            let way = || async {
                let tls = if listener == "tls" { Some(phone::sign_in::trust(&ca)?) } else { None };
                anyhow::Ok(Way { listener, tally: Tally::before(address).await?, tls })
            };
            let (from, to) = (way().await?, way().await?);
            let [sign_in, resumed, qos0, qos1] = count(&from, &to, version, request.body, people).await?;
            cases.push(json!({
                "mqtt": name, "link": listener, "sign_in": sign_in, "sign_in_resumed": resumed,
                "qos0": qos0, "qos1": qos1,
            }));
        }
    }
    Ok(json!({ "cases": cases }))
}

/// A sign-in, a resumed one, and a message of QoS 0 and of QoS 1.
async fn count(
    from: &Way,
    to: &Way,
    version: Version,
    body: usize,
    people: &mut People,
) -> Result<[Value; 4]> {
    let (publisher, recipient) = (publisher_of(0), recipient_of(0));
    let (mut receiving, sign_in) = from_scratch(to, &recipient, version, people).await?;
    // Tickets come with the first read after the handshake: there has been one.
    let (mut sending, _) = from_scratch(from, &publisher, version, people).await?;
    let resumed = match &from.tls {
        Some(_) => {
            ping(&mut sending).await?;
            let (line, resumed) = from_scratch(from, &publisher, version, people).await?;
            sending = line;
            Some(resumed)
        }
        None => None,
    };
    receiving.subscribe(&format!("im/u/{recipient}/#"), QoS::AtLeastOnce).await?;
    let pings = [one_ping(&mut sending, from).await?, one_ping(&mut receiving, to).await?];

    let mut of_qos = [Value::Null, Value::Null];
    for (qos, case) in [QoS::AtMostOnce, QoS::AtLeastOnce].into_iter().zip(&mut of_qos) {
        receiving.subscribe(&format!("im/u/{recipient}/#"), qos).await?;
        ping(&mut receiving).await?;
        let before = [from.tally.so_far(), to.tally.so_far()];
        for id in 1..=MESSAGES {
            one_message(&mut sending, &mut receiving, qos, id, body).await?;
        }
        ping(&mut sending).await?;
        ping(&mut receiving).await?;
        let after = [from.tally.so_far(), to.tally.so_far()];
        let each = |end: usize| -> Value {
            let (Some(&after), Some(&before), Some(&ping)) =
                (after.get(end), before.get(end), pings.get(end))
            else {
                return Value::Null;
            };
            let of = |bytes: Bytes, what: fn(Bytes) -> u64| what(bytes) as f64 / f64::from(MESSAGES);
            let all = after - before - ping;
            json!({ "up": of(all, |b| b.up), "down": of(all, |b| b.down), "segments": of(all, |b| b.segments) })
        };
        *case = json!({ "publisher": each(0), "recipient": each(1) });
    }
    let [qos0, qos1] = of_qos;
    Ok([json!(sign_in), json!(resumed), qos0, qos1])
}

/// Connects and signs in; bytes up to the CONNACK.
async fn from_scratch(
    way: &Way,
    user: &str,
    version: Version,
    people: &mut People,
) -> Result<(Client, Bytes)> {
    let connect = people.connect(user, way.listener, version)?;
    let before = way.tally.so_far();
    let stream = tcp(&way.tally.address).await?;
    let stream: Box<dyn Stream> = match &way.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from("localhost")?;
            Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?)
        }
    };
    let line = Line::open(stream, connect).await?;
    let mut took = way.tally.so_far() - before;
    // What came behind the CONNACK in the same read is presence, not sign-in.
    let behind = u64::try_from(line.undecoded()).unwrap_or(u64::MAX);
    if behind > 0 {
        took.down = took.down.saturating_sub(behind + if way.tls.is_some() { RECORD } else { 0 });
    }
    Ok((line, took))
}

async fn one_ping(line: &mut Client, way: &Way) -> Result<Bytes> {
    ping(line).await?;
    let before = way.tally.so_far();
    ping(line).await?;
    Ok(way.tally.so_far() - before)
}

/// PINGREQ, and everything up to its answer.
async fn ping(line: &mut Client) -> Result<()> {
    line.send(&Packet::PingReq)?;
    line.flush().await?;
    loop {
        match line.packet().await? {
            Packet::PingResp => return Ok(()),
            Packet::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))?;
                }
            }
            _ => {}
        }
    }
}

/// One message from end to end; each end writes what it has to at once.
async fn one_message(from: &mut Client, to: &mut Client, qos: QoS, id: u16, body: usize) -> Result<()> {
    let packet_id = PacketId::new(id).filter(|_| qos == QoS::AtLeastOnce);
    let header = PublishHeader { qos, packet_id, ..PublishHeader::default() };
    let topic = format!("im/u/{}/{}", recipient_of(0), publisher_of(0));
    encode_publish(&header, &topic, &vec![b'x'; body], None, from.version, &mut from.output)?;
    from.flush().await?;
    if qos == QoS::AtLeastOnce {
        let ack = loop {
            if let Packet::PubAck(ack) = from.packet().await? {
                break ack;
            }
        };
        ensure!(!ack.reason.is_error(), "refused: {:?}", ack.reason);
    }
    loop {
        let Packet::Publish(publish) = to.packet().await? else { continue };
        if let Some(id) = publish.packet_id {
            to.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))?;
            to.flush().await?;
        }
        if publish.topic.starts_with("im/") {
            return Ok(());
        }
    }
}
