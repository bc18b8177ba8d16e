//! One message on its way in: rights → facts → classify → store or route.
//!
//! [`Sender::admit`] decides without waiting. What it cannot know yet it asks for, and the link
//! comes again with the same message, so that arrival order holds.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
};

use postern_broker::{
    Link, Message, SessionKey, Timestamp,
    wire::{MessageProperties, PacketId, QoS, Text, payload_is_as_declared},
};
use postern_guest::{
    CallError, Down, FailureRule, Who,
    roles::{
        classify::{self, Class, ClassifyError, Facts, Verdict},
        store::{self, Address as StoreAddress, Class as StoredClass},
        types::{Relation, Transport},
    },
};
use ulid::Ulid;

use super::{addressee::ask_members, live::SignIn, memory::Memory, rights::Rights};
use crate::{
    clock,
    command::{Socket, ask::Verb},
    control::{
        ingest::{Delivery, Incoming},
        stored::encode_properties,
        topics::{Address, is_message_id},
        wire::{Denied, Partner, Profile},
    },
    node::Node,
    refuse::Refusal,
};

/// Who sends, and under which grant: a link's, or a will's whose link is gone.
pub struct Sender {
    /// The session.
    pub key: Arc<SessionKey>,
    /// None for anonymous clients.
    pub profile: Option<Box<Profile>>,
    /// What classify may ask about the sender; made when it first sends something.
    as_classify_sees: OnceLock<Arc<classify::SenderFacts>>,
    /// The sender's partner organisations.
    pub partners: Vec<Partner>,
    /// What the grant allows on this transport.
    pub rights: Arc<Rights>,
    /// The link's transport.
    pub transport: Transport,
    /// Its link's socket; none for what speaks without a link, such as a will after a restart.
    pub socket: Option<Socket>,
    /// What it signed in with: a will outlives its link.
    signed_in: Option<Arc<SignIn>>,
    memo: Memory,
}

/// A question to the directory; the message is admitted again afterwards.
pub type Question = Pin<Box<dyn Future<Output = Result<(), Denied>> + Send>>;

/// What is to be done with a message.
pub enum Admitted {
    /// Route it now: its class is not stored.
    Route(Arc<Message>),
    /// Store it first (A10).
    Store(Box<Incoming>),
    /// It is the command journey's: of this terminal, on one of its topics.
    Command(String, Verb, bytes::Bytes),
    /// Something has to be asked first.
    Ask(Question),
    /// Refuse it.
    Refuse(Refusal),
}

/// A message as it came, from a PUBLISH or a will.
pub struct Arrived {
    /// What the publisher wrote.
    pub message: Message,
    /// What its repeat is known by, where its publisher gives it no id: packet identifier and DUP flag of QoS 1.
    pub repeats: Option<(PacketId, bool)>,
}

impl Sender {
    /// A sender under a grant.
    pub fn new(
        key: Arc<SessionKey>,
        profile: Option<Profile>,
        partners: Vec<Partner>,
        rights: Arc<Rights>,
        transport: Transport,
    ) -> Self {
        let (as_classify_sees, memo) = Default::default();
        let profile = profile.map(Box::new);
        let (socket, signed_in) = (None, None);
        Sender { key, profile, as_classify_sees, partners, rights, transport, socket, signed_in, memo }
    }

    /// The same, over this socket.
    #[must_use]
    pub fn over(mut self, socket: Option<Socket>) -> Self {
        self.socket = socket;
        self
    }

    fn as_classify_sees(&self) -> &Arc<classify::SenderFacts> {
        self.as_classify_sees.get_or_init(|| {
            Arc::new(classify::SenderFacts {
                client_id: self.key.client_id.to_string(),
                profile: self.profile.as_deref().cloned().map(Into::into),
            })
        })
    }

    /// The token that it signed in with; none for anonymous clients.
    pub fn token_id(&self) -> Option<&str> {
        self.signed_in.as_ref()?.token_id()
    }

    /// The same, as long as it is signed in.
    #[must_use]
    pub fn signed_in(mut self, signed_in: &Arc<SignIn>) -> Self {
        self.signed_in = Some(signed_in.clone());
        self
    }

