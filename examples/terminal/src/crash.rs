//! Places where a test lets the power fail.

/// The names that the environment variable `TERMINAL_CRASH_AT` takes, in the order of a command's life.
/// Builds without debug assertions never look at it.
pub const CRASH_POINTS: &[&str] = &[
    "instruction.followed",
    "command.received",
    "journal.begun",
    "acknowledged.sent",
    "command.executed",
    "journal.finished",
    "result.sent",
    "journal.reported",
];

/// Ends the process here, as a failing power supply would, if a test wants it.
pub(crate) fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("TERMINAL_CRASH_AT").is_some_and(|at| at == name) {
        std::process::abort();
    }
    let _ = name;
}
