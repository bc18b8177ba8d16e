//! Minimum, median, maximum.

use super::report::number;

/// Of some rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// None without values.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        // Of an even number: between the two in the middle.
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        let median = f64::midpoint(*low, *high);
        Some(Spread { min, median, max })
    }

    /// Median, and in brackets minimum and maximum.
    pub(super) fn shown(self) -> String {
        format!("{} ({} – {})", number(self.median), number(self.min), number(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_some_rounds() {
        assert_eq!(Spread::of([].into_iter()), None);
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter()).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(spread.shown(), "2.00 (1.00 – 3.00)");
        assert_eq!(Spread::of([4.0, 2.0].into_iter()).unwrap().median, 3.0);
    }
}
