//! CONNECT: who is it → may it → session → CONNACK → welcome (A9, A11).

use std::{num::NonZeroU32, sync::Arc, time::SystemTime};

use postern_broker::{
    Link, Open, SessionKey, Will,
    topic::TopicName,
    wire::{Auth, ConnAck, Connect, Packet, ReasonCode, Text, Version, payload_is_as_declared},
};
use postern_trace::{Span, message};
use tokio::time::Instant;
use tracing::{debug, info};
use ulid::Ulid;

use super::{
    auth::{Challenged, Identified, identify, transport},
    ending::FAREWELL,
    framed::{End, Framed},
    link::Pump,
    live::SignIn,
    publish::Sender,
};
use crate::{
    clock, command::Socket, control::cursors::Device, listen::wire::Origin, node::Node, refuse::Refusal,
};

/// A peer that has said what it speaks; the framing around it may still send.
struct Asking<'a> {
    conn: &'a mut Framed,
    version: Version,
}

impl Challenged for Asking<'_> {
    async fn challenge(&mut self, auth: Auth) -> Result<Auth, Refusal> {
        let gone = |_| Refusal::Closed(ReasonCode::UnspecifiedError);
        self.conn.send(&Packet::Auth(auth), self.version).await.map_err(gone)?;
        match self.conn.next().await {
            Ok(Packet::Auth(auth)) => Ok(auth),
            Ok(_) => Err(Refusal::Packet(ReasonCode::ProtocolError, "expected AUTH")),
            Err(End::Refused(fault)) => Err(fault.into()),
            Err(End::Gone(_)) => Err(Refusal::Closed(ReasonCode::UnspecifiedError)),
        }
    }
}

/// Signs a client in by that time; what comes out is a link that only has to be run.
///
/// A refusal has been told to the peer, counted and logged when this returns None.
pub async fn sign_in(node: Arc<Node>, mut conn: Framed, origin: Origin, by: Instant) -> Option<Box<Pump>> {
    let connect = match tokio::time::timeout_at(by, conn.next()).await {
        Ok(Ok(Packet::Connect(connect))) => connect,
        Ok(Ok(_)) => {
            return refuse_silently(&origin, &Refusal::Packet(ReasonCode::ProtocolError, "no CONNECT"));
        }
        Ok(Err(End::Refused(fault))) => {
            if let Some(version) = fault.connack_version() {
                let ack = ConnAck { reason: fault.reason, ..ConnAck::default() };
                tell(&mut conn, ack, version).await;
            }
            return refuse_silently(&origin, &fault.into());
        }
        Ok(Err(End::Gone(e))) => {
            debug!(peer = %origin.peer, error = %e, "gone before CONNECT");
            return None;
        }
        Err(_) => return refuse_silently(&origin, &Refusal::TooSlow),
    };
    let version = connect.version;
    conn.learn(version, connect.maximum_packet_size);
    let mut span = message(origin.work().packet(1), None, "mqtt.connect", SystemTime::now);
    let signed = tokio::time::timeout_at(by, open(&node, &mut conn, &connect, &origin));
    let refusal = match span.run(signed).await {
        Ok(Ok(opened)) => {
            conn.trust();
            let mut pump = Box::new(opened.into_pump(node, conn, origin));
            pump.begin();
            return Some(pump);
        }
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::TooSlow,
    };
    refusal.count();
    span.fail(refusal.label());
    log_refused(&origin, &refusal, &span);
    let (reason, server_reference) = (refusal.connack_code(), refusal.server_reference());
    let mut ack = ConnAck { reason, server_reference, ..ConnAck::default() };
    if connect.request_problem_information {
        ack.reason_string = Some(Text::from(refusal.told()));
    }
    tell(&mut conn, ack, version).await;
    None
}

fn log_refused(origin: &Origin, refusal: &Refusal, span: &Span) {
    let _work = span.enter();
    info!(peer = %origin.peer, listener = origin.listener.as_str(), refusal = refusal.logged(), "sign-in refused");
}

/// A CONNACK that refuses, and the end; a peer that does not read it is left.
async fn tell(conn: &mut Framed, ack: ConnAck, version: Version) {
    let told = async {
        conn.send(&Packet::ConnAck(Box::new(ack)), version).await?;
        conn.finish().await
    };
    let _ = tokio::time::timeout(FAREWELL, told).await;
}

/// Before a CONNECT there is nobody to answer [MQTT-3.1.0-1]: the link is closed and counted.
fn refuse_silently(origin: &Origin, refusal: &Refusal) -> Option<Box<Pump>> {
    refusal.count();
    debug!(peer = %origin.peer, listener = origin.listener.as_str(), %refusal, "closed before sign-in");
    None
}

/// A session opened for an identified client.
struct Opened {
    link: Arc<Link>,
    sender: Arc<Sender>,
    version: Version,
    keep_alive: Option<NonZeroU32>,
    signed_in: Arc<SignIn>,
    method: Option<Text>,
    outlives: bool,
}

impl Opened {
    fn into_pump(self, node: Arc<Node>, conn: Framed, origin: Origin) -> Pump {
        Pump::new(node, conn, self.link, self.sender, self.version, origin)
            .keep_alive(self.keep_alive)
            .signed_in(self.signed_in, self.method)
            .outlives(self.outlives)
    }
}

