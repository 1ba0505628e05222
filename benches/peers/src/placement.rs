//! Where the two cores are, seen from each other.
//!
//! The cores of a virtual machine drift between the host's: every few seconds a cache line takes 54,
//! 125 or 470 ns for its round trip, and everything busy that is measured with it. So each sample is
//! taken between two probes, and counts only if both saw the same placement.

use crate::contender::{Contender, Job, Kind, Outcome};
use crate::contenders;
use crate::crew::{Crew, Pins, Stage};

/// What a sample is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placement {
    /// Two threads of one core.
    Siblings,
    /// Two cores that share a cache.
    Near,
    /// Two cores that do not.
    Far,
    /// Both ends run on one core: there is nothing to probe.
    OneCore,
}

/// All of them, as tables show them.
pub(crate) const PLACEMENTS: [Placement; 4] = [
    Placement::Siblings,
    Placement::Near,
    Placement::Far,
    Placement::OneCore,
];

/// Longest round trips of a line, in ns. Between the three usual ones (54, 125, 470) lie the
/// geometric means; what is slower than the last is no placement but somebody else on a core.
const SIBLINGS: f64 = 82.0;
const NEAR: f64 = 242.0;
const FAR: f64 = 1000.0;
/// Two probes further apart than this are not of one placement.
const DRIFT: f64 = 1.35;

impl Placement {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Placement::Siblings => "siblings",
            Placement::Near => "near",
            Placement::Far => "far",
            Placement::OneCore => "one core",
        }
    }

    fn of(nanos: f64) -> Option<Placement> {
        match nanos {
            _ if nanos < SIBLINGS => Some(Placement::Siblings),
            _ if nanos < NEAR => Some(Placement::Near),
            _ if nanos < FAR => Some(Placement::Far),
            _ => None,
        }
    }
}

fn agree(one: f64, other: f64) -> bool {
    one.max(other) <= DRIFT * one.min(other)
}

/// The placements of a run, with the round trips by which they were first told. What agrees with one of those, the nearest,
/// is of the same placement: so a machine whose cores lie at the border of two tears fewer of its samples apart. On such
/// a machine the names depend on what was seen first.
#[derive(Default)]
struct Seen(Vec<(f64, Placement)>);

impl Seen {
    fn known(&self, nanos: f64) -> Option<Placement> {
        let apart = |first: f64| first.max(nanos) / first.min(nanos);
        let agreeing = self.0.iter().filter(|(first, _)| agree(*first, nanos));
        let nearest = agreeing.min_by(|one, other| apart(one.0).total_cmp(&apart(other.0)));
        nearest.map(|(_, placement)| *placement)
    }

    fn between(&mut self, before: f64, after: f64) -> Option<Placement> {
        if !agree(before, after) {
            return None;
        }
        match (self.known(before), self.known(after)) {
            (Some(one), Some(other)) => (one == other).then_some(one),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => {
                let placement = Placement::of(before)?;
                self.0.push((before, placement));
                Some(placement)
            }
        }
    }
}

/// Two processes that measure the placement.
pub(crate) struct Prober<'a> {
    crew: Crew<'a>,
    seen: Seen,
}

impl<'a> Prober<'a> {
    pub(crate) fn launch(stage: &mut Stage<'a>) -> Outcome<Prober<'a>> {
        let probe = contenders::find("probe").ok_or("no probe")?;
        Prober::with(probe, stage)
    }

    fn with(probe: &dyn Contender, stage: &mut Stage<'a>) -> Outcome<Prober<'a>> {
        let job = Job::new(Kind::RoundTrip, 64);
        Ok(Prober {
            crew: Crew::launch(probe, job, Pins::Two, stage)?,
            seen: Seen::default(),
        })
    }

    /// Nanoseconds of a line's round trip now.
    pub(crate) fn probe(&mut self) -> Outcome<f64> {
        self.crew.count(1)
    }

    /// The placement of a sample between two probes; none if it moved meanwhile.
    pub(crate) fn between(&mut self, before: f64, after: f64) -> Option<Placement> {
        self.seen.between(before, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: f64, after: f64) -> Option<Placement> {
        Seen::default().between(before, after)
    }

    #[test]
    fn two_probes_of_one_placement_that_agree_place_a_sample() {
        assert_eq!(between(120.0, 131.0), Some(Placement::Near));
        assert_eq!(between(54.0, 53.0), Some(Placement::Siblings));
        assert_eq!(between(470.0, 455.0), Some(Placement::Far));
    }

    #[test]
    fn a_probe_that_moved_places_nothing() {
        assert_eq!(between(54.0, 125.0), None);
        assert_eq!(between(150.0, 235.0), None);
        assert_eq!(between(470.0, 9000.0), None);
        assert_eq!(between(9000.0, 9000.0), None);
    }

    #[test]
    fn a_machine_at_a_border_has_one_placement() {
        let mut seen = Seen::default();
        assert_eq!(seen.between(270.0, 240.0), Some(Placement::Far));
        assert_eq!(seen.between(230.0, 250.0), Some(Placement::Far));
        assert_eq!(seen.between(125.0, 120.0), Some(Placement::Near));
        assert_eq!(seen.between(230.0, 130.0), None);
    }
}
