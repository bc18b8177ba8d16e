//! One link, from its sign-in to its end.

use std::collections::HashSet;
use std::io;

use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};
use tokio::time::Instant;

use crate::crash::crash_point;
use crate::event::Event;
use crate::link::{Happened, Link, What};
use crate::message::{Command, Outcome, Query, Report, Transport};
use crate::rules::{Decision, Known, Reason, may_report, receive};
use crate::terminal::{Leaving, Terminal};
use crate::work::{Actor, Due};

/// The first pause before the query is sent again, in first waits of the back-off; it doubles.
const ASK_AGAIN: u32 = 4;
/// The longest of these pauses.
const ASK_RARELY: u32 = 256;

/// What concerns this link only.
struct Visit {
    link: Link,
    /// Results that go nowhere before the next query: told as kept, or answered with a failure.
    held: HashSet<What>,
    /// When to query again, because the server could not take something.
    ask_again: Option<Instant>,
    pause: u32,
}

impl<A: Actor> Terminal<A> {
    /// Subscribes, queries, and does what comes until the link ends.
    ///
    /// # Errors
    /// When state or journal cannot be written.
    pub(crate) async fn serve(&mut self, link: Link) -> io::Result<Leaving> {
        let transport = link.transport;
        let terminal = self.state.terminal();
        link.subscribe(&format!("link/{terminal}"));
        link.subscribe(&format!("cmd/{terminal}/do"));
        let mut visit = Visit { link, held: HashSet::new(), ask_again: None, pause: ASK_AGAIN };
        self.query(&mut visit);
        if transport == Transport::Tls {
            self.begin_renewal();
        }
        loop {
            self.begin_next(&visit)?;
            self.report(&mut visit);
            let ask_again = visit.ask_again;
            let (renewal, work) = self.beside();
            let happened = tokio::select! {
                happened = visit.link.next() => happened,
                ended = work.ended() => {
                    ended?;
                    continue;
                }
                answer = Self::renewed(renewal) => {
                    self.take_renewal(answer)?;
                    continue;
                }
                () = at(ask_again) => {
                    self.query(&mut visit);
                    continue;
                }
            };
            match happened {
                Happened::Arrived(publish) => {
                    if let Some(to) = self.arrived(&visit.link, publish)? {
                        visit.link.close().await;
                        let why = "instructed".to_owned();
                        self.events.tell(&Event::Disconnected { transport, why });
                        return Ok(Leaving::Switch(to));
                    }
                }
                Happened::Sent(what) => self.sent(what, transport),
                Happened::Acknowledged(what, reason) => self.acknowledged(&mut visit, what, reason)?,
                Happened::Gone { why, instruction } => {
                    self.events.tell(&Event::Disconnected { transport, why });
                    let to = match instruction {
                        Some(bytes) => self.follow(&bytes, transport)?,
                        None => None,
                    };
                    return Ok(to.map_or(Leaving::Lost, Leaving::Switch));
                }
            }
        }
    }

    fn query(&self, visit: &mut Visit) {
        let query = Query { understands_disconnect: true, keep_alive_secs: self.keep_alive_secs() };
        let topic = format!("cmd/{}/query", self.state.terminal());
        let sent = visit.link.publish(&topic, What::Query, query.write());
        visit.held.clear();
        // Without room for it the link is busy: a little later.
        visit.ask_again = (!sent).then(|| Instant::now() + self.patience(ASK_AGAIN));
    }

    /// A message came. Some: an instruction to follow.
    fn arrived(&mut self, link: &Link, publish: Publish) -> io::Result<Option<Transport>> {
        let terminal = self.state.terminal();
        if publish.topic == format!("link/{terminal}") {
            link.acknowledge(&publish);
            return self.follow(&publish.payload, link.transport);
        }
        if publish.topic == format!("cmd/{terminal}/do") {
            self.command(link, publish)?;
        } else {
            link.acknowledge(&publish);
        }
        Ok(None)
    }

