//! The states of a command, and which follow which.
//!
//! ```text
//! accepted ─► waiting ─► sent ─► acknowledged ─► done | failed | unknown
//!     └──────────┴─► expired, failed, cancelled
//! ```
//!
//! Each may be left out on the way. What was sent ends by the terminal's word, which may be `expired`; a day
//! after its time without a word it is `unknown`.

/// Where a command is between its acceptance and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Saved.
    Accepted,
    /// Waits for the terminal to come, or to come in through TLS.
    Waiting,
    /// Written to a link of the terminal.
    Sent,
    /// The terminal has written it down and begins.
    Acknowledged,
    /// Executed.
    Done,
    /// Could not be executed.
    Failed,
    /// The terminal does not know whether it was executed, and will not try again.
    Unknown,
    /// Its time was over before it was executed.
    Expired,
    /// Taken back before it was sent.
    Cancelled,
}

/// Those that something follows, in their order.
pub const OPEN: [State; 4] = [State::Accepted, State::Waiting, State::Sent, State::Acknowledged];

impl State {
    /// As it is saved and told.
    pub const fn name(self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Waiting => "waiting",
            State::Sent => "sent",
            State::Acknowledged => "acknowledged",
            State::Done => "done",
            State::Failed => "failed",
            State::Unknown => "unknown",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows it.
    pub fn is_end(self) -> bool {
        !OPEN.contains(&self)
    }

    /// The states that it may follow.
    pub fn after(self) -> Vec<&'static str> {
        // What was sent is not taken back.
        let next = if self == State::Cancelled { State::Sent } else { self };
        let before = OPEN.iter().position(|open| *open == next).unwrap_or(OPEN.len());
        OPEN.iter().take(before).map(|state| state.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_never_goes_back() {
        assert_eq!(State::Waiting.after(), ["accepted"]);
        assert_eq!(State::Acknowledged.after(), ["accepted", "waiting", "sent"]);
        assert_eq!(State::Done.after(), ["accepted", "waiting", "sent", "acknowledged"]);
        assert_eq!(State::Cancelled.after(), ["accepted", "waiting"]);
        assert!(State::Accepted.after().is_empty());
        assert!(State::Expired.is_end() && State::Cancelled.is_end() && !State::Acknowledged.is_end());
    }
}
