//! The parts: which fleets they let live, and which figures they take of the answers.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::derive::Weights;
use super::figures::{Mode, at};
use super::fleet::{Fleet, Group};
use super::servers::Manner;
use super::{Bench, Part};
use crate::bench::report::number;

/// Commands a day.
pub(super) const RATES: [usize; 5] = [0, 1, 5, 20, 50];
/// Pings of a day with a keep alive of a minute.
pub(super) const PINGS: f64 = 1_440.0;
/// Terminals of the cases of `latency`.
const FEW: usize = 40;
/// An allocator gives back what a crowd of handshakes has left within ten seconds.
const LONG_SETTLE_SECS: f64 = 13.0;
/// The server's CPU without commands is measured for so long before them.
const REST_SECS: f64 = 3.0;
/// What things weigh where this run did not measure it.
const USUAL: Weights = Weights { ping_plain: 160.0, ping_tls: 204.0, switch: 3_700.0 };
/// Commands a day for which the policy is asked.
pub(super) const POLICY_RATES: [f64; 14] =
    [0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 16.0, 20.0, 25.0, 35.0, 50.0, 100.0];
/// Seconds between pings for which the policy is asked.
pub(super) const KEEP_ALIVES: [u16; 2] = [60, 240];

/// A way from the acceptance of a command to its execution.
pub(super) struct Case {
    /// Of its figures.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    manner: Manner,
    on_tls: bool,
    secure: bool,
    tickets: bool,
    /// As the generator calls it.
    way: &'static str,
}

/// All ways.
pub(super) const CASES: [Case; 6] = [
    case("plain", "Postern, plain TCP, needs no encryption", Manner::Goes, (false, false, true), "plain"),
    case("there", "Postern, already on TLS", Manner::Stays, (true, true, true), "there"),
    case("resumed", "Postern, on demand, resumed handshake", Manner::Goes, (false, true, true), "resumed"),
    case("full", "Postern, on demand, full handshake", Manner::Goes, (false, true, false), "full"),
    case("m-plain", "mosquitto, plain TCP", Manner::Mosquitto, (false, false, true), "plain"),
    case("m-there", "mosquitto, on TLS", Manner::Mosquitto, (true, false, true), "there"),
];

const fn case(
    key: &'static str,
    name: &'static str,
    manner: Manner,
    (on_tls, secure, tickets): (bool, bool, bool),
    way: &'static str,
) -> Case {
    Case { key, name, manner, on_tls, secure, tickets, way }
}

