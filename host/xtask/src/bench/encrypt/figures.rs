//! What was measured: values by name, and what is compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::servers::Manner;
use crate::bench::spread::Spread;

/// How a fleet lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Tcp,
    Tls,
    Demand,
    MosquittoTcp,
    MosquittoTls,
}

impl Mode {
    pub(super) const ALL: [Mode; 5] =
        [Mode::Tcp, Mode::Tls, Mode::Demand, Mode::MosquittoTcp, Mode::MosquittoTls];

    /// As the tables say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Tcp => "Postern, always TCP",
            Mode::Tls => "Postern, always TLS",
            Mode::Demand => "Postern, on demand",
            Mode::MosquittoTcp => "mosquitto, always TCP",
            Mode::MosquittoTls => "mosquitto, always TLS",
        }
    }

    /// Of the plots.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Mode::Tcp => "#8fb4e8",
            Mode::Tls => "#1f5fbf",
            Mode::Demand => "#c9762b",
            Mode::MosquittoTcp => "#9fcfae",
            Mode::MosquittoTls => "#3f8f5f",
        }
    }

    pub(super) fn manner(self) -> Manner {
        match self {
            Mode::Tcp | Mode::Demand => Manner::Goes,
            Mode::Tls => Manner::Stays,
            Mode::MosquittoTcp | Mode::MosquittoTls => Manner::Mosquitto,
        }
    }

    pub(super) fn is_on_tls(self) -> bool {
        matches!(self, Mode::Tls | Mode::MosquittoTls)
    }

    /// Whether its commands need TLS; at mosquitto nobody asks.
    pub(super) fn is_secure(self) -> bool {
        matches!(self, Mode::Tls | Mode::Demand)
    }
}

/// Values of all rounds, by name.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    pub(super) fn add(&mut self, name: impl Into<String>, value: Option<f64>) {
        if let Some(value) = value {
            self.0.entry(name.into()).or_default().push(value);
        }
    }

    pub(super) fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.0.get(name)?.iter().copied())
    }

    pub(super) fn median(&self, name: &str) -> Option<f64> {
        Some(self.spread(name)?.median)
    }

    pub(super) fn max(&self, name: &str) -> Option<f64> {
        Some(self.spread(name)?.max)
    }

    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        Some(self.0.get(name)?.iter().sum())
    }
}

/// A number of the generator's answer.
pub(super) fn at(answer: &Value, pointer: &str) -> Option<f64> {
    answer.pointer(pointer)?.as_f64()
}
