//! What was measured: for a case of a row, and a broker, the values of all rounds.

use super::contender::Who;
use super::rows::Row;
use crate::bench::spread::Spread;

/// One quantity of a row, and whether more of it is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct What {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
}

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Better {
    More,
    Less,
    /// Only for the reader's judgement.
    Neither,
}

/// The values of one quantity.
struct Series {
    row: Row,
    case: String,
    what: What,
    who: Who,
    /// With the round of each.
    values: Vec<(usize, f64)>,
}

/// All values, in the order in which they came.
#[derive(Default)]
pub(super) struct Figures(Vec<Series>);

impl Figures {
    /// Adds a round and its value.
    pub(super) fn add(&mut self, row: Row, case: &str, what: What, who: Who, value: (usize, f64)) {
        let same = |s: &&mut Series| s.row == row && s.case == case && s.what == what && s.who == who;
        match self.0.iter_mut().find(same) {
            Some(series) => series.values.push(value),
            None => self.0.push(Series { row, case: case.to_owned(), what, who, values: vec![value] }),
        }
    }

    /// Rounds and their values; none where it could not be measured.
    pub(super) fn values(&self, row: Row, case: &str, what: What, who: Who) -> &[(usize, f64)] {
        let same = |s: &&Series| s.row == row && s.case == case && s.what == what && s.who == who;
        self.0.iter().find(same).map_or(&[], |series| &series.values)
    }

    /// Their spread.
    pub(super) fn spread(&self, row: Row, case: &str, what: What, who: Who) -> Option<Spread> {
        Spread::of(self.values(row, case, what, who).iter().map(|(_, value)| *value))
    }

    /// The cases of a row, each once.
    pub(super) fn cases(&self, row: Row) -> Vec<String> {
        let mut cases: Vec<String> = Vec::new();
        for series in self.0.iter().filter(|series| series.row == row) {
            if !cases.contains(&series.case) {
                cases.push(series.case.clone());
            }
        }
        cases
    }

    /// The quantities of a row, each once.
    pub(super) fn whats(&self, row: Row) -> Vec<What> {
        let mut whats = Vec::new();
        for series in self.0.iter().filter(|series| series.row == row) {
            if !whats.contains(&series.what) {
                whats.push(series.what);
            }
        }
        whats
    }

    /// The peer with the best median.
    pub(super) fn best_peer(&self, row: Row, case: &str, what: What) -> Option<(Who, f64)> {
        let medians =
            Who::PEERS.into_iter().filter_map(|who| Some((who, self.spread(row, case, what, who)?.median)));
        match what.better {
            Better::More => medians.max_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Less => medians.min_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Neither => None,
        }
    }
}
