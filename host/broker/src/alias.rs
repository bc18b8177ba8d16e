//! Topic aliases (5.0, section 3.3.2.3.4): a number in place of a topic name, per direction of one
//! network connection.

use hashbrown::HashMap;

use crate::wire::{Publish, ReasonCode, Text, detached};

/// A topic must be longer than the property that replaces it: three bytes.
const WORTH_AN_ALIAS: usize = 4;

/// The aliases that a client sends.
#[derive(Debug)]
pub struct Inbound {
    maximum: u16,
    /// Alias 1 first; empty where none was set. It grows as far as the client goes.
    topics: Vec<Text>,
}

impl Inbound {
    /// For a connection whose client was told this Topic Alias Maximum (0: none). A client can make
    /// each alias hold a topic of 64 KiB.
    pub fn new(maximum: u16) -> Self {
        Inbound { maximum, topics: Vec::new() }
    }

    /// Gives `publish` its topic, and remembers the one it brings for its alias.
    ///
    /// # Errors
    /// `TopicAliasInvalid` for 0 or over the maximum [MQTT-3.3.2-9], `ProtocolError` for an alias
    /// that stands for nothing yet, or for no topic at all. The link has to end.
    pub fn resolve(&mut self, publish: &mut Publish) -> Result<(), ReasonCode> {
        let Some(alias) = publish.topic_alias else {
            return if publish.topic.is_empty() { Err(ReasonCode::ProtocolError) } else { Ok(()) };
        };
        if alias == 0 || alias > self.maximum {
            return Err(ReasonCode::TopicAliasInvalid);
        }
        let at = usize::from(alias - 1);
        if publish.topic.is_empty() {
            let known = self.topics.get(at).filter(|topic| !topic.is_empty());
            publish.topic = known.ok_or(ReasonCode::ProtocolError)?.clone();
            return Ok(());
        }
        if self.topics.len() <= at {
            self.topics.resize(at + 1, Text::new());
        }
        if let Some(slot) = self.topics.get_mut(at).filter(|slot| **slot != publish.topic) {
            *slot = detached(&publish.topic);
        }
        Ok(())
    }
}

/// How a topic goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The alias to write, if any.
    pub alias: Option<u16>,
    /// Whether the topic itself must be written.
    pub send_topic: bool,
}

/// The aliases that the server sends, at most as many as the client said it takes.
///
/// When all are given away, each new topic tries one of them in turn: a topic used since its last
/// turn stays, another makes room. So topics in use keep their aliases at a constant cost.
#[derive(Debug)]
pub struct Outbound {
    maximum: u16,
    /// The slot that is tried next.
    hand: u16,
    slots: Vec<Slot>,
    by_topic: HashMap<Text, u16>,
}

#[derive(Debug)]
struct Slot {
    topic: Text,
    used: bool,
}

impl Outbound {
    /// For a client with this Topic Alias Maximum (0: none), cut down to what the server is ready
    /// to remember.
    pub fn new(maximum: u16) -> Self {
        Outbound { maximum, hand: 0, slots: Vec::new(), by_topic: HashMap::new() }
    }

    /// How to write `topic` now. The choice holds until the next one; it takes effect with
    /// [`Outbound::sent`], so that a packet that is dropped instead leaves no alias behind that the
    /// client never heard of.
    pub fn choose(&mut self, topic: &str) -> Choice {
        const PLAIN: Choice = Choice { alias: None, send_topic: true };
        if self.maximum == 0 || topic.len() < WORTH_AN_ALIAS {
            return PLAIN;
        }
        if let Some(&at) = self.by_topic.get(topic) {
            if let Some(slot) = self.slots.get_mut(usize::from(at)) {
                slot.used = true;
            }
            return Choice { alias: Some(at + 1), send_topic: false };
        }
        if self.slots.len() < usize::from(self.maximum) {
            return Choice { alias: Some(self.slots.len() as u16 + 1), send_topic: true };
        }
        let at = self.hand;
        self.hand = (at + 1) % self.maximum;
        match self.slots.get_mut(usize::from(at)) {
            Some(slot) if slot.used => {
                slot.used = false;
                PLAIN
            }
            _ => Choice { alias: Some(at + 1), send_topic: true },
        }
    }

