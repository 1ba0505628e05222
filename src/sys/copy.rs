//! Copies between private bytes and shared words.
//!
//! Shared memory is accessed by relaxed atomic words, or by assembly into which the compiler cannot look and that
//! consists of plain loads and stores (none of them non-temporal, so that a releasing store after a copy orders it).
//! Which bytes of a torn copy are old and which new is for a later check to find out. Bytes keep their order in
//! memory whatever the machine's byte order.
//!
//! # Why not `memcpy`?
//!
//! A race with another process would be undefined behaviour. And where it is `rep movsb` inside, it can fall to a
//! twentieth of its speed when target and source lie 1 to 31 bytes apart modulo a page, as heap buffers do.
//!
//! # How fast
//!
//! Nanoseconds a copy into (out of) shared words from (to) a buffer 16 bytes off a page, in one process on one core
//! of a virtual AMD EPYC (Zen 4), the third best of nine runs; the columns in the middle are the loops alone:
//!
//! | bytes | relaxed words | 16-byte loop | 32-byte loop | this module | `memcpy` |
//! | --- | --- | --- | --- | --- | --- |
//! | 8 | 1.8 (1.9) | | | 2.2 (2.2) | 2.4 (2.4) |
//! | 13 | 7.2 (3.3) | | | 2.6 (4.1) | 2.4 (2.4) |
//! | 56 | 3.1 (3.0) | | | 3.8 (3.9) | 2.4 (2.4) |
//! | 64 | 3.2 (3.2) | 2.2 (2.2) | | 3.0 (3.0) | 2.7 (3.0) |
//! | 128 | 5.2 (4.9) | 3.2 (3.2) | 2.4 (2.7) | 4.1 (4.1) | 2.8 (3.0) |
//! | 256 | 8.3 (8.4) | 5.4 (5.4) | 3.5 (4.3) | 4.3 (5.4) | 4.4 (4.6) |
//! | 1024 | 27 (28) | 17 (17) | 9.9 (12) | 11 (14) | 13 (12) |
//! | 4096 | 108 (112) | 69 (69) | 36 (49) | 36 (50) | 45 (97) |
//! | 16 KiB | 459 (599) | 277 (277) | 157 (237) | 157 (238) | 172 (309) |
//! | 64 KiB | 1876 (1955) | 1124 (1127) | 1130 (1217) | 1132 (1226) | 1233 (1154) |
//! | 1 MiB | 37 k (36 k) | 21 k (22 k) | 21 k (24 k) | 22 k (24 k) | 22 k (22 k) |
//!
//! From 32 KiB on the string instruction of AMD's processors is faster than all of these (on a Zen 5 of 64 KiB 0.53 µs against 0.70,
//! of 1 MiB 15.7 against 19.4, and between two cores up to twice as fast), except where the target lies 1 to 63 bytes after
//! the source modulo a page (0.9). On a Xeon it is so from 512 KiB on; between its cores the loop takes part of the time up to there,
//! as it fetches ahead what the other core has: `blocks.rs` has the figures. The instruction's stores are ordered before every
//! later store.

use std::sync::atomic::{AtomicU64, Ordering};

use self::last::{last_word, put_first_bytes};
use super::map::WORD;

/// From how many bytes on the 16-byte loop is used: the first length that it copies in one turn, in 2.2 ns where words
/// take 3.2.
const BLOCKS_FROM: usize = 64;

/// Copies `from` into the words of `to` from its beginning; the last word is filled up with zeros. The caller
/// has checked that it fits; what does not is left out.
#[inline(always)]
pub(crate) fn store(to: &[AtomicU64], from: &[u8]) {
    debug_assert!(from.len() <= to.len() * WORD);
    let (whole, rest) = from.as_chunks::<WORD>();
    if from.len() < BLOCKS_FROM || !blocks::store(to, whole) {
        for (word, bytes) in to.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }
    if !rest.is_empty()
        && let Some(word) = to.get(whole.len())
    {
        word.store(last_word(from).to_le(), Ordering::Relaxed);
    }
}

/// Copies the words of `from` out into `to`, which is filled as far as there are words.
#[inline(always)]
pub(crate) fn load(from: &[AtomicU64], to: &mut [u8]) {
    debug_assert!(to.len() <= from.len() * WORD);
    let is_short = to.len() < BLOCKS_FROM;
    let (whole, rest) = to.as_chunks_mut::<WORD>();
    if is_short || !blocks::load(from, whole) {
        load_words(from, whole);
    }
    load_rest(from, whole.len(), rest);
}

/// How at least [`LONG`] bytes are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the vector registers.
    Vector,
    /// By the processor's string instruction.
    String,
}

