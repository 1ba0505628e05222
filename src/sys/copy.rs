//! Copies between private bytes and shared words.
//!
//! Shared memory is accessed by relaxed atomic words; which bytes of a torn copy are old and which new is
//! for a later check to find out. Bytes keep their order in memory whatever the machine's byte order.

use std::sync::atomic::{AtomicU64, Ordering};

use super::map::WORD;

/// Copies `from` into the words of `to` from its beginning; the last word is filled up with zeros. The caller
/// has checked that it fits; what does not is left out.
#[inline]
pub(crate) fn store(to: &[AtomicU64], from: &[u8]) {
    debug_assert!(from.len() <= to.len() * WORD);
    let (whole, rest) = from.as_chunks::<WORD>();
    for (word, bytes) in to.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if !rest.is_empty()
        && let Some(word) = to.get(whole.len())
    {
        let mut padded = [0; WORD];
        padded[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
    }
}

/// Copies the words of `from` out into `to`, which is filled as far as there are words.
#[inline]
pub(crate) fn load(from: &[AtomicU64], to: &mut [u8]) {
    debug_assert!(to.len() <= from.len() * WORD);
    let (whole, rest) = to.as_chunks_mut::<WORD>();
    for (bytes, word) in whole.iter_mut().zip(from) {
        *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
    }
    if !rest.is_empty()
        && let Some(word) = from.get(whole.len())
    {
        let word = word.load(Ordering::Relaxed).to_ne_bytes();
        rest.copy_from_slice(&word[..rest.len()]);
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