    /// Whether the user is there and not locked, and the sign-in not over: for a will, whose link may
    /// be long gone.
    ///
    /// # Errors
    /// Why it may not speak any more; also when nobody knows.
    pub async fn may_still_speak(&self, node: &Node) -> Result<(), String> {
        if self.signed_in.as_ref().is_some_and(|signed_in| !signed_in.is_good(clock::now().0)) {
            return Err("its sign-in is over".to_owned());
        }
        let Some(profile) = &self.profile else { return Ok(()) };
        match node.people.person(&profile.user).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("its user is locked or gone".to_owned()),
            Err(denied) => Err(denied.to_string()),
        }
    }

    /// Decides about one message.
    pub fn admit(
        &self,
        node: &Node,
        arrived: &Arrived,
        from: Option<&Arc<Link>>,
        now: Timestamp,
    ) -> Admitted {
        let Message { topic, properties, payload, .. } = &arrived.message;
        if !payload_is_as_declared(properties, payload) {
            return Admitted::Refuse(Refusal::PayloadFormat);
        }
        let topic = topic.clone();
        let generation = || node.slots.classify().generation(self.who());
        if let Some(class) = self.memo.recall(&topic, generation) {
            return self.go_on(node, arrived, class, from, None, now);
        }
        if !self.rights.may_publish(&topic) {
            return Admitted::Refuse(Refusal::NotAllowed("publish to this topic"));
        }
        let address = match Address::parse(&topic) {
            Ok(address) => address,
            Err(_) if node.all_other => Address::Other,
            Err(_) => return Admitted::Refuse(Refusal::Topic("not a topic of this application")),
        };
        let relation = match self.relation(node, &address) {
            Ok(relation) => relation,
            Err(admitted) => return admitted,
        };
        #[cfg(feature = "bench-bypass")]
        match node.hooks.class_of(&self.memo.asked, arrived, address.class()) {
            crate::bypass::Known::Nothing => {}
            crate::bypass::Known::Class(class) => return self.go_on(node, arrived, class, from, None, now),
            crate::bypass::Known::Ask(question) => return Admitted::Ask(question),
        }
        // Before it is asked: a verdict is remembered for no later generation than gave it.
        let generation = generation();
        let verdict = match self.classify(node, arrived, &address, relation, now) {
            Ok(verdict) => verdict,
            Err(refusal) => return Admitted::Refuse(refusal),
        };
        // A16: the prefix that is delivered always equals the class.
        let promised = address.class();
        if verdict.class != promised && !(node.all_other && verdict.class == Class::Other) {
            return Admitted::Refuse(Refusal::Topic("the topic's prefix is not the message's class"));
        }
        if verdict.holds
            && verdict.payload.is_none()
            && !matches!(verdict.class, Class::Instant | Class::Notification)
        {
            self.memo.keep(generation, topic, verdict.class);
        }
        self.go_on(node, arrived, verdict.class, from, verdict.payload, now)
    }

    /// Whose generation of a plugin decides.
    fn who(&self) -> Who<'_> {
        let user = self.profile.as_ref().map(|profile| profile.user.as_str());
        Who { user, client: Some(&self.key.client_id) }
    }

    fn classify(
        &self,
        node: &Node,
        arrived: &Arrived,
        address: &Address<'_>,
        relation: Relation,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let message = &arrived.message;
        let facts = Facts {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos as u8,
            retain: message.retain,
            origin: classify::Origin::Client,
            transport: self.transport,
            sender: Some(self.as_classify_sees()),
            relation,
            now: now.0,
        };
        match node.slots.classify().classify(&facts) {
            Ok(verdict) => Ok(verdict),
            Err(CallError::Answer(ClassifyError::Refused(why))) => Err(Refusal::ByRule(why)),
            Err(CallError::Answer(ClassifyError::Unavailable(why))) => {
                without_classify(node, address, relation, why)
            }
            // A crowd is no failure: whoever makes one must not get past the rules by it.
            Err(CallError::Down(Down::Busy)) => {
                Err(Refusal::Unavailable("classification", Down::Busy.to_string()))
            }
            Err(CallError::Down(down)) => without_classify(node, address, relation, down.to_string()),
        }
    }

    fn go_on(
        &self,
        node: &Node,
        arrived: &Arrived,
        class: Class,
        from: Option<&Arc<Link>>,
        payload: Option<Vec<u8>>,
        now: Timestamp,
    ) -> Admitted {
        let mut message = arrived.message.clone();
        if let Some(payload) = payload {
            message.payload = payload.into();
        }
        let stored_class = match class {
            Class::Instant => StoredClass::Instant,
            Class::Notification => StoredClass::Notification,
            // The server alone is at the other end of these topics: nothing on them is routed.
            Class::Command if !node.all_other => {
                return match (Verb::parse(&message.topic), from) {
                    (Some((terminal, verb)), Some(_)) => {
                        Admitted::Command(terminal.to_owned(), verb, message.payload.clone())
                    }
                    _ => Admitted::Refuse(Refusal::NotAllowed("publish to this topic")),
                };
            }
            Class::Status | Class::Command | Class::Other => return Admitted::Route(Arc::new(message)),
        };
        let Some(profile) = &self.profile else {
            return Admitted::Refuse(Refusal::NotAllowed("stored messages without a user"));
        };
        let topic = message.topic.clone();
        let Ok(address) = Address::parse(&topic) else {
            return Admitted::Refuse(Refusal::Topic("not a topic of this application"));
        };
        let (to, mut recipients, id) = match address {
            // `{from}` is the publisher's own user; the grant says so too, but a plugin wrote that.
            Address::User { from: named, .. } | Address::Group { from: named, .. }
                if named != profile.user =>
            {
                return Admitted::Refuse(Refusal::NotAllowed("publish for another user"));
            }
            Address::User { to, id, .. } => {
                (StoreAddress::User(to.to_owned()), Arc::new(vec![to.to_owned()]), id)
            }
            Address::Note { user } => {
                (StoreAddress::User(user.to_owned()), Arc::new(vec![user.to_owned()]), None)
            }
            Address::Group { group, id, .. } => match node.people.known_members(group) {
                Some(Some(members)) => (StoreAddress::Group(group.to_owned()), members, id),
                Some(None) => return Admitted::Refuse(Refusal::NotAllowed("publish to this group")),
                None => return Admitted::Ask(ask_members(node, group)),
            },
            Address::NoteAll => match node.people.known_members("*") {
                Some(Some(everyone)) => (StoreAddress::Everyone, everyone, None),
                Some(None) => (StoreAddress::Everyone, Arc::default(), None),
                None => return Admitted::Ask(ask_members(node, "*")),
            },
            _ => return Admitted::Refuse(Refusal::Topic("the topic's prefix is not the message's class")),
        };
        // A14: the sender's other devices get it too.
        if let Err(at) = recipients.binary_search(&profile.user) {
            Arc::make_mut(&mut recipients).insert(at, profile.user.clone());
        }
        let id = match message_id(&message, id) {
            Ok(Some(id)) => id,
            Ok(None) => match arrived.repeats {
                Some((packet, dup)) => node.ids.assign(&self.key, packet, dup),
                None => Ulid::new().to_string(),
            },
            Err(refusal) => return Admitted::Refuse(refusal),
        };
        message.topic = address.delivered_on(&topic);
        message.retain = false; // the store keeps it; the broker must not keep it again
        set_id(&mut message, &id);
        let stored = store::Message {
            id,
            class: stored_class,
            sender: profile.user.clone(),
            sender_device: self.key.client_id.to_string(),
            to,
            topic: message.topic.to_string(),
            body: message.payload.clone(),
            properties: encode_properties(&message.properties),
            sent_at: now.0,
            expires_at: message.expires_at.map(|t| t.0),
            recipients,
        };
        let delivery = Delivery::new(message, from.cloned());
        Admitted::Store(Box::new(Incoming { stored, delivery }))
    }
}

