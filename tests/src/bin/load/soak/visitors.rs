//! Anonymous clients that come once, each with a name of its own, and are gone within seconds: with wills, with
//! sessions that nobody returns to, in silence, or without having said a whole packet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use postern_broker::wire::{
    Connect, Packet, PacketId, QoS, RetainHandling, Subscribe, SubscribeFilter, Version, Will,
};
use postern_tests::{connect, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::door::{Ending, Listener};
use super::flow::{self, STATES, acknowledge, put};
use super::{Told, World, every};
use crate::links::AnyLine;

/// Between two visitors.
const PAUSE: Duration = Duration::from_millis(250);
/// What a visitor waits for comes within this.
const PATIENCE: Duration = Duration::from_secs(20);
/// A session that nobody returns to, seconds.
const ABANDONED_SECS: u32 = 5;

/// Sends one after the other until it is told to leave.
pub(super) async fn come(world: Arc<World>, told: watch::Receiver<Told>) -> Result<()> {
    let (mut dice, mut pause) = (Dice::new(11), every(PAUSE));
    let mut here = JoinSet::new();
    let mut number = 0;
    while *told.borrow() == Told::Live {
        pause.tick().await;
        if !world.is_ready() {
            continue;
        }
        let listener = dice.one(&Listener::ALL).context("listeners")?;
        let (world, face) = (world.clone(), dice.below(12));
        here.spawn(async move {
            world.watch.count("visitors");
            let visit = match face {
                0..=2 => look_at_states(&world, listener, number).await,
                3..=5 => leave_a_will(&world, listener, number).await,
                6 | 7 => fall_silent(&world, listener, number).await,
                8 => abandon(&world, listener, number).await,
                9 => take_over(&world, listener).await,
                10 => half_a_packet(&world, listener).await,
                _ => knock(&world, listener).await,
            };
            if let Err(error) = visit {
                world.watch.fault(&format!("visitor {face} on {}", listener.name()), &error);
            }
        });
        number += 1;
        while let Some(ended) = here.try_join_next() {
            ended?;
        }
    }
    here.join_all().await;
    Ok(())
}

fn hello(number: u64) -> Connect {
    connect(if number.is_multiple_of(2) { Version::V5 } else { Version::V311 }, &format!("visitor-{number}"))
}

/// Asks for what is retained, gets all of it, and says goodbye.
async fn look_at_states(world: &World, listener: Listener, number: u64) -> Result<()> {
    let (mut line, _) = world.door.open(listener, Ending::Goodbye, hello(number)).await?;
    ask_for(&mut line, "soak/state/+")?;
    let mut states = 0;
    while states < STATES {
        let Packet::Publish(publish) = soon(&mut line).await.context("retained messages")? else { continue };
        acknowledge(&mut line, &publish)?;
        line.flush().await?;
        states += usize::from(publish.retain);
    }
    world.watch.count("looked_at_states");
    line.close().await;
    Ok(())
}

/// Its will is published for it, once, as it is reset.
async fn leave_a_will(world: &World, listener: Listener, number: u64) -> Result<()> {
    let will = Will {
        topic: text(&format!("soak/will/{number}")),
        payload: Bytes::from(format!("{number}")),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_interval: 0,
        properties: None,
    };
    let hello = Connect { will: Some(Box::new(will)), ..hello(number) };
    let (mut line, _) = world.door.open(listener, Ending::Reset, hello).await?;
    line.subscribe("soak/flow/0/+", QoS::AtLeastOnce).await?;
    sleep(Duration::from_millis(number % 10 * 100)).await;
    world.watch.count("wills_left");
    world.watch.count("resets");
    drop(line);
    Ok(())
}

/// Retains under a topic of its own, takes it back, and says nothing more until the server goes.
async fn fall_silent(world: &World, listener: Listener, number: u64) -> Result<()> {
    let hello = Connect { keep_alive: 1, ..hello(number) };
    let (mut line, _) = world.door.open(listener, Ending::Silence, hello).await?;
    let topic = format!("soak/new/{number}");
    line.subscribe(&format!("{topic}/#"), QoS::AtLeastOnce).await?;
    let retained = flow::numbered(world, number);
    put(&mut line, &topic, QoS::AtLeastOnce, Some(PacketId::MIN), true, &retained)?;
    put(&mut line, &topic, QoS::AtLeastOnce, Some(PacketId::MIN.saturating_add(1)), true, "")?;
    line.flush().await?;
    world.watch.count("silences");
    let to_the_end = async { while line.fill().await.is_ok() {} };
    timeout(PATIENCE, to_the_end).await.context("its silence was not noticed")
}

/// A durable session with a subscription and a backlog, and nobody comes back.
async fn abandon(world: &World, listener: Listener, number: u64) -> Result<()> {
    let hello = Connect { version: Version::V5, session_expiry: Some(ABANDONED_SECS), ..hello(number) };
    let (mut line, _) = world.door.open(listener, Ending::Reset, hello).await?;
    line.subscribe(&format!("soak/flow/{}/+", number % 8), QoS::AtLeastOnce).await?;
    world.watch.count("abandoned");
    world.watch.count("resets");
    Ok(())
}

/// Always the same name: whoever has it goes.
async fn take_over(world: &World, listener: Listener) -> Result<()> {
    let hello = connect(Version::V5, "visitor-of-one-name");
    let (mut line, _) = world.door.open(listener, Ending::Goodbye, hello).await?;
    line.subscribe("soak/flow/1/+", QoS::AtMostOnce).await?;
    world.watch.count("taken_over");
    let stay = async { while line.fill().await.is_ok() {} };
    timeout(Duration::from_secs(5), stay).await.ok();
    Ok(())
}

/// Half a CONNECT, and nothing more: the server's patience ends it.
async fn half_a_packet(world: &World, listener: Listener) -> Result<()> {
    let mut stream = world.door.connect(listener, Ending::Silence).await?;
    stream.write_all(b"\x10\x20\x00\x04MQ").await?;
    stream.flush().await?;
    world.watch.count("half_packets");
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    ensure!(end.is_ok(), "half a packet was waited for");
    Ok(())
}

/// A connection that says nothing, not even half a handshake.
async fn knock(world: &World, listener: Listener) -> Result<()> {
    let address = world.door.listen.get(listener.name()).context("no such listener")?;
    let stream = crate::pump::tcp(address).await?;
    stream.set_zero_linger()?;
    world.watch.count("knocks");
    world.watch.count("resets");
    Ok(())
}

fn ask_for(line: &mut AnyLine, filter: &str) -> Result<()> {
    let filter = SubscribeFilter {
        filter: text(filter),
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: true,
        retain_handling: RetainHandling::Send,
    };
    line.send(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: Vec::new(),
        filters: vec![filter],
    }))
}

async fn soon(line: &mut AnyLine) -> Result<Packet> {
    line.flush().await?;
    timeout(PATIENCE, line.packet()).await?
}

/// Counts the wills of those who were reset.
pub(super) async fn hear_wills(world: Arc<World>, mut told: watch::Receiver<Told>) -> Result<()> {
    let hello = Connect { keep_alive: 60, ..connect(Version::V5, "executor") };
    let (mut line, _) = world.door.open(Listener::Tls, Ending::Goodbye, hello).await?;
    line.subscribe("soak/will/+", QoS::AtLeastOnce).await?;
    world.watch.count("executors");
    let mut ping = every(Duration::from_secs(15));
    let mut heard = std::collections::HashSet::new();
    loop {
        tokio::select! {
            _ = ping.tick() => line.send(&Packet::PingReq)?,
            filled = line.fill() => {
                filled?;
                while let Some(packet) = line.next()? {
                    let Packet::Publish(publish) = packet else { continue };
                    acknowledge(&mut line, &publish)?;
                    let first = heard.insert(publish.topic.to_string());
                    world.watch.count(if first { "wills_heard" } else { "wills_twice" });
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
