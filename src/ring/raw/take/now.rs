//! The shortest way of a session's record: one that lies in one piece and is found, looked at and passed in registers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::RawConsumer;
use crate::ring::record::{Header, OF_SESSION};

/// A record that was found in one piece and checked, but is still there.
#[derive(Debug)]
pub(crate) struct Whole<'a, const WORDS: usize, const LEAD: usize> {
    /// The index at which it begins: its name until it is released.
    pub(crate) at: u64,
    /// The index at which it ends.
    pub(crate) end: u64,
    /// The payload's length.
    pub(crate) len: usize,
    /// The words of its header.
    pub(crate) header: &'a [AtomicU64; WORDS],
    /// The first words of its payload, or what stands in their place if that is shorter.
    lead: &'a [AtomicU64; LEAD],
    /// What stands behind them up to where the memory ends.
    pub(crate) row: &'a [AtomicU64],
}

impl<const WORDS: usize, const LEAD: usize> Whole<'_, WORDS, LEAD> {
    /// The first words of its payload, little endian, or what stands in their place if that is shorter. To be called once: another time
    /// they can be others.
    #[inline(always)]
    pub(crate) fn lead(&self) -> [u64; LEAD] {
        std::array::from_fn(|n| u64::from_le(self.lead[n].load(Ordering::Relaxed)))
    }
}

impl<const WORDS: usize> RawConsumer<WORDS> {
    /// Shows the next record to `take`, and goes past it if that takes it. `None`, and nothing has happened, if it does not, if there is
    /// no record, or none that is in one piece, or where [`peek`](Self::peek) would say that something is corrupt.
    #[inline(always)]
    pub(crate) fn take_now<const LEAD: usize, R>(
        &mut self,
        take: impl FnOnce(Whole<'_, WORDS, LEAD>) -> Option<R>,
    ) -> Option<R> {
        const { assert!(WORDS >= OF_SESSION) };
        let available = self.available()?;
        let at = self.cursor.next();
        let (header, lead, row) = self.memory.split(at)?;
        let words = [0, 1].map(|n| header[n].load(Ordering::Relaxed));
        if !self.last.accepts(&self.accept, words, available) {
            return None;
        }
        // It is the last one now.
        let whole = self.last.whole;
        let taken = take(Whole {
            at,
            end: at.wrapping_add(whole),
            len: Header::unpack(words).length as usize,
            header,
            lead,
            row,
        })?;
        self.cursor.advance(whole);
        Some(taken)
    }

    /// Whether there is a record that was not read, unless the index that tells of it is corrupt.
    #[inline(always)]
    pub(crate) fn has_any(&mut self) -> bool {
        self.available().is_some()
    }

    /// The bytes of records that were not read, if there are any.
    #[inline(always)]
    pub(super) fn available(&mut self) -> Option<u64> {
        let mut available = self.cursor.known();
        if available == 0 {
            available = self.see().unwrap_or(0);
            if available == 0 {
                self.expect();
                return None;
            }
        }
        Some(available)
    }
}
