//! What follows from the figures. Pure.

/// Seconds of a day.
pub(super) const DAY: f64 = 86_400.0;

/// What a terminal's links weigh, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) ping_plain: f64,
    pub(super) ping_tls: f64,
    /// To TLS and back.
    pub(super) switch: f64,
}

impl Weights {
    /// Commands a day over which always TLS is lighter, for a ping every `keep_alive` seconds and `idle` seconds
    /// on TLS after each command: (86400/K)·ΔP / (S + (I/K)·ΔP).
    pub(super) fn break_even(&self, keep_alive: f64, idle: f64) -> f64 {
        let dearer = self.ping_tls - self.ping_plain;
        DAY / keep_alive * dearer / (self.switch + idle / keep_alive * dearer)
    }
}

/// Where the line `a` comes above `b`, both over `x`; None if it never does.
pub(super) fn crossing(x: &[f64], a: &[f64], b: &[f64]) -> Option<f64> {
    let points: Vec<(f64, f64)> = x.iter().zip(a.iter().zip(b)).map(|(x, (a, b))| (*x, a - b)).collect();
    points.windows(2).find_map(|pair| {
        let (&(x0, d0), &(x1, d1)) = (pair.first()?, pair.last()?);
        (d0 <= 0.0 && d1 > 0.0).then(|| x0 + (x1 - x0) * -d0 / (d1 - d0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b9_break_even_of_the_formula() {
        let weights = Weights { ping_plain: 160.0, ping_tls: 204.0, switch: 3_700.0 };
        assert!((weights.break_even(60.0, 0.0) - 17.1).abs() < 0.05);
        assert!((weights.break_even(240.0, 0.0) - 4.28).abs() < 0.05);
        assert!(weights.break_even(60.0, 1_440.0) < 14.0);
    }

    #[test]
    fn lines_cross_where_one_comes_above_the_other() {
        let x = [0.0, 10.0, 20.0];
        assert_eq!(crossing(&x, &[0.0, 10.0, 20.0], &[5.0, 15.0, 15.0]), Some(15.0));
        assert_eq!(crossing(&x, &[0.0, 1.0, 2.0], &[5.0, 5.0, 5.0]), None);
        assert_eq!(crossing(&x, &[6.0, 7.0, 8.0], &[5.0, 5.0, 5.0]), None, "above from the start");
    }
}
