//! Random packets, as each version can carry them.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::super::*;

/// A packet, the version it fits, and the side that decodes it.
pub(super) fn sample() -> BoxedStrategy<(Version, Side, Packet)> {
    prop_oneof![Just(Version::V31), Just(Version::V311), Just(Version::V5)]
        .prop_flat_map(|version| {
            let from_client = prop_oneof![
                connect().prop_map(|c| Packet::Connect(Box::new(c))),
                publish()
                    .prop_map(|p| Packet::Publish(Publish { subscription_ids: Default::default(), ..p })),
                acks(),
                subscribe().prop_map(Packet::Subscribe),
                unsubscribe().prop_map(Packet::Unsubscribe),
                Just(Packet::PingReq),
                disconnect(&[0x00, 0x04, 0x81]).prop_map(Packet::Disconnect),
                auth(&[0x18, 0x19]),
            ];
            let from_server = prop_oneof![
                connack().prop_map(|c| Packet::ConnAck(Box::new(c))),
                publish().prop_map(Packet::Publish),
                acks(),
                suback(&[0x00, 0x01, 0x02, 0x80]).prop_map(Packet::SubAck),
                suback(&[0x00, 0x11, 0x87]).prop_map(Packet::UnsubAck),
                Just(Packet::PingResp),
                disconnect(&[0x00, 0x8B, 0x8E])
                    .prop_map(|d| Packet::Disconnect(Disconnect { session_expiry: None, ..d })),
                auth(&[0x00, 0x18]),
            ];
            let client = from_client.prop_map(|packet| (Side::Server, packet));
            let server = from_server.prop_map(|packet| (Side::Client, packet));
            prop_oneof![client, server]
                .prop_filter("AUTH and a server's DISCONNECT are of MQTT 5", move |(side, packet)| {
                    match packet {
                        Packet::Auth(_) => version == Version::V5,
                        Packet::Disconnect(_) => version == Version::V5 || *side == Side::Server,
                        _ => true,
                    }
                })
                .prop_map(move |(side, packet)| (version, side, cut_down(packet, version)))
        })
        .boxed()
}

/// What is left of a packet in `version`: this states anew what the encoder leaves out.
fn cut_down(packet: Packet, version: Version) -> Packet {
    if version == Version::V5 {
        return match packet {
            Packet::Connect(c) => Packet::Connect(Box::new(Connect { version, ..*c })),
            other => other,
        };
    }
    let plain = |ack: Ack| Ack::new(ack.packet_id, ReasonCode::Success);
    let silent = |ack: SubAck| SubAck { reason_string: None, user_properties: Vec::new(), ..ack };
    match packet {
        Packet::Connect(c) => Packet::Connect(Box::new(old_connect(*c, version))),
        Packet::ConnAck(c) => Packet::ConnAck(Box::new(ConnAck {
            session_present: c.session_present && version != Version::V31,
            reason: ReasonCode::from_connect_return_code(c.reason.connect_return_code()).unwrap(),
            ..ConnAck::default()
        })),
        Packet::Publish(p) => Packet::Publish(Publish {
            topic: if p.topic.is_empty() { "was/empty".into() } else { p.topic },
            topic_alias: None,
            subscription_ids: Default::default(),
            properties: None,
            ..p
        }),
        Packet::PubAck(ack) => Packet::PubAck(plain(ack)),
        Packet::PubRec(ack) => Packet::PubRec(plain(ack)),
        Packet::PubRel(ack) => Packet::PubRel(plain(ack)),
        Packet::PubComp(ack) => Packet::PubComp(plain(ack)),
        Packet::SubAck(ack) => Packet::SubAck(silent(ack)),
        Packet::UnsubAck(ack) => Packet::UnsubAck(SubAck { reasons: Vec::new(), ..silent(ack) }),
        Packet::Subscribe(s) => Packet::Subscribe(Subscribe {
            subscription_id: None,
            user_properties: Vec::new(),
            filters: s.filters.into_iter().map(old_filter).collect(),
            ..s
        }),
        Packet::Unsubscribe(u) => Packet::Unsubscribe(Unsubscribe { user_properties: Vec::new(), ..u }),
        Packet::Disconnect(_) => Packet::Disconnect(Disconnect::default()),
        other => other,
    }
}

