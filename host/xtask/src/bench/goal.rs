//! A figure that was to be reached, beside what was.

use super::report::number;

/// One figure.
pub(super) struct Goal {
    what: &'static str,
    /// As measured.
    value: f64,
    unit: &'static str,
    /// At most.
    bound: f64,
}

impl Goal {
    /// None when it was not measured.
    pub(super) fn new(
        what: &'static str,
        value: Option<f64>,
        unit: &'static str,
        bound: f64,
    ) -> Option<Self> {
        Some(Goal { what, value: value?, unit, bound })
    }

    pub(super) fn is_met(&self) -> bool {
        self.value <= self.bound
    }

    /// What, measured, at most, met.
    pub(super) fn cells(&self) -> Vec<String> {
        let told = |value: f64| format!("{} {}", number(value), self.unit).trim_end().to_owned();
        let met = if self.is_met() { "met" } else { "**missed**" };
        vec![self.what.to_owned(), told(self.value), told(self.bound), met.to_owned()]
    }
}
