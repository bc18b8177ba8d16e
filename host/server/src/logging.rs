//! Logs go to stderr: text on a terminal, JSON otherwise. Never a password, token or body; by default, no
//! client id, user name or topic either.
//!
//! Every line ends with the id of the work that it was written in (`postern_trace`), which is asked for when
//! a line is written and at no other time.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use postern_trace::ids;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    filter::ParseError,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{DefaultFields, Format, Json, JsonFields, Writer},
    },
    prelude::*,
    registry::LookupSpan,
};

use crate::config::LogFormat;

/// What is logged when nobody says otherwise.
const DEFAULT: &str = "info";

/// Whether a text is a filter.
///
/// # Errors
/// What is wrong with it.
pub fn check(filter: &str) -> Result<(), ParseError> {
    EnvFilter::builder().parse(filter).map(drop)
}

/// Starts logging, by the config key `log.filter`, else by `RUST_LOG`, else at `info`; in the given format,
/// else in the one that fits stderr.
///
/// # Errors
/// A filter that cannot be read.
pub fn start(filter: Option<&str>, format: Option<LogFormat>) -> Result<(), ParseError> {
    let by_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::builder().parse(filter.or(by_environment.as_deref()).unwrap_or(DEFAULT))?;
    let registry = tracing_subscriber::registry().with(filter);
    let is_terminal = io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(is_terminal);
    let fitting = if is_terminal { LogFormat::Text } else { LogFormat::Json };
    // A second start (tests in one process) leaves the first in place.
    let _ = match format.unwrap_or(fitting) {
        LogFormat::Text => registry.with(layer.fmt_fields(Identified(DefaultFields::new()))).try_init(),
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::format().json().flatten_event(true);
            registry.with(layer.fmt_fields(JsonFields::new()).event_format(Identified(json))).try_init()
        }
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(at = ?info.location(), "panic");
        before(info);
    }));
    Ok(())
}

/// What it holds, with the id of the work at hand.
struct Identified<F>(F);

/// As text: a last field, `id=…`.
impl<'w> FormatFields<'w> for Identified<DefaultFields> {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        match ids() {
            Some(ids) => write!(writer, " id={ids}"),
            None => Ok(()),
        }
    }
}

/// As JSON: a last member, `"id":"…"`.
impl<S, N> FormatEvent<S, N> for Identified<Format<Json>>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(ids) = ids() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let object = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writeln!(writer, "{object},\"id\":\"{ids}\"}}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use postern_trace::Work;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(subscriber: impl Subscriber + Send + Sync, written: &Written) -> (String, Vec<String>) {
        let work = Work::link(7).packet(3);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(count = 1, "outside");
            let _entered = work.enter();
            tracing::warn!(count = 2, "within");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        (work.to_string(), text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn lines_end_with_the_id_of_the_work() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let layer = layer.fmt_fields(Identified(DefaultFields::new()));
        let (id, text) = lines(tracing_subscriber::registry().with(layer), &written);
        assert!(text[0].ends_with("outside count=1"), "{text:?}");
        assert!(text[1].ends_with(&format!("within count=2 id={id}")), "{text:?}");
    }

    #[test]
    fn json_lines_have_the_id_as_a_member() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let json = tracing_subscriber::fmt::format().json().flatten_event(true);
        let layer = layer.fmt_fields(JsonFields::new()).event_format(Identified(json));
        let (id, text) = lines(tracing_subscriber::registry().with(layer), &written);
        let parsed: Vec<serde_json::Value> = text.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(parsed[0]["id"], serde_json::Value::Null);
        assert_eq!((&parsed[1]["id"], &parsed[1]["count"]), (&id.into(), &2.into()));
    }
}