/// C6: classification may fail to the class of the topic's prefix. What the host knows by itself holds
/// all the same: strangers do not write to each other, and a client speaks for nobody but itself.
fn without_classify(
    node: &Node,
    address: &Address<'_>,
    relation: Relation,
    why: String,
) -> Result<Verdict, Refusal> {
    metrics::counter!("postern_classify_fallback_total").increment(1);
    let class = match (node.policy.load().classify_failure, address) {
        (FailureRule::Closed, _) => return Err(Refusal::Unavailable("classification", why)),
        (FailureRule::Prefix, _) if node.all_other => Class::Other,
        (FailureRule::Prefix, Address::User { .. } | Address::Group { .. }) => {
            if relation == Relation::Unrelated {
                return Err(Refusal::NotAllowed("write to this addressee"));
            }
            Class::Instant
        }
        // Only a plugin can say who may send these.
        (
            FailureRule::Prefix,
            Address::Note { .. } | Address::NoteAll | Address::Status { .. } | Address::Instruction,
        ) => return Err(Refusal::Unavailable("classification", why)),
        (FailureRule::Prefix, Address::Command | Address::Other) => address.class(),
    };
    Ok(Verdict { class, payload: None, holds: false })
}

/// The sender's own id: the MQTT 5 user property `id`, else the topic's last level.
fn message_id(message: &Message, in_topic: Option<&str>) -> Result<Option<String>, Refusal> {
    let property =
        message.properties.as_deref().and_then(|p| p.user_properties.iter().find(|(k, _)| &**k == "id"));
    match property.map(|(_, v)| &**v).or(in_topic) {
        Some(id) if is_message_id(id) => Ok(Some(id.to_owned())),
        Some(_) => Err(Refusal::Topic("a message id has 1 to 64 bytes")),
        None => Ok(None),
    }
}

/// Every stored message carries its id as user property, so that a device can tell a repeat.
fn set_id(message: &mut Message, id: &str) {
    let properties = message.properties.get_or_insert_with(|| Box::new(MessageProperties::default()));
    if !properties.user_properties.iter().any(|(k, _)| &**k == "id") {
        // A sender's own fill it to the last: it is not to double for one more.
        properties.user_properties.reserve_exact(1);
        properties.user_properties.push((Text::from("id"), Text::from(id)));
    }
    if message.qos == QoS::AtMostOnce {
        // Stored messages are delivered at the QoS of the device's feed, not of the sender.
        message.qos = QoS::AtLeastOnce;
    }
}
