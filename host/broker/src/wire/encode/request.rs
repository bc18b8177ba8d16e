//! SUBSCRIBE and UNSUBSCRIBE, for clients.

use super::super::packet::{Subscribe, SubscribeFilter, Unsubscribe, Version};
use super::super::property as id;
use super::sink::{Sink, properties};

pub(super) fn subscribe(subscribe: &Subscribe, version: Version, sink: &mut dyn Sink) {
    sink.u16(subscribe.packet_id.get());
    if version == Version::V5 {
        properties(sink, &|sink| {
            sink.var_property(id::SUBSCRIPTION_IDENTIFIER, subscribe.subscription_id);
            sink.user_properties(&subscribe.user_properties);
        });
    }
    for filter in &subscribe.filters {
        sink.field(filter.filter.as_bytes());
        sink.u8(options(filter, version));
    }
}

/// The byte behind a filter (section 3.8.3.1).
fn options(filter: &SubscribeFilter, version: Version) -> u8 {
    let qos = filter.qos as u8;
    if version != Version::V5 {
        return qos;
    }
    qos | u8::from(filter.no_local) << 2
        | u8::from(filter.retain_as_published) << 3
        | (filter.retain_handling as u8) << 4
}

pub(super) fn unsubscribe(unsubscribe: &Unsubscribe, version: Version, sink: &mut dyn Sink) {
    sink.u16(unsubscribe.packet_id.get());
    if version == Version::V5 {
        properties(sink, &|sink| sink.user_properties(&unsubscribe.user_properties));
    }
    for filter in &unsubscribe.filters {
        sink.field(filter.as_bytes());
    }
}