    /// `topic` was written as `choice` says.
    pub fn sent(&mut self, topic: &str, choice: Choice) {
        let Choice { alias: Some(alias), send_topic: true } = choice else { return };
        let Some(at) = alias.checked_sub(1).filter(|_| alias <= self.maximum) else { return };
        let topic = Text::from(topic);
        let slot = Slot { topic: topic.clone(), used: false };
        if usize::from(at) == self.slots.len() {
            self.slots.push(slot);
        } else if let Some(former) = self.slots.get_mut(usize::from(at)) {
            self.by_topic.remove(&std::mem::replace(former, slot).topic);
        } else {
            return;
        }
        self.by_topic.insert(topic, at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::QoS;

    fn publish(topic: &str, topic_alias: Option<u16>) -> Publish {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic.into(),
            packet_id: None,
            payload: Default::default(),
            topic_alias,
            subscription_ids: Default::default(),
            properties: None,
        }
    }

    #[test]
    fn aliases_that_come_in_stand_for_their_last_topic() {
        let mut aliases = Inbound::new(3);
        let mut resolve = |topic, alias| {
            let mut publish = publish(topic, alias);
            aliases.resolve(&mut publish).map(|()| publish.topic.to_string())
        };
        assert_eq!(resolve("", Some(2)), Err(ReasonCode::ProtocolError));
        assert_eq!(resolve("a", Some(2)).unwrap(), "a");
        assert_eq!(resolve("", Some(2)).unwrap(), "a");
        assert_eq!(resolve("", Some(1)), Err(ReasonCode::ProtocolError));
        assert_eq!(resolve("", Some(3)), Err(ReasonCode::ProtocolError));
        assert_eq!(resolve("b", Some(2)).unwrap(), "b");
        assert_eq!(resolve("", Some(2)).unwrap(), "b");
        assert_eq!(resolve("c", None).unwrap(), "c");
        assert_eq!(resolve("", None), Err(ReasonCode::ProtocolError));
        for alias in [0, 4, u16::MAX] {
            assert_eq!(resolve("a", Some(alias)), Err(ReasonCode::TopicAliasInvalid));
        }
    }

    #[test]
    fn none_are_given_where_none_are_taken_or_gained() {
        let plain = Choice { alias: None, send_topic: true };
        assert_eq!(Outbound::new(0).choose("a/long/topic"), plain);
        assert_eq!(Outbound::new(5).choose("a/b"), plain);
    }

    #[test]
    fn an_alias_is_good_once_its_packet_went() {
        let mut aliases = Outbound::new(1);
        let first = aliases.choose("topic/a");
        assert_eq!(first, Choice { alias: Some(1), send_topic: true });
        // Dropped instead: the next packet still brings the topic.
        assert_eq!(aliases.choose("topic/a"), first);
        aliases.sent("topic/a", first);
        assert_eq!(aliases.choose("topic/a"), Choice { alias: Some(1), send_topic: false });
        // In use: it stays for one turn, and goes at the next.
        assert_eq!(aliases.choose("topic/b"), Choice { alias: None, send_topic: true });
        assert_eq!(aliases.choose("topic/b"), first);
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_in(maximum in 1u16..6, steps in proptest::collection::vec((0u8..9, any::<bool>()), 0..200)) {
            let mut ours = Outbound::new(maximum);
            let mut theirs = Inbound::new(maximum);
            for (topic, drop) in steps {
                let name = format!("topic/{topic}");
                let choice = ours.choose(&name);
                if drop {
                    continue;
                }
                ours.sent(&name, choice);
                let mut publish = publish(if choice.send_topic { &name } else { "" }, choice.alias);
                prop_assert_eq!(theirs.resolve(&mut publish), Ok(()));
                prop_assert_eq!(&*publish.topic, &*name);
            }
            prop_assert!(ours.by_topic.len() == ours.slots.len() && ours.slots.len() <= maximum as usize);
        }
    }
}
