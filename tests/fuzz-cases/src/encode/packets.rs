//! Packets out of bytes: good ones, as a version can carry them, or any that the types can hold.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use postern_broker::wire::{
    Ack, Auth, ConnAck, Connect, Disconnect, MessageProperties, Packet, PacketId, Publish, PublishProperties,
    QoS, ReasonCode, RetainHandling, Side, SubAck, Subscribe, SubscribeFilter, Text, Unsubscribe,
    UserProperties, Version, Will,
};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const HANDLING: [RetainHandling; 3] =
    [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];

pub(super) struct Maker<'a, 'b> {
    pub(super) u: &'a mut Unstructured<'b>,
    /// Only what MQTT allows.
    pub(super) good: bool,
    pub(super) version: Version,
}

impl Maker<'_, '_> {
    /// A packet that `side` may get.
    pub(super) fn packet(&mut self, side: Side) -> Result<Packet> {
        let server = side == Side::Server;
        Ok(match self.u.int_in_range(0..=11)? {
            0 if server => Packet::Connect(Box::new(self.connect()?)),
            0 => Packet::ConnAck(Box::new(self.connack()?)),
            1 | 2 => Packet::Publish(self.publish(server)?),
            3 => Packet::PubAck(self.ack(&[0x00, 0x10, 0x87, 0x97])?),
            4 => Packet::PubRec(self.ack(&[0x00, 0x10, 0x80, 0x90])?),
            5 => Packet::PubRel(self.ack(&[0x00, 0x92])?),
            6 => Packet::PubComp(self.ack(&[0x00, 0x92])?),
            7 if server => Packet::Subscribe(self.subscribe()?),
            7 => Packet::SubAck(self.suback(&[0x00, 0x01, 0x02, 0x80])?),
            8 if server => Packet::Unsubscribe(self.unsubscribe()?),
            8 => Packet::UnsubAck(self.suback(&[0x00, 0x11, 0x87])?),
            9 if server => Packet::PingReq,
            9 => Packet::PingResp,
            10 if server || self.version == Version::V5 => Packet::Disconnect(self.disconnect(server)?),
            _ => Packet::Auth(self.auth(if server { &[0x18, 0x19] } else { &[0x00, 0x18] })?),
        })
    }

    fn flag(&mut self) -> Result<bool> {
        self.u.arbitrary()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { make(self).map(Some) } else { Ok(None) }
    }

    fn many<T>(&mut self, least: usize, mut make: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u.int_in_range(least..=3)?;
        (0..count).map(|_| make(self)).collect()
    }

    /// A number that is at least 1 where MQTT wants it so.
    fn number(&mut self) -> Result<u32> {
        Ok(self.u.arbitrary::<u32>()?.max(u32::from(self.good)))
    }

    fn short(&mut self) -> Result<u16> {
        Ok(self.u.arbitrary::<u16>()?.max(u16::from(self.good)))
    }

    fn id(&mut self) -> Result<PacketId> {
        Ok(PacketId::new(self.u.arbitrary()?).unwrap_or(PacketId::MAX))
    }

    fn qos(&mut self) -> Result<QoS> {
        self.u.choose(&QOS).copied()
    }

    fn reason(&mut self, usual: &[u8]) -> Result<ReasonCode> {
        let code = if self.good { *self.u.choose(usual)? } else { self.u.arbitrary()? };
        Ok(ReasonCode::from_u8(code).unwrap_or_default())
    }

    /// Some length that is worth a try: short mostly, or near where a length takes a byte more.
    fn len(&mut self) -> Result<usize> {
        let lens = [0, 1, 2, 3, 5, 8, 13, 100, 122, 127, 128, 300, 16_378, 65_535, 65_536, 70_000];
        let len = *self.u.choose(&lens)?;
        Ok(if self.good && len > 65_535 { 4 } else { len })
    }

    fn text(&mut self) -> Result<Text> {
        if self.good || self.flag()? {
            let unit = *self.u.choose(&["a", "ä", "日", "/", "b/"])?;
            let len = self.len()?;
            return Ok(unit.repeat(len / unit.len()).into());
        }
        let len = self.u.int_in_range(0..=12)?;
        Ok(Text::from(String::from_utf8_lossy(self.u.bytes(len)?).into_owned()))
    }

    fn topic(&mut self) -> Result<Text> {
        let text = self.text()?;
        Ok(if self.good && text.is_empty() { "t".into() } else { text })
    }

    fn binary(&mut self) -> Result<Bytes> {
        let (byte, len) = (self.u.arbitrary()?, self.len()?);
        Ok(vec![byte; len].into())
    }

    fn user_properties(&mut self) -> Result<UserProperties> {
        self.many(0, |m| Ok((m.text()?, m.text()?)))
    }

    fn properties(&mut self) -> Result<PublishProperties> {
        let properties = MessageProperties {
            payload_format_utf8: self.maybe(Self::flag)?,
            message_expiry: self.maybe(Self::number)?,
            response_topic: self.maybe(Self::topic)?,
            correlation_data: self.maybe(Self::binary)?,
            content_type: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
        };
        let some = !self.good || properties != MessageProperties::default();
        Ok(some.then(|| Box::new(properties)))
    }

