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

    /// The placement of a sample between two probes; none if it moved meanwhile.
    pub(crate) fn between(before: f64, after: f64) -> Option<Placement> {
        let steady = before.max(after) <= DRIFT * before.min(after);
        let placement = Placement::of(before)?;
        (steady && Placement::of(after) == Some(placement)).then_some(placement)
    }
}

/// Two processes that measure the placement.
pub(crate) struct Prober<'a>(Crew<'a>);

impl<'a> Prober<'a> {
    pub(crate) fn launch(stage: &mut Stage<'a>) -> Outcome<Prober<'a>> {
        let probe = contenders::find("probe").ok_or("no probe")?;
        Prober::with(probe, stage)
    }

    fn with(probe: &dyn Contender, stage: &mut Stage<'a>) -> Outcome<Prober<'a>> {
        let job = Job::new(Kind::RoundTrip, 64);
        Ok(Prober(Crew::launch(probe, job, Pins::Two, stage)?))
    }

    /// Nanoseconds of a line's round trip now.
    pub(crate) fn probe(&mut self) -> Outcome<f64> {
        self.0.count(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_probes_of_one_placement_that_agree_place_a_sample() {
        assert_eq!(Placement::between(120.0, 131.0), Some(Placement::Near));
        assert_eq!(Placement::between(54.0, 53.0), Some(Placement::Siblings));
        assert_eq!(Placement::between(470.0, 455.0), Some(Placement::Far));
    }

    #[test]
    fn a_probe_that_moved_places_nothing() {
        assert_eq!(Placement::between(54.0, 125.0), None);
        assert_eq!(Placement::between(150.0, 235.0), None);
        assert_eq!(Placement::between(470.0, 9000.0), None);
        assert_eq!(Placement::between(9000.0, 9000.0), None);
    }
}