impl Bench<'_> {
    pub(super) fn part(&mut self, part: Part) -> Result<()> {
        println!("» {part:?}");
        match part {
            Part::Memory => Mode::ALL.into_iter().try_for_each(|mode| self.memory(mode)),
            Part::Latency => (1..=self.options.rounds)
                .flat_map(|round| CASES.iter().map(move |case| (round, case)))
                .try_for_each(|(round, case)| self.latency(round, case)),
            Part::Day => Mode::ALL.into_iter().try_for_each(|mode| self.day(mode)),
            Part::Policy => self.policy(),
            Part::Crowd => self.crowd(),
        }
    }

    /// Lets a fleet live at a server that is started for it; None where that is not installed.
    fn live(&mut self, manner: Manner, fleet: &Fleet, about: &str) -> Result<Option<Value>> {
        let Some(running) = self.servers.start(manner)? else { return Ok(None) };
        let bare = manner == Manner::Mosquitto;
        let answer = self
            .generator
            .ask(&fleet.ask(&self.servers, &running, bare))
            .with_context(|| about.to_owned())?;
        for (key, what) in
            [("broken", "links broke or sign-ins failed"), ("odd", "messages were not believed or taken")]
        {
            if let Some(count) = at(&answer, &format!("/{key}")).filter(|count| *count > 0.0) {
                let why = answer.pointer("/why").and_then(Value::as_str).unwrap_or_default();
                self.notes.push(format!("{about}: {count} {what}, the first: {why}."));
            }
        }
        for group in answer.pointer("/groups").and_then(Value::as_array).into_iter().flatten() {
            for (key, what) in [("lost", "not executed"), ("twice", "executed twice"), ("refused", "refused")]
            {
                if let Some(count) = at(group, &format!("/commands/{key}")).filter(|count| *count > 0.0) {
                    self.notes.push(format!("{about}: {count} commands {what}."));
                }
            }
        }
        Ok(Some(answer))
    }

    /// Ten thousand of a mode at rest; on demand, after and during a day with a command for each.
    fn memory(&mut self, mode: Mode) -> Result<()> {
        let terminals = self.options.terminals;
        let on_demand = mode == Mode::Demand;
        let day = if on_demand { self.options.memory_day_secs } else { 0.0 };
        let commands = usize::from(on_demand);
        let fleet = Fleet {
            groups: vec![Group { terminals, on_tls: mode.is_on_tls(), secure: mode.is_secure(), commands }],
            ping_millis: 3_000,
            settle_secs: if on_demand { LONG_SETTLE_SECS } else { 4.0 },
            rest_secs: 6.0,
            asked_secs: day,
            day_secs: day,
            ..Fleet::default()
        };
        let Some(answer) = self.live(mode.manner(), &fleet, &format!("memory, {}", mode.name()))? else {
            return Ok(());
        };
        let before = at(&answer, "/memory/before/rss_anon_kib");
        // A hundredth was there before.
        let counted = terminals as f64 * 0.99;
        let grown = |pointer| Some((at(&answer, pointer)? - before?) / counted);
        let idle = grown("/memory/idle/rss_anon_kib");
        self.figures.add(format!("kib idle {mode:?}"), idle);
        if on_demand {
            self.figures.add("kib during", grown("/memory/during/p50"));
            self.figures.add("kib most", grown("/memory/during/max"));
            self.figures.add("kib after", grown("/memory/after/rss_anon_kib"));
            let cpu = at(&answer, "/day_cpu_secs").map(|secs| secs * 1e3 / terminals as f64);
            self.figures.add("memory day cpu", cpu);
        }
        let ping =
            at(&answer, "/rest_cpu_secs").zip(at(&answer, "/rest_pings")).map(|(cpu, n)| cpu * 1e6 / n);
        self.figures.add(format!("ping cpu {mode:?}"), ping);
        self.figures.add(format!("arrivals {mode:?}"), at(&answer, "/arrivals_per_sec"));
        let shown = |value: Option<f64>| value.map_or("–".to_owned(), number);
        println!("» memory, {}: {} KiB a terminal, {} µs a ping", mode.name(), shown(idle), shown(ping));
        Ok(())
    }

    fn latency(&mut self, round: usize, case: &Case) -> Result<()> {
        let commands = self.options.commands.div_ceil(FEW).max(1);
        let asked_secs = 2.0 * commands as f64;
        // The last one goes back too.
        let day_secs = asked_secs + 3.0;
        let fleet = Fleet {
            groups: vec![Group { terminals: FEW, on_tls: case.on_tls, secure: case.secure, commands }],
            rest_secs: REST_SECS,
            asked_secs,
            day_secs,
            tickets: case.tickets,
            warm_up: case.secure && !case.on_tls && case.tickets,
            ..Fleet::default()
        };
        let about = format!("latency, {}", case.name);
        let Some(answer) = self.live(case.manner, &fleet, &about)? else { return Ok(()) };
        let all = (FEW * commands) as f64;
        for from in ["asked", "accepted"] {
            for of in ["p50", "p99", "max"] {
                let pointer = format!("/groups/0/commands/ways/{}/{from}/{of}", case.way);
                self.figures.add(format!("{from} {of} {}", case.key), at(&answer, &pointer));
            }
        }
        let pointer = format!("/groups/0/commands/ways/{}/asked/n", case.way);
        self.figures.add(format!("n {}", case.key), at(&answer, &pointer));
        // Without what it spends on nothing.
        let at_rest = at(&answer, "/rest_cpu_secs").map(|secs| secs / REST_SECS * day_secs);
        let cpu = at(&answer, "/day_cpu_secs").zip(at_rest).map(|(secs, rest)| (secs - rest) * 1e3 / all);
        self.figures.add(format!("cpu {}", case.key), cpu);
        let bytes = at(&answer, "/groups/0/wire_bytes/mean").map(|bytes| bytes / commands as f64);
        self.figures.add(format!("bytes {}", case.key), bytes);
        let told =
            |name: &str| self.figures.median(&format!("{name} {}", case.key)).map_or("–".to_owned(), number);
        println!(
            "» round {round}: {about}: p50 {} ms, p99 {} ms; {} ms CPU, {} bytes a command",
            told("asked p50"),
            told("asked p99"),
            told("cpu"),
            told("bytes")
        );
        Ok(())
    }

    /// All rates of a mode at once, so that they have the same minute of the machine.
    fn day(&mut self, mode: Mode) -> Result<()> {
        let group = |commands: &usize| Group {
            terminals: self.options.day_terminals,
            on_tls: mode.is_on_tls(),
            secure: mode.is_secure(),
            commands: *commands,
        };
        let day_secs = self.options.day_secs;
        let fleet = Fleet {
            groups: RATES.iter().map(group).collect(),
            ping_millis: (day_secs * 1e3 / PINGS).round() as u64,
            asked_secs: day_secs * 0.95,
            day_secs,
            warm_up: mode == Mode::Demand,
            ..Fleet::default()
        };
        let about = format!("day, {}", mode.name());
        let Some(answer) = self.live(mode.manner(), &fleet, &about)? else { return Ok(()) };
        for (group, rate) in RATES.iter().enumerate() {
            let mut take = |name: &str, pointer: &str| {
                self.figures.add(
                    format!("{name} {mode:?} {rate}"),
                    at(&answer, &format!("/groups/{group}/{pointer}")),
                );
            };
            take("day bytes", "wire_bytes/mean");
            take("day least", "wire_bytes/min");
            take("day most", "wire_bytes/max");
            take("day pings", "pings/mean");
            take("day switches", "switches/mean");
            take("day full", "full/mean");
            take("day tls", "tls_secs/mean");
            let way = match mode {
                Mode::Tcp | Mode::MosquittoTcp => "plain",
                Mode::Tls | Mode::MosquittoTls => "there",
                Mode::Demand => "resumed",
            };
            for of in ["p50", "p99"] {
                take(&format!("day {of}"), &format!("commands/ways/{way}/asked/{of}"));
            }
        }
        let per_terminal = self.options.day_terminals as f64 * RATES.len() as f64;
        let cpu = at(&answer, "/day_cpu_secs").map(|secs| secs * 1e3 / per_terminal);
        self.figures.add(format!("day cpu {mode:?}"), cpu);
        let bytes =
            |rate| self.figures.median(&format!("day bytes {mode:?} {rate}")).map_or("–".to_owned(), number);
        println!("» {about}: bytes at 0, 5, 50 commands: {}, {}, {}", bytes(0), bytes(5), bytes(50));
        Ok(())
    }

    /// Prices of this run; what it did not measure is as it usually is.
    pub(super) fn weights(figures: &super::Figures) -> (Weights, bool) {
        let measured = || -> Option<Weights> {
            let ping = |mode: Mode| {
                let of = |what: &str| figures.median(&format!("day {what} {mode:?} 0"));
                Some(of("bytes")? / of("pings")?)
            };
            let switch = figures.median("bytes resumed")? - figures.median("bytes there")?;
            Some(Weights { ping_plain: ping(Mode::Tcp)?, ping_tls: ping(Mode::Tls)?, switch })
        };
        measured().map_or((USUAL, false), |weights| (weights, true))
    }

    fn policy(&mut self) -> Result<()> {
        let (weights, is_measured) = Self::weights(&self.figures);
        if !is_measured {
            self.notes
                .push("The policy was asked with usual weights, not with those of this run.".to_owned());
        }
        let answer = self.generator.ask(&json!({
            "ask": "policy", "component": self.root.join("target/plugins/encrypt-on-demand.wasm"),
            "folder": self.servers.folder("policy"), "keep_alives": KEEP_ALIVES, "rates": POLICY_RATES,
            "terminals": self.options.policy_terminals, "ping_plain": weights.ping_plain,
            "ping_tls": weights.ping_tls, "switch": weights.switch,
        }))?;
        for case in answer.pointer("/cases").and_then(Value::as_array).into_iter().flatten() {
            let arrivals = case.pointer("/arrivals").and_then(Value::as_str).unwrap_or_default();
            let (Some(keep_alive), Some(rate)) = (at(case, "/keep_alive"), at(case, "/rate")) else {
                continue;
            };
            for what in ["tls", "each_time", "policy", "tls_share", "over", "worst_terminal"] {
                let name = format!("policy {what} {arrivals} {keep_alive} {rate}");
                self.figures.add(name, at(case, &format!("/{what}")));
            }
            self.figures.add("policy over", at(case, "/over"));
        }
        Ok(())
    }

    /// Everybody at once; others, on either transport, only ping.
    fn crowd(&mut self) -> Result<()> {
        let crowd = self.options.crowd;
        let others = crowd / 10;
        let group = |terminals, on_tls, commands| Group { terminals, on_tls, secure: true, commands };
        let fleet = Fleet {
            groups: vec![group(crowd, false, 1), group(others, false, 0), group(others, true, 0)],
            ping_millis: 1_000,
            settle_secs: 3.0,
            ..Fleet::default()
        };
        let Some(answer) = self.live(Manner::Stays, &fleet, "crowd")? else { return Ok(()) };
        for what in ["commands", "lost", "twice", "refused"] {
            self.figures.add(format!("crowd {what}"), at(&answer, &format!("/groups/0/commands/{what}")));
        }
        for of in ["p50", "p99", "max"] {
            let way = "/groups/0/commands/ways/full";
            self.figures.add(format!("crowd latency {of}"), at(&answer, &format!("{way}/asked/{of}")));
            self.figures.add(
                format!("crowd accept {of}"),
                at(&answer, &format!("/groups/0/commands/accept_ms/{of}")),
            );
            self.figures
                .add(format!("crowd ping plain {of}"), at(&answer, &format!("/groups/1/ping_ms/{of}")));
            self.figures.add(format!("crowd ping tls {of}"), at(&answer, &format!("/groups/2/ping_ms/{of}")));
        }
        self.figures.add("crowd span", at(&answer, "/span_secs"));
        self.figures.add("crowd cpu", at(&answer, "/day_cpu_secs"));
        let told = |name: &str| self.figures.median(name).map_or("–".to_owned(), number);
        println!(
            "» crowd: {} commands in {} s, lost {}, twice {}; pings at most {} and {} ms",
            told("crowd commands"),
            told("crowd span"),
            told("crowd lost"),
            told("crowd twice"),
            told("crowd ping plain max"),
            told("crowd ping tls max")
        );
        Ok(())
    }
}
