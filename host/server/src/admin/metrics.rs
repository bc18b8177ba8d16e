//! The counters of the whole program, as `/metrics` shows them.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

static PAGE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting. To be called before anything is counted: a counter that is asked for earlier
/// counts nowhere.
///
/// # Errors
/// Somebody else counts already.
pub fn start() -> Result<(), BuildError> {
    if PAGE.get().is_none() {
        let handle = PrometheusBuilder::new().install_recorder()?;
        PAGE.get_or_init(|| handle);
        super::counted::describe();
    }
    Ok(())
}

/// The page, in Prometheus' text format.
pub fn page() -> String {
    let Some(handle) = PAGE.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}