async fn open(
    node: &Arc<Node>,
    conn: &mut Framed,
    connect: &Connect,
    origin: &Origin,
) -> Result<Opened, Refusal> {
    if node.broker.is_draining() {
        return Err(Refusal::Stopping(node.server_reference.clone()));
    }
    let (client_id, assigned) = client_id(connect)?;
    let mut peer = Asking { conn, version: connect.version };
    // Rule 7: nothing of the session that the client id names is touched before this.
    let identified = identify(node, connect, &client_id, origin, &mut peer).await?;
    let names: Vec<String> = identified.names().collect();
    let Identified { grant, method, since } = identified;
    let rights = node
        .rights
        .compile(&grant.rights)
        .map_err(|e| Refusal::Unavailable("sign-in", format!("the token role's grant: {e}")))?;
    let profile: Option<crate::control::wire::Profile> = grant.profile.map(Into::into);
    if grant.token_id.is_some() && grant.client_id != *client_id {
        return Err(Refusal::ClientId);
    }
    let will_topic = match &connect.will {
        Some(will) => Some(TopicName::new(will.topic.clone()).map_err(|_| Refusal::Topic("will topic"))?),
        None => None,
    };
    if connect.will.as_ref().is_some_and(|will| !payload_is_as_declared(&will.properties, &will.payload)) {
        return Err(Refusal::PayloadFormat);
    }
    if will_topic.as_ref().is_some_and(|topic| !rights.may_publish(topic)) {
        return Err(Refusal::NotAllowed("publish to the will's topic"));
    }
    let owner = profile.as_ref().map(|p| Text::from(p.user.as_str()));
    let key = Arc::new(SessionKey { owner, client_id });
    let partners = grant.partners.into_iter().map(Into::into).collect();
    let signed_in = node.live.sign_in(names, &key, grant.expires_at, since);
    let signed_in = signed_in.map_err(|_| Refusal::BadCredentials("revoked"))?;
    let sender = Sender::new(key.clone(), profile, partners, rights, transport(origin.listener));
    let (descriptor, resumed) = peer.conn.socket();
    let socket = Socket { descriptor, peer: origin.peer, resumed };
    let sender = Arc::new(sender.over(Some(socket)).signed_in(&signed_in));

    // No await from here on: a session that is open has a pump.
    let now = clock::now();
    let asked = session_expiry_secs(connect);
    let session_expiry = grant.limits.session_expiry_secs.map_or(asked, |most| asked.min(most));
    let keep_alive_secs = keep_alive(connect, grant.limits.keep_alive_secs);
    let will = connect.will.as_ref().zip(will_topic).map(|(will, topic)| Will {
        topic: topic.detached(),
        payload: will.payload.clone(),
        qos: will.qos,
        retain: will.retain,
        delay_secs: will.delay_interval,
        properties: will.properties.clone(),
        context: Some(sender.clone()),
    });
    let opened = node.broker.open(
        Open {
            key: key.clone(),
            version: connect.version,
            clean_start: connect.clean_start,
            session_expiry_secs: session_expiry,
            receive_maximum: connect.receive_maximum.unwrap_or(u16::MAX),
            max_packet_size: connect.maximum_packet_size.unwrap_or(u32::MAX),
            topic_alias_maximum: connect.topic_alias_maximum,
            problem_information: connect.request_problem_information,
            will,
        },
        now,
    );
    if !opened.session_present {
        node.ids.forget(&key);
    }
    if let Some(due) = opened.will {
        super::will::publish(node.clone(), due);
    }
    if let (Some(cursor), Some(user)) = (opened.cursor, &key.owner) {
        let device = Device { user: user.to_string(), client_id: key.client_id.to_string() };
        node.cursors.note(&device, cursor);
    }
    let limits = &node.limits;
    let ack = ConnAck {
        session_present: opened.session_present,
        session_expiry: (opened.session_expiry_secs != asked).then_some(opened.session_expiry_secs),
        receive_maximum: Some(limits.inflight),
        maximum_packet_size: Some(limits.packet_bytes),
        topic_alias_maximum: Some(limits.topic_aliases),
        assigned_client_id: assigned.then(|| key.client_id.clone()),
        server_keep_alive: (keep_alive_secs != connect.keep_alive).then_some(keep_alive_secs),
        auth_method: method.clone(),
        ..ConnAck::default()
    };
    let link = Arc::new(opened.link);
    signed_in.attach(&link, &node.broker);
    link.send(Packet::ConnAck(Box::new(ack)));
    // [MQTT-3.1.2-22]: one and a half times the keep alive.
    let keep_alive = NonZeroU32::new(u32::from(keep_alive_secs) * 1_500);
    let outlives = asked > 0;
    Ok(Opened { link, sender, version: connect.version, keep_alive, signed_in, method, outlives })
}

/// The client's id, or one that the server assigns [MQTT-3.1.3-6]; the second tells which.
fn client_id(connect: &Connect) -> Result<(Text, bool), Refusal> {
    if !connect.client_id.is_empty() {
        return Ok((postern_broker::wire::detached(&connect.client_id), false));
    }
    // [MQTT-3.1.3-8]: 3.1.1 allows an empty id with a clean session only; 3.1 not at all.
    match connect.version {
        Version::V31 => Err(Refusal::ClientId),
        Version::V311 if !connect.clean_start => Err(Refusal::ClientId),
        _ => Ok((Text::from(format!("auto-{}", Ulid::new())), true)),
    }
}

/// MQTT 3.x has no expiry: a clean session ends with its link, another never.
fn session_expiry_secs(connect: &Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.session_expiry.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    }
}

/// The keep alive that holds, in seconds; a server may only tell MQTT 5 clients of another.
fn keep_alive(connect: &Connect, most: Option<u16>) -> u16 {
    match (connect.version, most) {
        (Version::V5, Some(most)) if connect.keep_alive == 0 || connect.keep_alive > most => most,
        _ => connect.keep_alive,
    }
}
