//! What a terminal's links carry and cost, and what always staying on TLS would have cost (B15).
//!
//! A link is metered from its first query on; the kernel counts meanwhile. What it carried is added up here when
//! it ends, and for a link of days each hour, and written down a minute later: a kill costs that much of it.

use std::{collections::HashMap, net::SocketAddr, os::fd::RawFd};

use parking_lot::Mutex;
use postern_guest::roles::types::Transport;
use postern_store::{SqlError, TerminalAccount};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Commands, format::transport_name, links::Terminal};
use crate::{
    clock,
    listen::traffic::{self, Traffic},
};

/// What a record of TLS 1.3 adds: its header, the type of its content, the tag.
const RECORD: u64 = 22;
/// How long what a link carries may wait to be added up, in ms.
const HOUR: u64 = 3_600_000;
/// What of a switch there and back is not at the beginnings of links: two instructions with their topics,
/// and the records around them, in bytes without headers.
const ORDERS: u64 = 2 * 300;
/// Segments of the same: an instruction, its acknowledgements, and what ends a link.
const ORDER_SEGMENTS: u64 = 2 * 7;

/// The socket of a link, and how it came in.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// Its descriptor, good as long as the link is.
    pub descriptor: RawFd,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether its TLS handshake resumed an earlier one; None on plain.
    pub resumed: Option<bool>,
}

/// Counts what one link carries.
#[derive(Debug)]
pub struct Meter {
    socket: Option<Socket>,
    transport: Transport,
    /// When and what was counted last.
    since: u64,
    seen: Traffic,
    /// Counted and not added up yet.
    counted: TerminalAccount,
    added_at: u64,
    has_begun: bool,
}

impl Meter {
    /// Of a link that has said nothing yet.
    pub fn new(socket: Option<Socket>, transport: Transport, now: u64) -> Self {
        let (seen, counted) = Default::default();
        Meter { socket, transport, since: now, seen, counted, added_at: now, has_begun: false }
    }

    /// Its first query has come; `switched`: because it was told to come this way.
    pub fn begin(&mut self, switched: bool) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.count(self.since);
        let (started, transport) = (self.seen.bytes, self.transport);
        let counted = &mut self.counted;
        match transport {
            Transport::Plain => counted.plain_start_bytes = started,
            Transport::Tls => counted.tls_start_bytes = started,
        }
        if switched {
            (counted.switches, counted.switch_bytes) = (1, started);
        }
        match self.socket.and_then(|socket| socket.resumed) {
            Some(true) => counted.resumed_handshakes = 1,
            Some(false) => counted.full_handshakes = 1,
            None => {}
        }
        metrics::counter!("postern_terminal_switches_total", "to" => transport_name(transport))
            .increment(u64::from(switched));
        metrics::counter!("postern_terminal_switch_bytes_total").increment(counted.switch_bytes);
    }

    /// Counts until now.
    fn count(&mut self, now: u64) {
        let Some(socket) = self.socket else { return };
        let Some(carried) = traffic::of(socket.descriptor, socket.peer) else { return };
        let bytes = carried.bytes.saturating_sub(self.seen.bytes);
        let segments = carried.segments.saturating_sub(self.seen.segments);
        let ms = now.saturating_sub(self.since);
        (self.seen, self.since) = (carried, now);
        let counted = &mut self.counted;
        match self.transport {
            Transport::Plain => {
                counted.plain_ms += ms;
                counted.plain_bytes += bytes;
                counted.plain_segments += segments;
                metrics::counter!("postern_terminal_bytes_spared_total").increment(segments * RECORD);
            }
            Transport::Tls => {
                counted.tls_ms += ms;
                counted.tls_bytes += bytes;
            }
        }
        metrics::counter!("postern_terminal_bytes_total", "transport" => transport_name(self.transport))
            .increment(bytes);
    }

    /// The link ends: counted for the last time, before its socket is closed.
    fn end(&mut self, now: u64) -> TerminalAccount {
        self.count(now);
        self.socket = None;
        std::mem::take(&mut self.counted)
    }
}

/// What was added up and not written down yet, by terminal.
#[derive(Default)]
pub struct Accounts(Mutex<HashMap<String, TerminalAccount>>);

impl Accounts {
    fn add(&self, terminal: &str, later: &TerminalAccount) {
        self.0.lock().entry(terminal.to_owned()).or_default().add(later);
    }

    /// A link of this terminal has ended, or another came in its place.
    pub fn ended(&self, terminal: &Terminal) {
        let counted = terminal.meter.lock().end(clock::now().0);
        self.add(&terminal.user, &counted);
    }
}

impl Commands {
    /// Writes down what was added up.
    pub async fn write_accounts(&self) {
        let now = clock::now().0;
        for terminal in self.links.all() {
            let mut meter = terminal.meter.lock();
            meter.count(now);
            if meter.added_at + HOUR <= now {
                meter.added_at = now;
                self.links.accounts.add(&terminal.user, &std::mem::take(&mut meter.counted));
            }
        }
        let later: Vec<_> = std::mem::take(&mut *self.links.accounts.0.lock()).into_iter().collect();
        if later.is_empty() {
            return;
        }
        if let Err(e) = self.store.add_to_accounts(&later).await {
            warn!(error = %e, "accounts of terminals");
            later.iter().for_each(|(terminal, account)| self.links.accounts.add(terminal, account));
        }
    }