fn old_connect(c: Connect, version: Version) -> Connect {
    Connect {
        version,
        client_id: if c.client_id.is_empty() { "me".into() } else { c.client_id },
        will: c.will.map(|will| Box::new(Will { delay_interval: 0, properties: None, ..*will })),
        password: c.password.filter(|_| c.user_name.is_some()),
        session_expiry: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        user_properties: Vec::new(),
        auth_method: None,
        auth_data: None,
        ..c
    }
}

fn old_filter(filter: SubscribeFilter) -> SubscribeFilter {
    SubscribeFilter {
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
        ..filter
    }
}

fn text() -> BoxedStrategy<Text> {
    "[a-zäß日/ ]{0,12}".prop_map(Text::from).boxed()
}

fn topic() -> BoxedStrategy<Text> {
    "[a-zé]{1,4}(/[a-z$]{0,9}){0,4}".prop_map(Text::from).boxed()
}

fn binary() -> BoxedStrategy<Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from).boxed()
}

fn id() -> BoxedStrategy<PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap()).boxed()
}

fn qos() -> BoxedStrategy<QoS> {
    (0u8..3).prop_map(|bits| QoS::from_bits(bits).unwrap()).boxed()
}

fn user_properties() -> BoxedStrategy<UserProperties> {
    vec((text(), text()), 0..3).boxed()
}

fn one_of(codes: &'static [u8]) -> BoxedStrategy<ReasonCode> {
    proptest::sample::select(codes).prop_map(|code| ReasonCode::from_u8(code).unwrap()).boxed()
}

fn properties() -> BoxedStrategy<PublishProperties> {
    let fields =
        (of(any::<bool>()), of(any::<u32>()), of(topic()), of(binary()), of(text()), user_properties());
    fields
        .prop_map(|(utf8, expiry, response_topic, correlation_data, content_type, user_properties)| {
            let message = MessageProperties {
                payload_format_utf8: utf8,
                message_expiry: expiry,
                response_topic,
                correlation_data,
                content_type,
                user_properties,
            };
            (message != MessageProperties::default()).then(|| Box::new(message))
        })
        .boxed()
}

fn connect() -> BoxedStrategy<Connect> {
    let will = (topic(), binary(), qos(), any::<bool>(), any::<u32>(), properties()).prop_map(
        |(topic, payload, qos, retain, delay_interval, properties)| {
            Box::new(Will { topic, payload, qos, retain, delay_interval, properties })
        },
    );
    let who = (text(), of(will), of(text()), of(binary()));
    let limits = (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), any::<u16>());
    let rest = (any::<[bool; 3]>(), any::<u16>(), user_properties(), of((text(), of(binary()))));
    (who, limits, rest)
        .prop_map(|(who, limits, (flags, keep_alive, user_properties, auth))| Connect {
            version: Version::V5,
            clean_start: flags[0] || who.0.is_empty(),
            keep_alive,
            client_id: who.0,
            will: who.1,
            user_name: who.2,
            password: who.3,
            session_expiry: limits.0,
            receive_maximum: limits.1,
            maximum_packet_size: limits.2,
            topic_alias_maximum: limits.3,
            request_response_information: flags[1],
            request_problem_information: flags[2],
            user_properties,
            auth_method: auth.as_ref().map(|(method, _)| method.clone()),
            auth_data: auth.and_then(|(_, data)| data),
        })
        .boxed()
}

