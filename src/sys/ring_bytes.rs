//! A region whose length is a power of two, addressed by positions that run freely.

use std::sync::atomic::{AtomicU64, Ordering};

use super::map::{Region, WORD};
use super::{copy, prefetch};

/// The bytes of a ring. No position is out of bounds: all are taken modulo the capacity, and their lowest
/// three bits are ignored, so that an access begins at a word.
#[derive(Clone, Debug)]
pub(crate) struct RingBytes {
    /// Its length is a power of two, of at least a word.
    region: Region,
    /// The number of words less one.
    mask: usize,
}

impl RingBytes {
    /// `None` unless the region's length is a power of two of at least eight bytes.
    pub(crate) fn new(region: Region) -> Option<RingBytes> {
        let words = region.len() / WORD;
        words.is_power_of_two().then(|| RingBytes {
            region,
            mask: words - 1,
        })
    }

    /// The capacity in bytes.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.region.len()
    }

    /// The word in which the byte `position` lies.
    #[inline]
    pub(crate) fn word(&self, position: u64) -> &AtomicU64 {
        &self.region.as_words()[self.index(position)]
    }

    /// The words from the one on in which the byte `position` lies up to the end of the region.
    #[inline(always)]
    pub(crate) fn row_from(&self, position: u64) -> &[AtomicU64] {
        &self.region.as_words()[self.index(position)..]
    }

    /// The words from the one on in which the byte `position` lies; `None` where they go around the end.
    #[inline(always)]
    fn row<const N: usize>(&self, position: u64) -> Option<&[AtomicU64; N]> {
        let words = self.region.as_words();
        words.get(self.index(position)..)?.first_chunk()
    }

    /// Loads words from `position` on, around the end where need be.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, position: u64) -> [u64; N] {
        match self.row::<N>(position) {
            Some(row) => std::array::from_fn(|n| row[n].load(Ordering::Relaxed)),
            None => self.load_around(position),
        }
    }

    #[cold]
    fn load_around<const N: usize>(&self, position: u64) -> [u64; N] {
        let word = |n| self.word(position.wrapping_add((n * WORD) as u64));
        std::array::from_fn(|n| word(n).load(Ordering::Relaxed))
    }

    /// Stores words from `position` on, and copies `bytes` in behind them, as [`write`](Self::write) does.
    #[inline(always)]
    pub(crate) fn put<const HEAD: usize, const LEAD: usize>(
        &self,
        position: u64,
        head: [u64; HEAD],
        lead: [u64; LEAD],
        bytes: &[u8],
    ) {
        let row = self.row_from(position);
        if let Some((to_head, row)) = row.split_first_chunk::<HEAD>()
            && let Some((to_lead, row)) = row.split_first_chunk::<LEAD>()
            && bytes.len() <= row.len() * WORD
        {
            for n in 0..HEAD {
                to_head[n].store(head[n], Ordering::Relaxed);
            }
            for n in 0..LEAD {
                to_lead[n].store(lead[n], Ordering::Relaxed);
            }
            copy::store(row, bytes);
        } else {
            const { assert!(HEAD + LEAD <= 8) };
            // Only here are they put into memory.
            let mut words = [0; 8];
            words[..HEAD].copy_from_slice(&head);
            words[HEAD..HEAD + LEAD].copy_from_slice(&lead);
            self.put_around(position, &words[..HEAD + LEAD], bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_around(&self, mut position: u64, words: &[u64], bytes: &[u8]) {
        for word in words {
            self.word(position).store(*word, Ordering::Relaxed);
            position = position.wrapping_add(WORD as u64);
        }
        self.write(position, bytes);
    }

    /// Copies `bytes` in from `position` on, around the end where need be, and fills the last word up with
    /// zeros. Bytes beyond the capacity overwrite the first ones, which is the caller's mistake.
    #[inline(always)]
    pub(crate) fn write(&self, position: u64, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.capacity());
        let to = self.row_from(position);
        if bytes.len() <= to.len() * WORD {
            copy::store(to, bytes);
        } else {
            self.write_around(to, bytes);
        }
    }

    #[cold]
    fn write_around(&self, to: &[AtomicU64], bytes: &[u8]) {
        let (mut now, mut later) = bytes.split_at(to.len() * WORD);
        copy::store(to, now);
        while !later.is_empty() {
            (now, later) = later.split_at(later.len().min(self.capacity()));
            copy::store(self.region.as_words(), now);
        }
    }

    /// Copies bytes from `position` on out, around the end where need be.
    #[inline(always)]
    pub(crate) fn read(&self, position: u64, into: &mut [u8]) {
        debug_assert!(into.len() <= self.capacity());
        let from = self.row_from(position);
        if into.len() <= from.len() * WORD {
            copy::load(from, into);
        } else {
            self.read_around(from, into);
        }
    }

    /// As [`read`](Self::read) of at least [`copy::LONG`] bytes, in this way.
    pub(crate) fn read_long(&self, position: u64, into: &mut [u8], way: copy::Way) {
        let from = self.row_from(position);
        if into.len() <= from.len() * WORD {
            copy::load_long(from, into, way);
        } else {
            self.read_around(from, into);
        }
    }

    #[cold]
    fn read_around(&self, from: &[AtomicU64], into: &mut [u8]) {
        let (now, mut later) = into.split_at_mut(from.len() * WORD);
        copy::load(from, now);
        while !later.is_empty() {
            let (now, rest) = later.split_at_mut(later.len().min(self.capacity()));
            copy::load(self.region.as_words(), now);
            later = rest;
        }
    }

    /// Has the processor fetch the cache line of `position` and the one behind it. Only the time is changed by it.
    #[inline]
    pub(crate) fn prefetch(&self, position: u64) {
        let index = self.index(position);
        for word in [index, index + 8] {
            if let Some(word) = self.region.as_words().get(word) {
                prefetch::to_read(word);
            }
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "64-bit targets only")]
    fn index(&self, position: u64) -> usize {
        (position as usize / WORD) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::Map;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    fn ring(len: usize) -> RingBytes {
        RingBytes::new(Arc::new(Map::on_heap(len)).whole()).expect("a power of two")
    }

    #[test]
    fn only_a_power_of_two_makes_a_ring() {
        let map = Arc::new(Map::on_heap(64));
        for len in [0, 24, 40, 48, 56] {
            assert!(
                RingBytes::new(map.region(0, len).unwrap()).is_none(),
                "{len}"
            );
        }
        for len in [8, 16, 32, 64] {
            assert_eq!(
                RingBytes::new(map.region(0, len).unwrap())
                    .unwrap()
                    .capacity(),
                len
            );
        }
    }

    #[test]
    fn what_is_written_is_read_at_every_position_and_length() {
        let ring = ring(64);
        let bytes: Vec<u8> = (1..=64).collect();
        for position in (0..128).chain(u64::MAX - 127..=u64::MAX) {
            for len in 0..=64 {
                ring.write(position, &bytes[..len]);
                let mut out = vec![0; len];
                ring.read(position, &mut out);
                assert_eq!(out, bytes[..len], "position {position}, length {len}");
            }
        }
    }

    #[test]
    fn padding_is_zeroed_and_the_next_word_is_left_alone() {
        let ring = ring(32);
        ring.write(0, &[0xff; 32]);
        ring.write(24, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            ring.word(32).load(Ordering::Relaxed),
            u64::from_ne_bytes([9, 0, 0, 0, 0, 0, 0, 0])
        );
        assert_eq!(ring.word(8).load(Ordering::Relaxed), u64::MAX);
        assert!(std::ptr::eq(ring.word(24 + 5), ring.word(56)));
    }
}