impl Way {
    pub(crate) fn other(self) -> Way {
        match self {
            Way::Vector => Way::String,
            Way::String => Way::Vector,
        }
    }
}

/// Whether AMD has made the processor, whose caches and string instruction behave otherwise.
pub(crate) fn is_amd() -> bool {
    blocks::is_amd()
}

/// From so many bytes on it may pay to choose the way.
pub(crate) const LONG: usize = 32 << 10;

/// As [`load`], in the way of the caller's choice, if the processor has it.
pub(crate) fn load_long(from: &[AtomicU64], to: &mut [u8], way: Way) {
    debug_assert!(to.len() <= from.len() * WORD);
    let (whole, rest) = to.as_chunks_mut::<WORD>();
    if !blocks::load_long(from, whole, way) {
        load_words(from, whole);
    }
    load_rest(from, whole.len(), rest);
}

#[inline(always)]
fn load_words(from: &[AtomicU64], to: &mut [[u8; WORD]]) {
    for (bytes, word) in to.iter_mut().zip(from) {
        *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
    }
}

/// What is left of the word `at`.
#[inline(always)]
fn load_rest(from: &[AtomicU64], at: usize, rest: &mut [u8]) {
    if !rest.is_empty()
        && let Some(word) = from.get(at)
    {
        put_first_bytes(u64::from_le(word.load(Ordering::Relaxed)), rest);
    }
}

/// From how many bytes on a private copy keeps away from `memcpy`: below, that does not use `rep movsb`.
const PRIVATE_FROM: usize = 1024;

/// Copies private bytes: as `copy_from_slice`, but as fast at every distance between the two.
#[inline]
pub(crate) fn bytes(to: &mut [u8], from: &[u8]) {
    debug_assert_eq!(to.len(), from.len());
    if to.len() != from.len() || to.len() < PRIVATE_FROM || !blocks::bytes(to, from) {
        let len = to.len().min(from.len());
        to[..len].copy_from_slice(&from[..len]);
    }
}

/// Copies `from` to the byte `at` (below eight) of the first word of `to` and on. The bytes beside it are kept.
#[inline]
pub(crate) fn store_within(to: &[AtomicU64], at: usize, from: &[u8]) {
    debug_assert!(at < WORD);
    let head = if at == 0 {
        0
    } else {
        from.len().min(WORD - at)
    };
    let (head, rest) = from.split_at(head);
    let mut to = to;
    if let (false, Some((first, others))) = (head.is_empty(), to.split_first()) {
        store_bytes(first, at, head);
        to = others;
    }
    let (whole, tail) = rest.split_at(rest.len() - rest.len() % WORD);
    store(to, whole);
    if let (false, Some(last)) = (tail.is_empty(), to.get(whole.len() / WORD)) {
        store_bytes(last, 0, tail);
    }
}

/// Copies from the byte `at` (below eight) of the first word of `from` and on out into `to`.
#[inline]
pub(crate) fn load_within(from: &[AtomicU64], at: usize, to: &mut [u8]) {
    debug_assert!(at < WORD);
    let head = if at == 0 { 0 } else { to.len().min(WORD - at) };
    let (head, rest) = to.split_at_mut(head);
    let mut from = from;
    if let (false, Some((first, others))) = (head.is_empty(), from.split_first()) {
        let word = first.load(Ordering::Relaxed).to_ne_bytes();
        head.copy_from_slice(&word[at..at + head.len()]);
        from = others;
    }
    load(from, rest);
}

/// Replaces a few bytes of a word that others may be writing other bytes of.
fn store_bytes(word: &AtomicU64, at: usize, bytes: &[u8]) {
    let replaced = |old: u64| {
        let mut new = old.to_ne_bytes();
        new[at..at + bytes.len()].copy_from_slice(bytes);
        Some(u64::from_ne_bytes(new))
    };
    // It always succeeds: the closure never says `None`.
    let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, replaced);
}

/// Elsewhere words do.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod blocks {
    use super::{AtomicU64, WORD, Way};

    pub(super) fn is_amd() -> bool {
        false
    }

    pub(super) fn load_long(_: &[AtomicU64], _: &mut [[u8; WORD]], _: Way) -> bool {
        false
    }

    pub(super) fn store(_: &[AtomicU64], _: &[[u8; WORD]]) -> bool {
        false
    }

    pub(super) fn load(_: &[AtomicU64], _: &mut [[u8; WORD]]) -> bool {
        false
    }

    pub(super) fn bytes(_: &mut [u8], _: &[u8]) -> bool {
        false
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod blocks;
mod last;
#[cfg(test)]
mod tests;