fn connack() -> BoxedStrategy<ConnAck> {
    let limits = (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()), of(any::<u16>()));
    let able = (any::<bool>(), of(any::<bool>()), of(any::<bool>()));
    let texts = (of(text()), of(text()), of(text()), of(text()), of(text()));
    (one_of(&[0x00, 0x84, 0x86, 0x87, 0x9D]), limits, able, texts, user_properties(), of(binary()))
        .prop_map(|(reason, limits, able, texts, user_properties, auth_data)| ConnAck {
            session_present: able.0 && !reason.is_error(),
            reason,
            session_expiry: limits.0,
            receive_maximum: limits.1,
            maximum_qos: able.1.map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
            retain_available: able.2,
            maximum_packet_size: limits.2,
            assigned_client_id: texts.0,
            topic_alias_maximum: limits.3,
            reason_string: texts.1,
            user_properties,
            server_keep_alive: limits.4,
            response_information: texts.2,
            server_reference: texts.3,
            auth_method: texts.4,
            auth_data,
        })
        .boxed()
}

fn publish() -> BoxedStrategy<Publish> {
    let ids = vec(1..=268_435_455u32, 0..3);
    (any::<[bool; 3]>(), qos(), topic(), id(), binary(), of(1..=u16::MAX), ids, properties())
        .prop_map(|(flags, qos, topic, packet_id, payload, topic_alias, ids, properties)| Publish {
            dup: flags[0] && qos != QoS::AtMostOnce,
            qos,
            retain: flags[1],
            topic: if flags[2] && topic_alias.is_some() { Text::new() } else { topic },
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            payload,
            topic_alias,
            subscription_ids: ids.into(),
            properties,
        })
        .boxed()
}

fn acks() -> BoxedStrategy<Packet> {
    let ack = |codes| {
        (id(), one_of(codes), of(text()), user_properties()).prop_map(
            |(packet_id, reason, reason_string, user_properties)| Ack {
                packet_id,
                reason,
                reason_string,
                user_properties,
            },
        )
    };
    prop_oneof![
        ack(&[0x00, 0x10, 0x87, 0x97]).prop_map(Packet::PubAck),
        ack(&[0x00, 0x80, 0x90]).prop_map(Packet::PubRec),
        ack(&[0x00, 0x92]).prop_map(Packet::PubRel),
        ack(&[0x00, 0x92]).prop_map(Packet::PubComp),
    ]
    .boxed()
}

fn subscribe() -> BoxedStrategy<Subscribe> {
    let handling = prop_oneof![
        Just(RetainHandling::Send),
        Just(RetainHandling::SendIfNew),
        Just(RetainHandling::DoNotSend)
    ];
    let filter = (topic(), qos(), any::<[bool; 2]>(), handling).prop_map(
        |(filter, qos, [no_local, retain_as_published], retain_handling)| SubscribeFilter {
            filter,
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    );
    (id(), of(1..=268_435_455u32), user_properties(), vec(filter, 1..5))
        .prop_map(|(packet_id, subscription_id, user_properties, filters)| Subscribe {
            packet_id,
            subscription_id,
            user_properties,
            filters,
        })
        .boxed()
}

fn unsubscribe() -> BoxedStrategy<Unsubscribe> {
    (id(), user_properties(), vec(topic(), 1..5))
        .prop_map(|(packet_id, user_properties, filters)| Unsubscribe { packet_id, user_properties, filters })
        .boxed()
}

fn suback(codes: &'static [u8]) -> BoxedStrategy<SubAck> {
    (id(), of(text()), user_properties(), vec(one_of(codes), 1..5))
        .prop_map(|(packet_id, reason_string, user_properties, reasons)| SubAck {
            packet_id,
            reason_string,
            user_properties,
            reasons,
        })
        .boxed()
}

fn disconnect(codes: &'static [u8]) -> BoxedStrategy<Disconnect> {
    (one_of(codes), of(any::<u32>()), of(text()), user_properties(), of(text()))
        .prop_map(|(reason, session_expiry, reason_string, user_properties, server_reference)| Disconnect {
            reason,
            session_expiry,
            reason_string,
            user_properties,
            server_reference,
        })
        .boxed()
}

fn auth(codes: &'static [u8]) -> BoxedStrategy<Packet> {
    (one_of(codes), text(), of(binary()), of(text()), user_properties())
        .prop_map(|(reason, method, data, reason_string, user_properties)| {
            Packet::Auth(Auth { reason, method: Some(method), data, reason_string, user_properties })
        })
        .boxed()
}
