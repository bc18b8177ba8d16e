//! What the generator is asked: a fleet and its day.

use serde_json::{Value, json};

use super::servers::{ASKERS, Servers};
use crate::bench::running::Running;

/// Terminals that are alike.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) terminals: usize,
    pub(super) on_tls: bool,
    /// Their commands need TLS.
    pub(super) secure: bool,
    /// For each of them.
    pub(super) commands: usize,
}

/// A fleet, with what most of them have in common.
pub(super) struct Fleet {
    pub(super) groups: Vec<Group>,
    pub(super) ping_millis: u64,
    pub(super) settle_secs: f64,
    pub(super) rest_secs: f64,
    pub(super) asked_secs: f64,
    pub(super) day_secs: f64,
    pub(super) tickets: bool,
    pub(super) warm_up: bool,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet {
            groups: Vec::new(),
            ping_millis: 60_000,
            settle_secs: 1.0,
            rest_secs: 0.0,
            asked_secs: 0.0,
            day_secs: 0.0,
            tickets: true,
            warm_up: false,
        }
    }
}

impl Fleet {
    /// As the generator reads it.
    pub(super) fn ask(&self, servers: &Servers, running: &Running, bare: bool) -> Value {
        let group = |group: &Group| {
            json!({
                "terminals": group.terminals, "on_tls": group.on_tls, "commands": group.commands,
                "class": if group.secure { "remote-control" } else { "info" },
            })
        };
        json!({
            "ask": "fleet", "tcp": running.tcp, "tls": running.tls, "ca": servers.certificate.ca,
            "server_pid": running.id, "bare": bare, "askers": ASKERS,
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "ping_millis": self.ping_millis, "settle_secs": self.settle_secs, "rest_secs": self.rest_secs,
            "asked_secs": self.asked_secs, "day_secs": self.day_secs, "tickets": self.tickets,
            "warm_up": self.warm_up,
        })
    }
}
