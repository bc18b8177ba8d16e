//! Logs go to stderr: text on a terminal, JSON otherwise. Never a password, token or body.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, prelude::*};

/// What is logged when nobody says otherwise.
const DEFAULT: &str = "info";

/// Starts logging, by the config key `log.filter`, else by `RUST_LOG`, else at `info`.
///
/// # Errors
/// A filter that cannot be read.
pub fn start(filter: Option<&str>) -> Result<(), ParseError> {
    let by_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::builder().parse(filter.or(by_environment.as_deref()).unwrap_or(DEFAULT))?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(io::stderr);
    // A second start (tests in one process) leaves the first in place.
    let _ = if io::stderr().is_terminal() {
        registry.with(layer).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(at = ?info.location(), "panic");
        before(info);
    }));
    Ok(())
}
