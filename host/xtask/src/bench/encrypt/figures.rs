//! What is compared.

use super::servers::Manner;
pub(super) use crate::bench::figures::{Figures, at};

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
