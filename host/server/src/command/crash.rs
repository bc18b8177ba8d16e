//! Places where a crash is tried: before and after every write that must last.

/// All of them, for the test that goes through the list.
#[cfg(any(test, debug_assertions))]
pub const POINTS: [&str; 8] = [
    "command.saving",
    "command.saved",
    "instruction.numbered",
    "instruction.sent",
    "command.marking",
    "command.sent",
    "result.saving",
    "result.saved",
];

/// Ends the process, as SIGKILL would, if `CRASH_AT` in its environment names this place. Debug
/// builds only: a release has no such thing.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    {
        debug_assert!(POINTS.contains(&name), "{name} is not listed");
        if *AT == Some(name) {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
static AT: std::sync::LazyLock<Option<&'static str>> = std::sync::LazyLock::new(|| {
    let named = std::env::var("CRASH_AT").ok()?;
    POINTS.into_iter().find(|point| *point == named)
});
