//! How a side of a ring says that it sleeps, and how the other side learns whether it must ring.
//!
//! A *sleep word* is written by its sleeper only. It is odd while the sleeper is asleep (or cold: a server that
//! does not watch this ring), even while it is awake (or hot), and every sleep has another odd number. Who
//! makes something that the sleeper may wait for (a record, or room) looks at the word afterwards, and rings if
//! it is odd and not the one that it has rung for already.
//!
//! ```text
//! sleeper                              sender
//!   word = odd number                    record, tail     (or: state, head)
//!   fence                                fence
//!   look in the ring                     look at the word
//!   nothing: block                       odd, and new: ring
//! ```
//!
//! The two fences are sequentially consistent, so one comes first. If it is the sender's, the sleeper's look
//! finds what was made. If it is the sleeper's, the sender's look finds the odd number. Either way nobody
//! sleeps through anything. A bell too many is harmless; a sender may fence once for many records and words.
//!
//! Whoever takes a bell out of the FIFO must begin another sleep, with a number of its own, before it blocks
//! again, even if it has found nothing: the sender does not ring twice for one number.

use super::word::Word;

/// The sleeper's side of a sleep word.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    /// What stands in the word.
    value: u64,
}

impl Sleeper {
    /// Takes up a word where a predecessor left it, so that no number is used again, and is awake.
    ///
    /// The word may hold anything: the number to go on from does not matter.
    pub(crate) fn resume<W: Word>(word: &W) -> Self {
        let mut sleeper = Self {
            value: word.load_relaxed(),
        };
        sleeper.end(word);
        sleeper
    }

    /// Says that this side sleeps, in a sleep with a number of its own, and fences. The caller must now look once
    /// more for what it wants, and may block only if that is not there.
    #[inline]
    pub(crate) fn begin<W: Word>(&mut self, word: &W) {
        // The next odd number, whether this side is awake or has been asleep.
        self.value = self.value.wrapping_add(1) | 1;
        word.store_relaxed(self.value);
        // SYNC(sleep): pairs with the fence before Waker::should_ring.
        W::fence();
    }

    /// Says that this side is awake. Does nothing if it is.
    #[inline]
    pub(crate) fn end<W: Word>(&mut self, word: &W) {
        if self.is_asleep() {
            self.value = self.value.wrapping_add(1);
            word.store_relaxed(self.value);
        }
    }

    /// Begins a sleep and looks once more: `true` if the caller may block, `false` if `look` found something, in
    /// which case this side is awake again.
    #[inline]
    pub(crate) fn may_block<W: Word>(&mut self, word: &W, look: impl FnOnce() -> bool) -> bool {
        self.begin(word);
        let nothing = !look();
        if !nothing {
            self.end(word);
        }
        nothing
    }

    /// Whether the word says that this side sleeps.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.value & 1 == 1
    }
}

/// The sender's side of a sleep word: which sleep it has rung for.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    /// The last odd number that was rung for; 0 stands for none.
    rung: u64,
}

impl Waker {
    /// Whether the sleeper must be rung now; if so, the caller must do it, for the answer comes once a sleep.
    ///
    /// Between the stores that the sleeper waits for and this there must be a [`Word::fence`].
    #[inline]
    pub(crate) fn should_ring<W: Word>(&mut self, word: &W) -> bool {
        // SYNC(sleep): pairs with the fence in Sleeper::begin.
        let value = word.load_relaxed();
        if value & 1 == 0 || value == self.rung {
            return false;
        }
        self.rung = value;
        true
    }

    /// Forgets what was rung for: after a bell that did not get through, or for a new peer.
    pub(crate) fn forget(&mut self) {
        self.rung = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn a_sender_rings_once_for_each_sleep() {
        let word = AtomicU64::new(0);
        let mut sleeper = Sleeper::resume(&word);
        let mut waker = Waker::default();
        assert!(!waker.should_ring(&word), "awake");
        for _ in 0..3 {
            assert!(sleeper.may_block(&word, || false));
            assert!(waker.should_ring(&word));
            assert!(!waker.should_ring(&word), "rung already");
            sleeper.begin(&word);
            assert!(
                waker.should_ring(&word),
                "another sleep, though it never woke"
            );
            sleeper.end(&word);
            assert!(!waker.should_ring(&word));
        }
        sleeper.begin(&word);
        assert!(waker.should_ring(&word));
        waker.forget();
        assert!(waker.should_ring(&word), "the bell was lost");
    }

    #[test]
    fn a_second_look_that_finds_something_ends_the_sleep() {
        let word = AtomicU64::new(0);
        let mut sleeper = Sleeper::resume(&word);
        assert!(!sleeper.may_block(&word, || true));
        assert!(!sleeper.is_asleep());
        assert!(!Waker::default().should_ring(&word));
    }

    #[test]
    fn a_successor_uses_no_number_of_its_predecessor() {
        for left in [0, 1, 6, 7, u64::MAX - 1, u64::MAX] {
            let word = AtomicU64::new(left);
            let mut waker = Waker::default();
            let _ = waker.should_ring(&word);
            let mut sleeper = Sleeper::resume(&word);
            assert!(!waker.should_ring(&word), "a successor is awake");
            for _ in 0..3 {
                sleeper.begin(&word);
                assert!(waker.should_ring(&word), "left at {left}");
            }
        }
    }
}
