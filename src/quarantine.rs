//! Which of the requests that were in hand when a server died are run, and when; pure.
//!
//! A request that a successor finds begun is a *suspect*: it may be what killed its server. Suspects are run one at a
//! time, while everything else goes on, so that from the second death on the culprit is alone among them. One that is
//! charged with more deaths than are allowed is not run again: it is *poisoned*.
//!
//! * **The fewest deaths first**, so that the innocent are served before the culprit has its next turn. Among equals the
//!   order is another one in each epoch, so that nobody always has the same neighbours.
//! * **Alone, but not for ever.** A suspect that has been alone for the time of a *trial* makes room for the next, and is
//!   not charged should a death come then. So a handler that never answers does not keep the other suspects
//!   waiting, and one that works for long is not poisoned for what another did. While there is no other
//!   suspect, waiting or in hand, a trial goes on.
//! * **Longer after each death.** A culprit that takes longer than a trial would never be charged while others are in
//!   hand. So trials are twice as long after each death that follows soon upon another.
//!
//! What follows for culprits that take no longer than a trial, and the tests hold it to: each of the deaths that an
//! innocent request is charged with had another culprit. (The first is charged to all that were in hand. Later ones to the
//! one on trial, and if that is innocent, the culprit was a request that ran for the first time.) So to poison it takes
//! more different culprits than there are deaths allowed.

use std::collections::BTreeSet;

/// How often a trial is doubled at most.
const MOST_DOUBLED: u32 = 5;

/// The suspects of one epoch: of each session at most one waits, the next in its order.
#[derive(Debug)]
pub(crate) struct Quarantine {
    /// Deaths that a request may be charged with and still be run again.
    deaths: u32,
    /// How long a suspect is alone while there are others, in nanoseconds.
    trial: u64,
    /// Of this epoch.
    salt: u64,
    waiting: BTreeSet<Place>,
    /// When the trial of the one that is alone is over.
    until: Option<u64>,
    /// How many are in hand whose trial is over.
    acquitted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    deaths: u32,
    turn: u64,
    session: u32,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Run the suspect of this session, which is alone from now on.
    Call(u32),
    /// The one that was alone is not charged with what comes.
    Acquit,
}

impl Quarantine {
    /// `soon` is how many servers before this one died soon after they began.
    pub(crate) fn new(deaths: u32, trial: u64, soon: u32, salt: u64) -> Quarantine {
        Quarantine {
            deaths,
            trial: trial.saturating_mul(1 << soon.min(MOST_DOUBLED)),
            salt,
            waiting: BTreeSet::new(),
            until: None,
            acquitted: 0,
        }
    }

    /// Whether a request that is charged with so many deaths is not to be run again.
    pub(crate) fn is_poisoned(&self, deaths: u32) -> bool {
        deaths > self.deaths
    }

    /// Has a session wait whose next request is a suspect that is charged with so many deaths.
    pub(crate) fn put_aside(&mut self, session: u32, deaths: u32) {
        let mixed = (u64::from(session) ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.waiting.insert(Place {
            deaths,
            turn: mixed.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9),
            session,
        });
    }

    /// A session that may wait is over.
    pub(crate) fn take_out(&mut self, session: u32) {
        self.waiting.retain(|place| place.session != session);
    }

    /// The one that was alone is out of everybody's hands.
    pub(crate) fn alone_is_over(&mut self) {
        self.until = None;
    }

    /// So many that were acquitted are out of everybody's hands.
    pub(crate) fn acquitted_are_over(&mut self, count: usize) {
        self.acquitted = self.acquitted.saturating_sub(count);
    }

    /// What is to be done now, if anything is; to be asked again after that.
    pub(crate) fn step(&mut self, now: u64) -> Option<Step> {
        let Some(until) = self.until else {
            let place = self.waiting.pop_first()?;
            self.until = Some(now.saturating_add(self.trial));
            return Some(Step::Call(place.session));
        };
        if now < until || !self.has_others() {
            return None;
        }
        self.until = None;
        self.acquitted += 1;
        Some(Step::Acquit)
    }

    fn has_others(&self) -> bool {
        !self.waiting.is_empty() || self.acquitted > 0
    }

    /// When [`step`](Self::step) may give something though nothing else has happened.
    pub(crate) fn next_look(&self) -> Option<u64> {
        self.until.filter(|_| self.has_others())
    }

    /// Whether nobody waits, and nobody is in hand.
    pub(crate) fn is_empty(&self) -> bool {
        self.until.is_none() && !self.has_others()
    }
}

#[cfg(test)]
mod tests;