    fn connect(&mut self) -> Result<Connect> {
        let will = self.maybe(|m| {
            Ok(Box::new(Will {
                topic: m.topic()?,
                payload: m.binary()?,
                qos: m.qos()?,
                retain: m.flag()?,
                delay_interval: m.u.arbitrary()?,
                properties: m.properties()?,
            }))
        })?;
        let client_id = self.text()?;
        let auth_method = self.maybe(Self::text)?;
        let may_have_data = !self.good || auth_method.is_some();
        Ok(Connect {
            version: self.version,
            clean_start: self.flag()?,
            keep_alive: self.u.arbitrary()?,
            // Only MQTT 5 lets any client leave it out.
            client_id: if self.good && client_id.is_empty() { "me".into() } else { client_id },
            will,
            user_name: self.maybe(Self::text)?,
            password: self.maybe(Self::binary)?,
            session_expiry: self.maybe(Self::number)?,
            receive_maximum: self.maybe(Self::short)?,
            maximum_packet_size: self.maybe(Self::number)?,
            topic_alias_maximum: self.u.arbitrary()?,
            request_response_information: self.flag()?,
            request_problem_information: self.flag()?,
            user_properties: self.user_properties()?,
            auth_method,
            auth_data: self.maybe(Self::binary)?.filter(|_| may_have_data),
        })
    }

    fn connack(&mut self) -> Result<ConnAck> {
        let reason = self.reason(&[0x00, 0x84, 0x86, 0x87, 0x9D])?;
        let maximum_qos = self.maybe(Self::qos)?;
        Ok(ConnAck {
            session_present: self.flag()? && !(self.good && reason.is_error()),
            reason,
            session_expiry: self.maybe(Self::number)?,
            receive_maximum: self.maybe(Self::short)?,
            maximum_qos: maximum_qos.filter(|qos| !self.good || *qos != QoS::ExactlyOnce),
            retain_available: self.maybe(Self::flag)?,
            maximum_packet_size: self.maybe(Self::number)?,
            assigned_client_id: self.maybe(Self::text)?,
            topic_alias_maximum: self.maybe(Self::short)?,
            reason_string: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
            server_keep_alive: self.maybe(Self::short)?,
            response_information: self.maybe(Self::text)?,
            server_reference: self.maybe(Self::text)?,
            auth_method: self.maybe(Self::text)?,
            auth_data: self.maybe(Self::binary)?,
        })
    }

    fn publish(&mut self, from_client: bool) -> Result<Publish> {
        let qos = self.qos()?;
        let needs_id = qos != QoS::AtMostOnce;
        let topic_alias = self.maybe(Self::short)?;
        let by_alias = topic_alias.is_some() && self.version == Version::V5 && self.flag()?;
        let topic = self.topic()?;
        let ids = if from_client && self.good { Vec::new() } else { self.many(0, Self::number)? };
        Ok(Publish {
            dup: self.flag()? && (needs_id || !self.good),
            qos,
            retain: self.flag()?,
            topic: if by_alias { Text::new() } else { topic },
            packet_id: if self.good {
                needs_id.then(|| self.id()).transpose()?
            } else {
                self.maybe(Self::id)?
            },
            payload: self.binary()?,
            topic_alias,
            subscription_ids: ids.into_iter().map(|id| self.subscription(id)).collect(),
            properties: self.properties()?,
        })
    }

    fn subscription(&self, id: u32) -> u32 {
        if self.good { id.clamp(1, 268_435_455) } else { id }
    }

    fn ack(&mut self, usual: &[u8]) -> Result<Ack> {
        Ok(Ack {
            packet_id: self.id()?,
            reason: self.reason(usual)?,
            reason_string: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
        })
    }

    fn subscribe(&mut self) -> Result<Subscribe> {
        let least = usize::from(self.good);
        let subscription_id = self.maybe(Self::number)?;
        Ok(Subscribe {
            packet_id: self.id()?,
            subscription_id: subscription_id.map(|id| self.subscription(id)),
            user_properties: self.user_properties()?,
            filters: self.many(least, |m| {
                Ok(SubscribeFilter {
                    filter: m.text()?,
                    qos: m.qos()?,
                    no_local: m.flag()?,
                    retain_as_published: m.flag()?,
                    retain_handling: *m.u.choose(&HANDLING)?,
                })
            })?,
        })
    }

    fn unsubscribe(&mut self) -> Result<Unsubscribe> {
        let least = usize::from(self.good);
        Ok(Unsubscribe {
            packet_id: self.id()?,
            user_properties: self.user_properties()?,
            filters: self.many(least, Self::text)?,
        })
    }

    fn suback(&mut self, usual: &[u8]) -> Result<SubAck> {
        let least = usize::from(self.good);
        Ok(SubAck {
            packet_id: self.id()?,
            reason_string: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
            reasons: self.many(least, |m| m.reason(usual))?,
        })
    }

    fn disconnect(&mut self, from_client: bool) -> Result<Disconnect> {
        let may_have_expiry = from_client || !self.good;
        Ok(Disconnect {
            reason: self.reason(if from_client { &[0x00, 0x04, 0x81] } else { &[0x00, 0x8B, 0x8E] })?,
            session_expiry: self.maybe(Self::number)?.filter(|_| may_have_expiry),
            reason_string: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
            server_reference: self.maybe(Self::text)?,
        })
    }

    fn auth(&mut self, usual: &[u8]) -> Result<Auth> {
        let method = self.text()?;
        Ok(Auth {
            reason: self.reason(usual)?,
            method: (self.good || self.flag()?).then_some(method),
            data: self.maybe(Self::binary)?,
            reason_string: self.maybe(Self::text)?,
            user_properties: self.user_properties()?,
        })
    }
}
