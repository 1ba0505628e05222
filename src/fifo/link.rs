//! Who is at the other end, and what is still to be said about it. Pure.

use super::PairState;

/// The peer, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its generation, not 0.
    pub(super) generation: u64,
    /// The identity of its process, by its own account.
    pub(super) identity: [u64; 5],
}

/// What is known of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nobody,
    Alive(Peer),
    Dead(Peer),
}

/// This side's view of the connection.
#[derive(Debug)]
pub(super) struct Link {
    generation: u64,
    known: Known,
    /// The peer's end has not been told to the caller yet.
    untold: bool,
    /// A hello is to be sent.
    hello_due: bool,
}

impl Link {
    /// Nobody is known yet. `generation` is not 0.
    pub(super) fn new(generation: u64) -> Link {
        Link {
            generation,
            known: Known::Nobody,
            untold: false,
            hello_due: false,
        }
    }

    /// This side's generation.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn state(&self) -> PairState {
        match self.known {
            Known::Nobody => PairState::NoPeerYet,
            Known::Alive(_) => PairState::Open,
            Known::Dead(_) => PairState::PeerGone,
        }
    }

    /// The peer, alive or dead.
    pub(super) fn peer(&self) -> Option<Peer> {
        match self.known {
            Known::Nobody => None,
            Known::Alive(peer) | Known::Dead(peer) => Some(peer),
        }
    }

    /// Whether data of these generations is for the caller. What a peer sent before it died is.
    pub(super) fn accepts(&self, from: u64, to: u64) -> bool {
        to == self.generation && self.peer().is_some_and(|peer| peer.generation == from)
    }

    /// A hello came, which was sent to generation `to`.
    pub(super) fn hello(&mut self, peer: Peer, to: u64) {
        match self.known {
            Known::Alive(known) if known.generation == peer.generation => {}
            Known::Alive(_) => self.untold = true,
            Known::Nobody | Known::Dead(_) => {}
        }
        self.known = Known::Alive(peer);
        // It does not know this side yet, or knows its predecessor.
        if to != self.generation {
            self.hello_due = true;
        }
    }

    /// The peer is proven dead.
    pub(super) fn died(&mut self) {
        if let Known::Alive(peer) = self.known {
            self.known = Known::Dead(peer);
            self.untold = true;
        }
        // Whoever comes next says hello first.
        self.hello_due = false;
    }

    /// The stream is broken: starts over under a new generation, so that what is on its way is told apart.
    /// An end that has not been told stays to be told.
    pub(super) fn start_over(&mut self, generation: u64, hello_due: bool) {
        *self = Link {
            untold: self.untold,
            hello_due,
            ..Link::new(generation)
        };
    }

    /// Whether the caller has yet to be told of an end; it counts as told then.
    pub(super) fn take_untold(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// Whether the caller has yet to be told of an end.
    pub(super) fn has_untold(&self) -> bool {
        self.untold
    }

    /// Whether the caller has to be told of an end before it is given what comes next: that comes from another.
    pub(super) fn must_tell_first(&self) -> bool {
        self.untold && !matches!(self.known, Known::Dead(_))
    }

    pub(super) fn hello_due(&self) -> bool {
        self.hello_due
    }

    pub(super) fn set_hello_due(&mut self, due: bool) {
        self.hello_due = due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(generation: u64) -> Peer {
        Peer {
            generation,
            identity: [0; 5],
        }
    }

    #[test]
    fn two_hellos_that_cross_end_with_both_open_and_nothing_due() {
        let (mut a, mut b) = (Link::new(1), Link::new(2));
        a.hello(peer(2), 0);
        b.hello(peer(1), 0);
        assert!(a.hello_due() && b.hello_due());
        a.set_hello_due(false);
        b.set_hello_due(false);
        b.hello(peer(1), 2);
        a.hello(peer(2), 1);
        assert!(!a.hello_due() && !b.hello_due());
        assert_eq!((a.state(), b.state()), (PairState::Open, PairState::Open));
        assert!(a.accepts(2, 1) && b.accepts(1, 2));
        assert!(!a.take_untold() && !b.take_untold());
    }

    #[test]
    fn a_death_is_told_once_and_last_words_are_accepted() {
        let mut link = Link::new(1);
        link.hello(peer(2), 1);
        link.died();
        link.died();
        assert_eq!(link.state(), PairState::PeerGone);
        assert!(link.accepts(2, 1));
        assert!(!link.must_tell_first());
        assert!(link.take_untold());
        assert!(!link.take_untold());
    }

    #[test]
    fn a_successor_whose_predecessors_death_went_unseen_is_told_before_it_is_heard() {
        let mut link = Link::new(1);
        link.hello(peer(2), 1);
        link.hello(peer(3), 0);
        assert!(link.must_tell_first());
        assert!(link.take_untold());
        assert_eq!(link.state(), PairState::Open);
        assert!(link.accepts(3, 1));
        assert!(!link.accepts(2, 1), "bytes of the dead");
        assert!(!link.accepts(3, 7), "bytes for the dead");
        link.died();
        link.hello(peer(4), 0);
        assert!(link.must_tell_first());
    }

    #[test]
    fn a_broken_stream_starts_over_with_nobody() {
        let mut link = Link::new(1);
        link.hello(peer(2), 1);
        link.start_over(9, true);
        assert_eq!(link.state(), PairState::NoPeerYet);
        assert!(link.hello_due());
        assert!(!link.accepts(2, 1) && !link.accepts(2, 9));
        link.died();
        assert_eq!(link.state(), PairState::NoPeerYet);
        assert!(!link.take_untold());
    }
}
