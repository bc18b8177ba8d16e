//! SUBSCRIBE and UNSUBSCRIBE.

use super::super::error::DecodeError;
use super::super::packet::{QoS, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe, Version};
use super::super::property as id;
use super::publish::subscription_id;
use super::reader::Reader;

type Result<T> = std::result::Result<T, DecodeError>;

const NO_FILTER: DecodeError = DecodeError::protocol("no topic filter [MQTT-3.8.3-2, MQTT-3.10.3-2]");

pub(super) fn subscribe(r: &mut Reader<'_>, version: Version) -> Result<Subscribe> {
    let mut subscribe = Subscribe {
        packet_id: r.packet_id()?,
        subscription_id: None,
        user_properties: Vec::new(),
        filters: Vec::new(),
    };
    if version == Version::V5 {
        r.properties(id::SUBSCRIBE, |property, r| {
            match property {
                id::SUBSCRIPTION_IDENTIFIER => subscribe.subscription_id = Some(subscription_id(r)?),
                _ => subscribe.user_properties.push(r.pair()?),
            }
            Ok(())
        })?;
    }
    if r.is_empty() {
        return Err(NO_FILTER);
    }
    while !r.is_empty() {
        subscribe.filters.push(filter(r, version)?);
    }
    Ok(subscribe)
}

fn filter(r: &mut Reader<'_>, version: Version) -> Result<SubscribeFilter> {
    let filter = r.text()?;
    let options = r.u8()?;
    let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(DecodeError::malformed("reserved bits of a subscription's options [MQTT-3.8.3-5]"));
    }
    let qos = QoS::from_bits(options & 0b11).ok_or(match version {
        Version::V5 => DecodeError::protocol("maximum QoS 3"),
        _ => DecodeError::malformed("QoS 3 [MQTT-3-8.3-4]"),
    })?;
    let no_local = options & 0b100 != 0;
    if no_local && filter.starts_with("$share/") {
        return Err(DecodeError::protocol("No Local on a shared subscription [MQTT-3.8.3-4]"));
    }
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(DecodeError::protocol("retain handling 3")),
    };
    Ok(SubscribeFilter { filter, qos, no_local, retain_as_published: options & 0b1000 != 0, retain_handling })
}

pub(super) fn unsubscribe(r: &mut Reader<'_>, version: Version) -> Result<Unsubscribe> {
    let mut unsubscribe =
        Unsubscribe { packet_id: r.packet_id()?, user_properties: Vec::new(), filters: Vec::new() };
    if version == Version::V5 {
        r.properties(id::UNSUBSCRIBE, |_, r| {
            unsubscribe.user_properties.push(r.pair()?);
            Ok(())
        })?;
    }
    if r.is_empty() {
        return Err(NO_FILTER);
    }
    while !r.is_empty() {
        unsubscribe.filters.push(r.text()?);
    }
    Ok(unsubscribe)
}