    fn command(&mut self, link: &Link, publish: Publish) -> io::Result<()> {
        crash_point("command.received");
        let read = Command::read(&publish.payload, &link.key, self.state.terminal(), link.transport);
        let command = match read {
            Ok(command) => command,
            Err(why) => {
                link.acknowledge(&publish);
                self.tell_command(None, link.transport, Some(why.into()));
                return Ok(());
            }
        };
        let known = self.work.known(command.id);
        let now_ms = self.state.now_ms();
        let reason = match receive(&command, link.transport, known, now_ms) {
            Decision::Execute if self.work.enqueue(command.clone(), publish.clone()) => return Ok(()),
            Decision::Execute => Reason::Full,
            Decision::Ignore(reason) => reason,
            Decision::Report(Outcome::Expired, reason) => {
                self.work.expired(&command, now_ms)?;
                reason
            }
            Decision::Report(_, reason) => {
                self.work.report_again(command.id);
                reason
            }
            Decision::ReportAgain => {
                self.work.report_again(command.id);
                Reason::Known
            }
        };
        link.acknowledge(&publish);
        self.tell_command(Some(&command), link.transport, Some(reason));
        Ok(())
    }

    /// Begins the command that is next: journal first, then PUBACK, then the act.
    fn begin_next(&mut self, visit: &Visit) -> io::Result<()> {
        while let Some((command, publish)) = self.work.next() {
            let (transport, now_ms) = (visit.link.transport, self.state.now_ms());
            // It may have waited too long.
            if receive(&command, transport, Known::No, now_ms) != Decision::Execute {
                self.work.expired(&command, now_ms)?;
                visit.link.acknowledge(&publish);
                self.tell_command(Some(&command), transport, Some(Reason::Expired));
                continue;
            }
            self.work.begin(&command, now_ms)?;
            visit.link.acknowledge(&publish);
            self.tell_command(Some(&command), transport, None);
            self.work.act(command);
        }
        Ok(())
    }

    /// Publishes the results that are due and may go out here.
    fn report(&mut self, visit: &mut Visit) {
        let topic = format!("cmd/{}/result", self.state.terminal());
        for Due { report, must_encrypt } in self.work.due() {
            let Report { id, outcome, .. } = report;
            let what = What::Result(id, outcome);
            if visit.held.contains(&what) || visit.link.is_under_way(what) {
                continue;
            }
            if !may_report(must_encrypt, visit.link.transport) {
                visit.held.insert(what);
                self.events.tell(&Event::ResultKept { id, outcome });
                continue;
            }
            let payload = report.write(&visit.link.key, self.state.terminal(), visit.link.transport);
            if !visit.link.publish(&topic, what, payload) {
                return; // the next acknowledgement makes room
            }
        }
    }

    fn sent(&self, what: What, transport: Transport) {
        match what {
            What::Query => self.events.tell(&Event::QuerySent { transport }),
            What::Result(id, outcome) => {
                self.events.tell(&Event::Result { id, outcome, transport });
                let first = outcome == Outcome::Acknowledged;
                crash_point(if first { "acknowledged.sent" } else { "result.sent" });
            }
        }
    }

    /// PUBACK of what we published.
    fn acknowledged(&mut self, visit: &mut Visit, what: What, reason: PubAckReason) -> io::Result<()> {
        let taken = matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
        match what {
            What::Query if taken => {
                let transport = visit.link.transport;
                self.events.tell(&Event::QueryTaken { transport });
            }
            What::Result(id, outcome) if taken || reason == PubAckReason::NotAuthorized => {
                self.work.reported(id, outcome)?;
                self.events.tell(&Event::ResultReported { id, outcome, taken });
                if outcome != Outcome::Acknowledged {
                    crash_point("journal.reported");
                }
            }
            What::Query | What::Result(..) => {
                let name = if what == What::Query { "query" } else { "result" };
                self.events.tell(&Event::NotTaken { what: name, why: format!("{reason:?}") });
                visit.held.insert(what);
                visit.ask_again.get_or_insert(Instant::now() + self.patience(visit.pause));
                visit.pause = (visit.pause * 2).min(ASK_RARELY);
            }
        }
        Ok(())
    }

    fn tell_command(&self, command: Option<&Command>, transport: Transport, reason: Option<Reason>) {
        let (id, class) = command.map(|command| (command.id, command.class.clone())).unzip();
        let executed = reason.is_none();
        self.events.tell(&Event::Command { id, class, transport, executed, reason });
    }
}

/// At this time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