    /// What a terminal's links have carried until now; None when it never was one.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn account(&self, terminal: &str) -> Result<Option<AccountView>, SqlError> {
        Ok(self.known(terminal).await?.map(AccountView::from))
    }

    async fn known(&self, terminal: &str) -> Result<Option<TerminalAccount>, SqlError> {
        let mut known = self.store.account(terminal).await?;
        let unwritten = self.links.accounts.0.lock().get(terminal).copied();
        let live = self.links.of(terminal).map(|it| live(&it));
        for later in [unwritten, live].into_iter().flatten() {
            known.get_or_insert_default().add(&later);
        }
        Ok(known)
    }

    /// The same of all terminals: the links of this node until now, those of others as written down.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn accounts_total(&self) -> Result<AccountView, SqlError> {
        let mut sum = self.store.accounts_total().await?;
        self.links.accounts.0.lock().values().for_each(|later| sum.add(later));
        self.links.all().iter().for_each(|terminal| sum.add(&live(terminal)));
        // Of all together, a beginning says nothing.
        (sum.plain_start_bytes, sum.tls_start_bytes) = (0, 0);
        Ok(sum.into())
    }

    /// What a ping and a switch of this terminal weigh, as its own links have shown.
    pub(super) async fn weights(&self, terminal: &Terminal) -> Result<Weights, SqlError> {
        let known = self.known(&terminal.user).await?.unwrap_or_default();
        let header = terminal.meter.lock().seen.header;
        Ok(Weights::of(header, known.plain_start_bytes, known.tls_start_bytes))
    }
}

fn live(terminal: &Terminal) -> TerminalAccount {
    let mut meter = terminal.meter.lock();
    meter.count(clock::now().0);
    meter.counted
}

/// Bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// PINGREQ, PINGRESP and what acknowledges it.
    pub ping_plain: u32,
    /// The same on TLS.
    pub ping_tls: u32,
    /// To TLS and back.
    pub switch: u32,
}

impl Weights {
    /// From a segment's headers, and how links began on either transport; 0 for what is not known yet.
    fn of(header: u32, plain_start: u64, tls_start: u64) -> Self {
        let header = u64::from(if header == 0 { 52 } else { header });
        let known = |start: u64, otherwise: u64| if start == 0 { otherwise } else { start };
        // A connect, a handshake that resumes, a query: measured (docs/bench/issue-4.md), for terminals that have
        // not shown theirs.
        let starts = known(plain_start, 1_000) + known(tls_start, 2_400);
        let fits = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        Weights {
            ping_plain: fits(3 * header + 4),
            ping_tls: fits(3 * header + 4 + 2 * RECORD),
            switch: fits(starts + ORDERS + ORDER_SEGMENTS * header),
        }
    }
}

/// An account as people read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Seconds on plain TCP.
    pub plain_secs: u64,
    /// Seconds on TLS.
    pub tls_secs: u64,
    /// Bytes on the wire on plain TCP, headers included.
    pub plain_bytes: u64,
    /// The same on TLS.
    pub tls_bytes: u64,
    /// Links that began because the terminal was told to change its transport.
    pub switches: u64,
    /// Full TLS handshakes.
    pub full_handshakes: u64,
    /// Resumed ones.
    pub resumed_handshakes: u64,
    /// Bytes that always staying on TLS would have cost: what went over plain in records, and no switches.
    pub always_tls_bytes: u64,
    /// What was saved against that; below zero when switching cost more.
    pub saved_bytes: i64,
}

impl From<TerminalAccount> for AccountView {
    fn from(account: TerminalAccount) -> Self {
        let bytes = account.plain_bytes + account.tls_bytes;
        let saved_bytes =
            (account.plain_segments * RECORD).cast_signed() - account.switch_bytes.cast_signed();
        AccountView {
            plain_secs: account.plain_ms / 1_000,
            tls_secs: account.tls_ms / 1_000,
            plain_bytes: account.plain_bytes,
            tls_bytes: account.tls_bytes,
            switches: account.switches,
            full_handshakes: account.full_handshakes,
            resumed_handshakes: account.resumed_handshakes,
            always_tls_bytes: bytes.saturating_add_signed(saved_bytes),
            saved_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b15_saved_is_what_tls_would_have_cost_more() {
        let account = TerminalAccount {
            plain_bytes: 10_000,
            tls_bytes: 5_000,
            plain_segments: 100,
            switch_bytes: 3_000,
            ..Default::default()
        };
        let view = AccountView::from(account);
        assert_eq!((view.saved_bytes, view.always_tls_bytes), (-800, 14_200));
        let quiet = AccountView::from(TerminalAccount { plain_segments: 1_000, ..account });
        assert_eq!((quiet.saved_bytes, quiet.always_tls_bytes), (19_000, 34_000));
    }

    #[test]
    fn b9_weights_are_those_that_were_measured_elsewhere() {
        // IPv4 with timestamps: 160 and 204 bytes a ping; a switch there and back about 3.7 KB.
        let weights = Weights::of(52, 0, 0);
        assert_eq!((weights.ping_plain, weights.ping_tls), (160, 204));
        assert!((3_500..5_000).contains(&weights.switch), "{weights:?}");
        let other = Weights::of(72, 1_000, 4_000);
        assert_eq!(other.ping_tls - other.ping_plain, 44);
        assert!(other.switch > 5_000);
    }
}
