//! Samples and what is made of them.

use crate::entry::Entry;
use crate::groups::Group;
use crate::placement::Placement;

/// One slice of one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) round: u32,
    pub(crate) placement: Placement,
    /// Nanoseconds of one operation.
    pub(crate) nanos: f64,
}

/// All slices of one contender in a group.
pub(crate) struct Series {
    pub(crate) entry: &'static Entry,
    pub(crate) samples: Vec<Sample>,
    /// Slices whose probe moved.
    pub(crate) thrown: u32,
    /// Why there are no samples, if it did not take part.
    pub(crate) absent: Option<String>,
}

/// A group that has run.
pub(crate) struct Ran {
    pub(crate) group: &'static Group,
    pub(crate) series: Vec<Series>,
}

impl Ran {
    pub(crate) fn series(&self, name: &str) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.entry.name() == name)
    }
}

impl Series {
    /// The samples of one placement.
    pub(crate) fn of(&self, placement: Placement) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.placement == placement)
    }

    /// Median and spread in one placement.
    pub(crate) fn spread(&self, placement: Placement) -> Option<Spread> {
        Spread::of(self.of(placement).map(|sample| sample.nanos).collect())
    }

    /// This time over that, for each round in which both saw the same placement.
    pub(crate) fn pairs(&self, other: &Series) -> Vec<(Placement, f64)> {
        let pair = |ours: &Sample| {
            let theirs = other
                .samples
                .iter()
                .find(|theirs| theirs.round == ours.round && theirs.placement == ours.placement)?;
            Some((ours.placement, ours.nanos / theirs.nanos))
        };
        self.samples.iter().filter_map(pair).collect()
    }
}

/// Median, and the tenth and ninetieth of a hundred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// None for no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_unstable_by(f64::total_cmp);
        let count = values.len();
        let at = |part: f64| {
            values
                .get(((count.max(1) - 1) as f64 * part).round() as usize)
                .copied()
        };
        let median = f64::midpoint(*values.get(count.checked_sub(1)? / 2)?, values[count / 2]);
        Some(Spread {
            count,
            low: at(0.1)?,
            median,
            high: at(0.9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_sorted_values() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(
            spread,
            Some(Spread {
                count: 5,
                low: 1.0,
                median: 3.0,
                high: 5.0
            })
        );
        assert_eq!(
            Spread::of(vec![1.0, 2.0]).map(|spread| spread.median),
            Some(1.5)
        );
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
