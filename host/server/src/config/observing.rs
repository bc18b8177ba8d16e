//! `[log]` and `[telemetry]`.

use super::{ConfigError, raw::RawTelemetry, source::Source};

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As the config has it.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

impl Source<'_> {
    pub(super) fn log_format(&self, name: Option<String>) -> Result<Option<LogFormat>, ConfigError> {
        match name.as_deref() {
            None => Ok(None),
            Some("text") => Ok(Some(LogFormat::Text)),
            Some("json") => Ok(Some(LogFormat::Json)),
            Some(other) => Err(self.wrong("log.format", format!("{other:?} is neither `text` nor `json`"))),
        }
    }

    /// None without a collector, whatever else is set.
    pub(super) fn telemetry(
        &self,
        raw: RawTelemetry,
    ) -> Result<Option<postern_trace::Settings>, ConfigError> {
        let share = raw.sample;
        if !(0.0..=1.0).contains(&share) {
            return Err(self.wrong("telemetry.sample", "expected a share from 0 to 1"));
        }
        let service = self.filled("telemetry.service", raw.service)?;
        let Some(url) = raw.otlp else { return Ok(None) };
        let endpoint = url.parse().map_err(|e| self.wrong("telemetry.otlp", e))?;
        let version = env!("CARGO_PKG_VERSION");
        Ok(Some(postern_trace::Settings { endpoint, share, service, version }))
    }
}
