//! The record before the next one.

use crate::ring::record::{Accept, Header, record_len};

/// The last record that was accepted. The next one mostly is like it, and is accepted by one comparison.
#[derive(Debug)]
pub(super) struct Last<const WORDS: usize> {
    /// The first word of its header.
    pub(super) first: u64,
    /// The bytes of all of it.
    pub(super) whole: u64,
}

impl<const WORDS: usize> Last<WORDS> {
    /// None yet: one that is longer than any ring, so that none is like it.
    pub(super) const NONE: Self = Last {
        first: u64::MAX,
        whole: u64::MAX,
    };

    #[inline]
    pub(super) fn of(first: u64) -> Self {
        Last {
            first,
            whole: record_len::<WORDS>(Header::unpack([first, 0]).length),
        }
    }

    /// Whether the header of the next record is accepted.
    #[inline(always)]
    pub(super) fn accepts(&mut self, accept: &Accept, words: [u64; 2], available: u64) -> bool {
        let [first, generation] = words;
        let is_like_last =
            first == self.first && generation == accept.generation && self.whole <= available;
        is_like_last || self.measure(accept, words, available)
    }

    /// Whether a header that is another one is accepted; the next ones are compared with it then.
    #[inline(never)]
    pub(super) fn measure(&mut self, accept: &Accept, words: [u64; 2], available: u64) -> bool {
        let is_good = accept.allows::<WORDS>(Header::unpack(words), available);
        if is_good {
            *self = Last::of(words[0]);
        }
        is_good
    }
}
