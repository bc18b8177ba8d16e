//! Ordinary MQTT at a steady rate between anonymous clients that stay, at QoS 0 and 1 in turns; and retained
//! messages that are replaced all the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postern_broker::wire::{
    Ack, Connect, Packet, PacketId, Publish, PublishHeader, QoS, ReasonCode, Version, encode_publish,
};
use postern_tests::connect;
use tokio::sync::watch;

use super::door::{Ending, Listener};
use super::{Told, World, every};
use crate::links::AnyLine;

/// Publishers, and subscribers.
pub(super) const PAIRS: usize = 8;
/// Topics with a retained message.
pub(super) const STATES: usize = 10;
/// Between two messages of a publisher.
const PAUSE: Duration = Duration::from_millis(50);
const PING: Duration = Duration::from_secs(15);
const BODY: usize = 128;

/// A CONNECT of a client that stays.
fn stays(client: &str) -> Connect {
    Connect { keep_alive: 60, ..connect(Version::V311, client) }
}

/// One publisher.
pub(super) async fn publish(world: Arc<World>, pair: usize, mut told: watch::Receiver<Told>) -> Result<()> {
    let (mut line, _) =
        world.door.open(Listener::Tcp, Ending::Goodbye, stays(&format!("flow-pub-{pair}"))).await?;
    let mut pause = every(PAUSE);
    let mut ping = every(PING);
    let mut sent: HashMap<PacketId, Instant> = HashMap::new();
    let mut count = 0_u64;
    loop {
        // Not marked as seen: `changed` has to tell it.
        let is_live = *told.borrow() == Told::Live;
        tokio::select! {
            _ = pause.tick(), if is_live && world.is_ready() => {
                let qos = if count.is_multiple_of(2) { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                let id = PacketId::MIN.saturating_add(u16::try_from(count % 60_000)?);
                if qos == QoS::AtLeastOnce {
                    sent.insert(id, Instant::now());
                }
                let topic = format!("soak/flow/{pair}/{}", count % 2);
                put(&mut line, &topic, qos, Some(id), false, &numbered(&world, count / 2))?;
                count += 1;
                world.watch.count("flow_sent");
            }
            _ = ping.tick() => line.send(&Packet::PingReq)?,
            filled = line.fill() => {
                filled?;
                while let Some(packet) = line.next()? {
                    let Packet::PubAck(ack) = packet else { continue };
                    let at = sent.remove(&ack.packet_id).context("an acknowledgement of nothing")?;
                    world.watch.took("flow_ack", at.elapsed());
                }
            }
            changed = told.changed() => {
                changed.context("the soak is over")?;
                if *told.borrow() == Told::Leave {
                    line.close().await;
                    return Ok(());
                }
            }
        }
        line.flush().await?;
    }
}

/// One subscriber, on each listener in turn.
pub(super) async fn subscribe(world: Arc<World>, pair: usize, mut told: watch::Receiver<Told>) -> Result<()> {
    let listener = Listener::ALL.into_iter().cycle().nth(pair).context("listeners")?;
    let hello = stays(&format!("flow-sub-{pair}"));
    let (mut line, _) = world.door.open(listener, Ending::Goodbye, hello).await?;
    line.subscribe(&format!("soak/flow/{pair}/+"), QoS::AtLeastOnce).await?;
    let mut ping = every(PING);
    let mut expected = [0_u64; 2];
    world.watch.count("flow_subscribers");
    loop {
        tokio::select! {
            _ = ping.tick() => line.send(&Packet::PingReq)?,
            filled = line.fill() => {
                filled?;
                while let Some(packet) = line.next()? {
                    let Packet::Publish(publish) = packet else { continue };
                    acknowledge(&mut line, &publish)?;
                    let (Some((number, stamp)), Some(expected)) =
                        (number(&publish.payload), expected.get_mut(usize::from(publish.topic.ends_with('1'))))
                    else {
                        continue;
                    };
                    world.watch.count("flow_came");
                    if publish.topic.ends_with('1') {
                        world.watch.took("flow_delivery", world.watch.since(stamp));
                    }
                    match number.checked_sub(*expected) {
                        Some(missing) => {
                            world.watch.add("flow_lost", missing);
                            *expected = number + 1;
                        }
                        None => world.watch.count("flow_twice"),
                    }
                }
            }
            changed = told.changed() => {
                changed.context("the soak is over")?;
                if *told.borrow() == Told::Leave {
                    line.close().await;
                    return Ok(());
                }
            }
        }
        line.flush().await?;
    }
}

/// Replaces the retained messages.
pub(super) async fn retain(world: Arc<World>, mut told: watch::Receiver<Told>) -> Result<()> {
    let (mut line, _) = world.door.open(Listener::Tcp, Ending::Goodbye, stays("flow-state")).await?;
    let mut pause = every(Duration::from_millis(100));
    let mut count = 0;
    loop {
        tokio::select! {
            _ = pause.tick() => {
                let topic = format!("soak/state/{}", count % STATES);
                put(&mut line, &topic, QoS::AtMostOnce, None, true, &numbered(&world, 0))?;
                count += 1;
                if count == STATES {
                    world.watch.count("states_there");
                }
            }
            filled = line.fill() => filled?,
            changed = told.changed() => {
                changed.context("the soak is over")?;
                if *told.borrow() == Told::Leave {
                    line.close().await;
                    return Ok(());
                }
            }
        }
        line.flush().await?;
    }
}

/// Puts a message to what is to be written.
pub(super) fn put(
    line: &mut AnyLine,
    topic: &str,
    qos: QoS,
    packet_id: Option<PacketId>,
    retain: bool,
    body: &str,
) -> Result<()> {
    let header = PublishHeader { qos, packet_id, retain, ..PublishHeader::default() };
    encode_publish(&header, topic, body.as_bytes(), None, line.version, &mut line.output).context("encode")
}

/// A PUBACK, if one is due.
pub(super) fn acknowledge(line: &mut AnyLine, publish: &Publish) -> Result<()> {
    match publish.packet_id {
        Some(id) => line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success))),
        None => Ok(()),
    }
}

/// A body with a number and the time.
pub(super) fn numbered(world: &World, number: u64) -> String {
    format!("{:x<BODY$}", format!("{number} {} ", world.watch.micros()))
}

/// Both of such a body.
pub(super) fn number(body: &[u8]) -> Option<(u64, u64)> {
    let mut words = std::str::from_utf8(body).ok()?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
