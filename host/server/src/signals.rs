//! Signals, caught before the config is acted on: the first process of a container loses those that it does not catch.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// All that a server answers to.
pub struct Signals {
    /// SIGTERM and SIGINT.
    pub stop: Stop,
    /// SIGHUP: reload.
    pub hangups: Signal,
}

/// SIGTERM and SIGINT.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// `man 7 signal`; the same on all Linux architectures but MIPS and PA-RISC.
const SIGXFSZ: i32 = 25;

impl Signals {
    /// From here on none of them ends the process by itself.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn catch() -> std::io::Result<Self> {
        // A file that may grow no further is an error of its write (C6), not the end of the process. The handler stays
        // when nobody listens: tokio never takes one back.
        drop(signal(SignalKind::from_raw(SIGXFSZ))?);
        Ok(Signals { stop: Stop::catch()?, hangups: signal(SignalKind::hangup())? })
    }
}

impl Stop {
    /// From here on neither ends the process by itself.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one; one that came meanwhile counts.
    pub async fn wanted(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
