//! CONNECT and CONNACK.

use super::super::packet::{ConnAck, Connect, QoS, Version, Will};
use super::super::property as id;
use super::Shape;
use super::publish::message_properties;
use super::sink::{Sink, properties};

pub(super) fn connect(connect: &Connect, sink: &mut dyn Sink) {
    let version = connect.version;
    let (name, level): (&[u8], u8) = match version {
        Version::V31 => (b"MQIsdp", 3),
        Version::V311 => (b"MQTT", 4),
        Version::V5 => (b"MQTT", 5),
    };
    // Before MQTT 5 a password needs a user name [MQTT-3.1.2-22].
    let password =
        connect.password.as_ref().filter(|_| version == Version::V5 || connect.user_name.is_some());
    let mut flags = u8::from(connect.clean_start) << 1;
    if let Some(will) = &connect.will {
        flags |= 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5;
    }
    flags |= u8::from(password.is_some()) << 6 | u8::from(connect.user_name.is_some()) << 7;

    sink.field(name);
    sink.u8(level);
    sink.u8(flags);
    sink.u16(connect.keep_alive);
    if version == Version::V5 {
        properties(sink, &|sink| connect_properties(connect, sink));
    }
    sink.field(connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        if version == Version::V5 {
            properties(sink, &|sink| will_properties(will, sink));
        }
        sink.field(will.topic.as_bytes());
        sink.field(&will.payload);
    }
    if let Some(user_name) = &connect.user_name {
        sink.field(user_name.as_bytes());
    }
    if let Some(password) = password {
        sink.field(password);
    }
}

fn connect_properties(connect: &Connect, sink: &mut dyn Sink) {
    let alias_maximum = connect.topic_alias_maximum;
    sink.u32_property(id::SESSION_EXPIRY_INTERVAL, connect.session_expiry);
    sink.u16_property(id::RECEIVE_MAXIMUM, connect.receive_maximum);
    sink.u32_property(id::MAXIMUM_PACKET_SIZE, connect.maximum_packet_size);
    sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, (alias_maximum != 0).then_some(alias_maximum));
    sink.byte_property(id::REQUEST_RESPONSE_INFORMATION, connect.request_response_information.then_some(1));
    sink.byte_property(id::REQUEST_PROBLEM_INFORMATION, (!connect.request_problem_information).then_some(0));
    sink.user_properties(&connect.user_properties);
    sink.text_property(id::AUTHENTICATION_METHOD, &connect.auth_method);
    sink.binary_property(id::AUTHENTICATION_DATA, &connect.auth_data);
}

fn will_properties(will: &Will, sink: &mut dyn Sink) {
    sink.u32_property(id::WILL_DELAY_INTERVAL, (will.delay_interval != 0).then_some(will.delay_interval));
    if let Some(message) = &will.properties {
        message_properties(message, message.message_expiry, sink);
    }
}

pub(super) fn connack(ack: &ConnAck, shape: Shape, sink: &mut dyn Sink) {
    let accepted = !ack.reason.is_error();
    // MQTT 3.1 does not use the byte; a refusal has no session [MQTT-3.2.2-6].
    sink.u8(u8::from(ack.session_present && accepted && shape.version != Version::V31));
    if shape.version != Version::V5 {
        sink.u8(ack.reason.connect_return_code());
        return;
    }
    sink.u8(ack.reason as u8);
    properties(sink, &|sink| {
        sink.u32_property(id::SESSION_EXPIRY_INTERVAL, ack.session_expiry);
        sink.u16_property(id::RECEIVE_MAXIMUM, ack.receive_maximum);
        // Absent means 2, and there is no way to say so (section 3.2.2.3.4).
        let maximum_qos = ack.maximum_qos.filter(|qos| *qos != QoS::ExactlyOnce);
        sink.byte_property(id::MAXIMUM_QOS, maximum_qos.map(|qos| qos as u8));
        sink.byte_property(id::RETAIN_AVAILABLE, ack.retain_available.map(u8::from));
        sink.u32_property(id::MAXIMUM_PACKET_SIZE, ack.maximum_packet_size);
        sink.text_property(id::ASSIGNED_CLIENT_IDENTIFIER, &ack.assigned_client_id);
        sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, ack.topic_alias_maximum);
        shape.diagnostics(&ack.reason_string, &ack.user_properties, sink);
        sink.u16_property(id::SERVER_KEEP_ALIVE, ack.server_keep_alive);
        sink.text_property(id::RESPONSE_INFORMATION, &ack.response_information);
        sink.text_property(id::SERVER_REFERENCE, &ack.server_reference);
        sink.text_property(id::AUTHENTICATION_METHOD, &ack.auth_method);
        sink.binary_property(id::AUTHENTICATION_DATA, &ack.auth_data);
    });
}
