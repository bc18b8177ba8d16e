//! CONNECT and CONNACK.

use super::*;
use ReasonCode::{
    ClientIdentifierNotValid, MalformedPacket, ProtocolError, TopicNameInvalid, UnsupportedProtocolVersion,
};

const NAME_31: &[u8] = b"\0\x06MQIsdp\x03";
const NAME_311: &[u8] = b"\0\x04MQTT\x04";
const NAME_5: &[u8] = b"\0\x04MQTT\x05";

fn connect(name: &[u8], flags: u8, rest: &[&[u8]]) -> Vec<u8> {
    frame(0x10, &[name, &[flags, 0, 60], &rest.concat()])
}

fn fresh() -> Decoder {
    Decoder::server(MAXIMUM)
}

#[track_caller]
fn decoded(bytes: &[u8]) -> Connect {
    match accepted(fresh(), bytes) {
        Packet::Connect(connect) => *connect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_three_versions_are_told_by_name_and_level() {
    for (name, version) in [(NAME_31, Version::V31), (NAME_311, Version::V311)] {
        let connect = decoded(&connect(name, 0b10, &[&text("me")]));
        assert_eq!((connect.version, connect.keep_alive, connect.clean_start), (version, 60, true));
        assert_eq!(connect.client_id, "me");
    }
    let connect = decoded(&connect(NAME_5, 0, &[&[0], &text("me")]));
    assert_eq!((connect.version, connect.clean_start), (Version::V5, false));
    assert!(connect.request_problem_information);
}

#[test]
fn unknown_versions_are_answered_where_there_is_an_answer() {
    let cases: [(&[u8], Option<Version>); 7] = [
        (b"\0\x04MQTT\x06", Some(Version::V5)),
        (b"\0\x04MQTT\x03", Some(Version::V311)),
        (b"\0\x04MQTT\x84", Some(Version::V311)), // a bridge of mosquitto's
        (b"\0\x06MQIsdp\x04", Some(Version::V311)),
        (b"\0\x04mqtt\x05", None),
        (b"\0\x05MQTTX\x05", None),
        (b"\xFF\xFFMQTT\x05", None),
    ];
    for (name, answer) in cases {
        let error = fresh().decode(&connect(name, 2, &[&[0], &text("me")])).unwrap_err();
        assert_eq!((error.reason, error.connack_version()), (UnsupportedProtocolVersion, answer), "{name:?}");
    }
}

#[test]
fn flags_are_checked() {
    // reserved [MQTT-3.1.2-3]; will QoS, retain without a will; will QoS 3 [MQTT-3.1.2-12]
    for (name, flags) in [NAME_31, NAME_311, NAME_5].into_iter().flat_map(|name| {
        [0b11, 0b0000_1010, 0b0001_0010, 0b0010_0010, 0b0001_1110].map(|flags| (name, flags))
    }) {
        let error = fresh().decode(&connect(name, flags, &[&[0], &text("me")])).unwrap_err();
        assert_eq!(error.reason, MalformedPacket, "{flags:#b}");
        // MQTT 5 is told so in a CONNACK; 3.x is only closed [MQTT-3.1.4-1].
        assert_eq!(error.connack_version(), (name == NAME_5).then_some(Version::V5));
    }
}

#[test]
fn a_password_needs_a_user_name_before_mqtt_5() {
    let rest: [&[u8]; 2] = [&text("me"), &text("secret")];
    for name in [NAME_31, NAME_311] {
        assert_eq!(refused(fresh(), &connect(name, 0b0100_0010, &rest)), MalformedPacket);
    }
    let connect = decoded(&connect(NAME_5, 0b0100_0010, &[&[0], rest[0], rest[1]]));
    assert_eq!((connect.user_name, connect.password.as_deref()), (None, Some(&b"secret"[..])));
}

#[test]
fn passwords_are_binary() {
    let rest: [&[u8]; 3] = [&text("me"), &text("anna"), &[0, 3, 0xFF, 0, 0x80]];
    let connect = decoded(&connect(NAME_311, 0b1100_0010, &rest));
    assert_eq!(connect.user_name.as_deref(), Some("anna"));
    assert_eq!(connect.password.as_deref(), Some(&[0xFF, 0, 0x80][..]));
}

#[test]
fn mqtt_31_may_leave_out_what_it_flags() {
    let short = connect(NAME_31, 0b1100_0010, &[&text("me")]);
    assert_eq!(decoded(&short).user_name, None);
    let short = connect(NAME_311, 0b1100_0010, &[&text("me")]);
    assert_eq!(refused(fresh(), &short), MalformedPacket);
}

#[test]
fn an_empty_client_id_is_the_servers_to_give() {
    for (name, flags, good) in [(NAME_31, 2, false), (NAME_311, 0, false), (NAME_311, 2, true)] {
        let bytes = connect(name, flags, &[&text("")]);
        if good {
            assert_eq!(decoded(&bytes).client_id, "");
        } else {
            let error = fresh().decode(&bytes).unwrap_err();
            assert_eq!(error.reason, ClientIdentifierNotValid);
            assert!(error.connack_version().is_some(), "[MQTT-3.1.3-8] asks for a CONNACK");
        }
    }
    assert_eq!(decoded(&connect(NAME_5, 0, &[&[0], &text("")])).client_id, "");
}

#[test]
fn wills_have_proper_topics() {
    let will = |topic: &str| connect(NAME_311, 0b0010_1110, &[&text("me"), &text(topic), &text("gone")]);
    let will_of = decoded(&will("a/b")).will.unwrap();
    assert_eq!((&*will_of.topic, &*will_of.payload), ("a/b", &b"gone"[..]));
    assert_eq!((will_of.qos, will_of.retain), (QoS::AtLeastOnce, true));
    assert_eq!(refused(fresh(), &will("")), ProtocolError);
    assert_eq!(refused(fresh(), &will("a/#")), TopicNameInvalid);
    assert_eq!(refused(fresh(), &will("+")), TopicNameInvalid);
}

#[test]
fn nothing_follows_the_last_field() {
    for (name, props) in [(NAME_31, &[][..]), (NAME_311, &[]), (NAME_5, &[0])] {
        let bytes = connect(name, 2, &[props, &text("me"), b"x"]);
        assert_eq!(refused(fresh(), &bytes), MalformedPacket);
    }
}

#[test]
fn properties_are_read() {
    let given: [&[u8]; 10] = [
        &[0x11, 0, 0, 1, 0],
        &[0x21, 0, 9],
        &[0x27, 0, 0, 4, 0],
        &[0x22, 0, 7],
        &[0x19, 1],
        &[0x17, 0],
        b"\x26\0\x01a\0\x01b",
        b"\x26\0\x01a\0\x01c",
        b"\x15\0\x01m",
        b"\x16\0\x02\xFF\0",
    ];
    let connect = decoded(&connect(NAME_5, 2, &[&props(&given), &text("me")]));
    assert_eq!(connect.session_expiry, Some(256));
    assert_eq!((connect.receive_maximum, connect.maximum_packet_size), (Some(9), Some(1024)));
    assert_eq!(connect.topic_alias_maximum, 7);
    assert!(connect.request_response_information && !connect.request_problem_information);
    assert_eq!(connect.user_properties, [("a".into(), "b".into()), ("a".into(), "c".into())]);
    assert_eq!(connect.auth_method.as_deref(), Some("m"));
    assert_eq!(connect.auth_data.as_deref(), Some(&[0xFF, 0][..]));
}

#[test]
fn bad_properties_are_refused() {
    let cases: [(&[u8], ReasonCode); 14] = [
        (&[0x21, 0, 0], ProtocolError),                         // receive maximum 0
        (&[0x27, 0, 0, 0, 0], ProtocolError),                   // maximum packet size 0
        (&[0x17, 2], ProtocolError),                            // neither 0 nor 1
        (&[0x19, 2], ProtocolError),                            //
        (b"\x16\0\x01d", ProtocolError),                        // data without method
        (&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], ProtocolError), // twice
        (&[0x21, 0, 1, 0x21, 0, 1], ProtocolError),             //
        (b"\x15\0\x01m\x15\0\x01m", ProtocolError),             //
        (&[0x23, 0, 1], MalformedPacket),                       // topic alias
        (&[0x18, 0, 0, 0, 1], MalformedPacket),                 // will delay, here
        (&[0x00], MalformedPacket),                             // no such property
        (&[0x2B, 0], MalformedPacket),                          //
        (&[0xA6, 0x80, 0x80, 0x80, 0x01], MalformedPacket),     // identifier of five bytes
        (&[0x21, 0], MalformedPacket),                          // cut short
    ];
    for (property, reason) in cases {
        let error = fresh().decode(&connect(NAME_5, 2, &[&props(&[property]), &text("me")])).unwrap_err();
        assert_eq!((error.reason, error.connect), (reason, Some(Version::V5)), "{property:x?}");
    }
}

#[test]
fn will_properties_are_read_and_checked() {
    let with = |will: &[&[u8]]| {
        connect(NAME_5, 0b110, &[&[0], &text("me"), &props(will), &text("t"), &text("gone")])
    };
    let will = decoded(&with(&[&[0x18, 0, 0, 0, 5], &[0x01, 1], &[0x02, 0, 0, 0, 9], b"\x03\0\x01c"]));
    let will = will.will.unwrap();
    assert_eq!(will.delay_interval, 5);
    let message = will.properties.unwrap();
    assert_eq!((message.payload_format_utf8, message.message_expiry), (Some(true), Some(9)));
    assert_eq!(message.content_type.as_deref(), Some("c"));
    for (property, reason) in [
        (&[0x01, 2][..], ProtocolError),
        (b"\x08\0\x01+", ProtocolError),
        (&[0x23, 0, 1], MalformedPacket),
        (&[0x0B, 1], MalformedPacket),
        (&[0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1], ProtocolError),
    ] {
        assert_eq!(refused(fresh(), &with(&[property])), reason, "{property:x?}");
    }
}

#[test]
fn connack_is_read_by_clients() {
    for (code, reason) in [(0, ReasonCode::Success), (5, ReasonCode::NotAuthorized)] {
        let Packet::ConnAck(ack) = accepted(client(Version::V311), &[0x20, 2, 0, code]) else { panic!() };
        assert_eq!(ack.reason, reason);
    }
    let cases: [(Version, &[u8], ReasonCode); 7] = [
        (Version::V311, &[0x20, 2, 2, 0], MalformedPacket), // reserved flags [MQTT-3.2.2-1]
        (Version::V311, &[0x20, 2, 0, 6], MalformedPacket), // no such code
        (Version::V311, &[0x20, 2, 1, 5], ProtocolError),   // a session of a refusal [MQTT-3.2.2-4]
        (Version::V5, &[0x20, 3, 1, 0x87, 0], ProtocolError), // [MQTT-3.2.2-6]
        (Version::V5, &[0x20, 3, 0, 0x10, 0], ProtocolError), // another packet's code
        (Version::V5, &[0x20, 5, 0, 0, 2, 0x24, 2], ProtocolError), // maximum QoS 2
        (Version::V5, &[0x20, 5, 0, 0, 2, 0x2A, 2], ProtocolError), // neither 0 nor 1
    ];
    for (version, bytes, reason) in cases {
        assert_eq!(refused(client(version), bytes), reason, "{bytes:x?}");
    }
}
