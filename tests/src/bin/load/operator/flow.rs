//! Signed-in publishers and their recipients: instant messages of text, by a clock that waits for nobody or
//! with a window in flight.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::gauge::{Gauge, MASKED, PLAIN};
use crate::frames::{Frame, head, puback};
use crate::pump::Line;

/// The word that a plugin may mask.
const WORD: &str = "secret";
/// Count, microseconds, run, in hexadecimal: what every body begins with. Bytes.
const STAMP: usize = 32;
/// The shortest body.
pub(super) const LEAST: usize = STAMP + 1 + WORD.len();
/// A message in so many is timed where windows are in flight.
const SAMPLE: u32 = 64;
/// The shortest pause of a clock.
const TICK: Duration = Duration::from_millis(1);

/// One publisher's part.
pub(super) struct Part {
    pub(super) topic: String,
    pub(super) body: usize,
    pub(super) run: u32,
    /// Messages in flight at most, without a rate.
    pub(super) window: u32,
    /// Messages a second.
    pub(super) rate: Option<f64>,
    /// Which of how many: clocks do not all tick at once.
    pub(super) place: f64,
    pub(super) gauge: Arc<Gauge>,
}

struct Sender {
    line: Line<TcpStream>,
    part: Part,
    head: Vec<u8>,
    filler: Vec<u8>,
    count: u32,
    acked: u32,
    /// Packet ids of timed messages, and when they were due.
    timed: VecDeque<(u16, u64)>,
}

/// Publishes until the run is over, and everything is acknowledged.
pub(super) async fn publish(line: Line<TcpStream>, part: Part) -> Result<()> {
    ensure!(part.body >= LEAST, "a body has {LEAST} bytes at least");
    let head = head(&part.topic, true, part.body)?;
    let mut filler = format!(" {WORD}").into_bytes();
    if part.body > LEAST {
        filler.push(b' ');
        filler.resize(part.body - STAMP, b'x');
    }
    let timed = VecDeque::new();
    let mut sender = Sender { line, part, head, filler, count: 0, acked: 0, timed };
    match sender.part.rate {
        Some(rate) => sender.by_clock(rate).await?,
        None => sender.by_window().await?,
    }
    while sender.acked < sender.count {
        sender.line.fill().await?;
        sender.take_acks()?;
    }
    sender.line.close().await;
    Ok(())
}

impl Sender {
    async fn by_clock(&mut self, rate: f64) -> Result<()> {
        let period = Duration::from_secs_f64(1.0 / rate).max(TICK);
        let begun = Instant::now() + period.mul_f64(self.part.place);
        let mut clock = interval_at(begun, period);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while self.part.gauge.goes_on() {
            tokio::select! {
                due = clock.tick() => {
                    let all = (due.duration_since(begun).as_secs_f64() * rate).round() as u32 + 1;
                    let micros = self.part.gauge.micros(due.into_std());
                    while self.count < all {
                        self.write(micros, true)?;
                    }
                    self.line.flush().await?;
                }
                read = self.line.fill() => {
                    read?;
                    self.take_acks()?;
                }
            }
        }
        Ok(())
    }

    async fn by_window(&mut self) -> Result<()> {
        while self.part.gauge.goes_on() {
            let now = self.part.gauge.micros(std::time::Instant::now());
            while self.count - self.acked < self.part.window {
                self.write(now, self.count.is_multiple_of(SAMPLE))?;
            }
            self.line.flush().await?;
            self.line.fill().await?;
            self.take_acks()?;
        }
        Ok(())
    }

    fn write(&mut self, micros: u64, is_timed: bool) -> Result<()> {
        // Windows are far below 65,535: an id is free again long before it comes round.
        let id = u16::try_from(self.count % u32::from(u16::MAX))? + 1;
        if is_timed {
            self.timed.push_back((id, micros));
        }
        let output = &mut self.line.output;
        output.extend_from_slice(&self.head);
        output.extend_from_slice(&id.to_be_bytes());
        write!(output.writer(), "{:08x}{micros:016x}{:08x}", self.count, self.part.run)?;
        output.extend_from_slice(&self.filler);
        self.count += 1;
        self.part.gauge.sent.fetch_add(1, Relaxed);
        Ok(())
    }

    fn take_acks(&mut self) -> Result<()> {
        let (gauge, timed, mut acked) = (&self.part.gauge, &mut self.timed, 0);
        self.line.scan(|frame, _| {
            if let Frame::PubAck(id) = frame {
                acked += 1;
                if let Some((_, due)) = timed.pop_front_if(|(of, _)| *of == id) {
                    gauge.note_ack(due);
                }
            }
            Ok(())
        })?;
        self.acked += acked;
        gauge.acked.fetch_add(acked.into(), Relaxed);
        Ok(())
    }
}

/// Receives until it is stopped; `is_timed`: every message, else one in [`SAMPLE`].
pub(super) async fn receive(
    mut line: Line<TcpStream>,
    gauge: Arc<Gauge>,
    run: u32,
    is_timed: bool,
) -> Result<()> {
    let mut expected = 0;
    loop {
        line.flush().await?;
        line.fill().await?;
        line.scan(|frame, output: &mut BytesMut| {
            let Frame::Publish(id, body) = frame else { return Ok(()) };
            if let Some(id) = id {
                output.extend_from_slice(&puback(id));
            }
            // What is not ours is presence.
            let Some((count, micros, of)) = stamp(body) else { return Ok(()) };
            if of != run {
                return Ok(());
            }
            if count < expected {
                gauge.repeated.fetch_add(1, Relaxed);
                return Ok(());
            }
            gauge.missed.fetch_add(u64::from(count - expected), Relaxed);
            gauge.delivered.fetch_add(1, Relaxed);
            expected = count + 1;
            if is_timed || count.is_multiple_of(SAMPLE) {
                gauge.note_delivery(micros);
            }
            gauge.look_at(if body.get(STAMP + 1) == Some(&b'*') { MASKED } else { PLAIN }, micros);
            Ok(())
        })?;
    }
}

/// Count, microseconds and run of a body.
fn stamp(body: &[u8]) -> Option<(u32, u64, u32)> {
    let text = std::str::from_utf8(body.get(..STAMP)?).ok()?;
    let number = |at: std::ops::Range<usize>| u64::from_str_radix(text.get(at)?, 16).ok();
    Some((u32::try_from(number(0..8)?).ok()?, number(8..24)?, u32::try_from(number(24..32)?).ok()?))
}

/// Opens a link, with the user in what went wrong.
pub(super) async fn open(
    address: &str,
    connect: postern_broker::wire::Connect,
    user: &str,
) -> Result<Line<TcpStream>> {
    let connect = postern_broker::wire::Connect { keep_alive: 0, ..connect };
    Line::open(crate::pump::tcp(address).await?, connect).await.with_context(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_text_and_is_read_back() {
        let body = format!("{:08x}{:016x}{:08x} {WORD}", 7, 1_234_567, 9);
        assert_eq!(stamp(body.as_bytes()), Some((7, 1_234_567, 9)));
        assert_eq!(stamp(b"online"), None);
        assert_eq!(body.len(), LEAST);
    }
}
