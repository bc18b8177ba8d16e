//! A line through a series that outliers do not turn: Theil–Sen, with the confidence interval of its slope.
//!
//! Latencies have stalls in them (somebody else's disk, somebody else's compiler), and memory has steps: least
//! squares would follow both. The interval is Sen's, by ranks; neighbours in time resemble each other, so its
//! variance is widened by what the residuals' lag-one autocorrelation says.

use crate::bench::spread::median;

/// A fitted line, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// At time zero.
    pub(crate) start: f64,
    /// For each unit of time.
    pub(crate) slope: f64,
    /// 95 % confidence interval of the slope.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Median of the values.
    pub(crate) level: f64,
}

/// Points that a fit takes at least.
const FEWEST: usize = 8;
/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.96;

/// The line; None with too few points.
pub(crate) fn line(points: &[(f64, f64)]) -> Option<Fit> {
    if points.len() < FEWEST {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, (x, y)) in points.iter().enumerate() {
        let later = points.iter().skip(at + 1).filter(|(later, _)| later > x);
        slopes.extend(later.map(|(later, value)| (value - y) / (later - x)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = median(&slopes)?;
    let mut starts: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let residuals = starts.clone();
    starts.sort_unstable_by(f64::total_cmp);
    let start = median(&starts)?;
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = points.len() as f64;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 * inflation(&residuals, start);
    let ranks = slopes.len() as f64;
    let reach = Z * variance.sqrt();
    let at = |rank: f64| {
        let last = slopes.len().saturating_sub(1);
        slopes.get((rank.max(0.0) as usize).min(last)).copied()
    };
    let (low, high) = (at((ranks - reach) / 2.0)?, at((ranks + reach) / 2.0)?);
    Some(Fit { start, slope, low, high, level: median(&values)? })
}

/// How much more the slope varies than that of independent points: (1 + r) / (1 - r), at least 1.
fn inflation(residuals: &[f64], middle: f64) -> f64 {
    let off: Vec<f64> = residuals.iter().map(|residual| residual - middle).collect();
    let all: f64 = off.iter().map(|one| one * one).sum();
    let next: f64 = off.iter().zip(off.iter().skip(1)).map(|(one, next)| one * next).sum();
    if all <= 0.0 {
        return 1.0;
    }
    let r = (next / all).clamp(0.0, 0.95);
    (1.0 + r) / (1.0 - r)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a slope, within ±1, the same each time.
    fn noise(at: usize) -> f64 {
        let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        mixed as f64 / f64::from(1_u32 << 23) - 1.0
    }

    #[test]
    fn a_slope_is_found_through_stalls() {
        let value = |at: usize| 100.0 + 0.5 * at as f64 + noise(at) + if at % 10 == 3 { 900.0 } else { 0.0 };
        let points: Vec<_> = (0..100).map(|at| (at as f64, value(at))).collect();
        let fit = line(&points).unwrap();
        assert!((fit.slope - 0.5).abs() < 0.02, "{fit:?}");
        assert!(fit.low > 0.4 && fit.high < 0.6 && fit.low < fit.slope && fit.slope < fit.high, "{fit:?}");
        assert!((fit.start - 100.0).abs() < 1.0, "{fit:?}");
    }

    #[test]
    fn what_only_wavers_has_zero_within_its_interval() {
        let points: Vec<_> = (0..100).map(|at| (at as f64, 50.0 + noise(at))).collect();
        let fit = line(&points).unwrap();
        assert!(fit.low < 0.0 && fit.high > 0.0 && fit.slope.abs() < 0.01, "{fit:?}");
    }

    #[test]
    fn what_wanders_is_less_sure_than_what_wavers() {
        let waver: Vec<_> = (0..100).map(|at| (at as f64, noise(at))).collect();
        let wander: Vec<_> =
            (0..100).map(|at| (at as f64, (at as f64 / 8.0).sin() + noise(at) / 10.0)).collect();
        let width = |fit: Fit| fit.high - fit.low;
        assert!(width(line(&wander).unwrap()) > 1.5 * width(line(&waver).unwrap()));
    }

    #[test]
    fn what_does_not_move_has_no_slope_at_all() {
        let fit = line(&(0..20).map(|at| (f64::from(at), 7.0)).collect::<Vec<_>>()).unwrap();
        assert_eq!((fit.slope, fit.low, fit.high, fit.start, fit.level), (0.0, 0.0, 0.0, 7.0, 7.0));
        assert_eq!(line(&[(0.0, 1.0); 3]), None);
    }
}
