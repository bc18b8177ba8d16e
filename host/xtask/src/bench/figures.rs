//! What was measured: values by name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spread::Spread;

/// Values of all rounds, by name.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    pub(super) fn add(&mut self, name: impl Into<String>, value: Option<f64>) {
        if let Some(value) = value {
            self.0.entry(name.into()).or_default().push(value);
        }
    }

    pub(super) fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.0.get(name)?.iter().copied())
    }

    pub(super) fn median(&self, name: &str) -> Option<f64> {
        Some(self.spread(name)?.median)
    }

    pub(super) fn max(&self, name: &str) -> Option<f64> {
        Some(self.spread(name)?.max)
    }

    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        Some(self.0.get(name)?.iter().sum())
    }
}

/// A number of the generator's answer.
pub(super) fn at(answer: &Value, pointer: &str) -> Option<f64> {
    answer.pointer(pointer)?.as_f64()
}
