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
//! From 32 KiB on the processor's string instruction is faster than all of these, where it is fast at all (on a Zen 5 of 64 KiB
//! 0.53 µs against 0.70, of 1 MiB 15.7 against 19.4, and between two cores up to twice as fast), except where the target
//! lies 1 to 63 bytes after the source modulo a page (0.9). Its stores are ordered before every later store.
//!
//! This file may use `unsafe` for the assembly. What its blocks rely on:
//!
//! * **C1** Both ranges are as long as the copy: the one function that has such a block takes both as slices and never
//!   copies more than the shorter one has.
//! * **C2** They do not overlap: one is private bytes, the other words that are shared, or bytes of another borrow.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use self::last::{last_word, put_first_bytes};
use super::map::WORD;

/// From how many bytes on the 16-byte loop is used: the first length that it copies in one turn, in 2.2 ns where words
/// take 3.2.
const BLOCKS_FROM: usize = 64;

/// Has the processor fetch the cache line of this word, to be read soon.
#[inline]
pub(crate) fn prefetch(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: it changes nothing that a program can see.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) word.as_ptr(), options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}

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
    let len = to.len();
    let (whole, rest) = to.as_chunks_mut::<WORD>();
    if len < BLOCKS_FROM || !blocks::load(from, whole) {
        for (bytes, word) in whole.iter_mut().zip(from) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
    }
    if !rest.is_empty()
        && let Some(word) = from.get(whole.len())
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

/// Copies of at least [`BLOCKS_FROM`] bytes by vector registers.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod blocks {
    use std::arch::asm;

    use super::{AtomicU64, BLOCKS_FROM, WORD};

    /// From how many bytes on the 32-byte loop is faster than the 16-byte one although it is a call behind a look at what
    /// the processor can do: at 256 bytes 4.3 ns against 5.4, at 192 it is the other way round.
    const WIDE_FROM: usize = 256;

    /// From how many bytes on the processor's string instruction is faster than any loop.
    const STRING_FROM: usize = 32 << 10;

    const _: () = assert!(BLOCKS_FROM >= 64 && WIDE_FROM >= 128);

    /// Copies whole words in, and says whether it did.
    #[inline]
    pub(super) fn store(to: &[AtomicU64], from: &[[u8; WORD]]) -> bool {
        let len = to.len().min(from.len()) * WORD;
        // SAFETY: C1, C2. Atomics may be written through a shared reference.
        unsafe {
            copy(
                to.as_ptr().cast::<u8>().cast_mut(),
                from.as_ptr().cast(),
                len,
            )
        }
    }

    /// Copies whole words out, and says whether it did.
    #[inline]
    pub(super) fn load(from: &[AtomicU64], to: &mut [[u8; WORD]]) -> bool {
        let len = to.len().min(from.len()) * WORD;
        // SAFETY: C1, C2.
        unsafe { copy(to.as_mut_ptr().cast(), from.as_ptr().cast(), len) }
    }

    /// Copies private bytes, and says whether it did.
    #[inline]
    pub(super) fn bytes(to: &mut [u8], from: &[u8]) -> bool {
        let len = to.len().min(from.len());
        // SAFETY: C1; one of the two is borrowed for itself alone.
        unsafe { copy(to.as_mut_ptr(), from.as_ptr(), len) }
    }

    /// # Safety
    /// `len` bytes may be written at `to` and read at `from`, and the ranges do not overlap.
    #[inline]
    unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> bool {
        if len < BLOCKS_FROM {
            return false;
        }
        if len >= STRING_FROM && can_be_string(to, from) {
            // SAFETY: by the caller.
            unsafe { copy_string(to, from, len) };
            return true;
        }
        if len >= WIDE_FROM && std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: by the caller; the processor has AVX, and there are 128 bytes.
            unsafe { copy_wide(to, from, len) };
            return true;
        }
        let blocks = len & !63;
        // SAFETY: by the caller; `blocks` is a multiple of 64 above zero, and at most `len`.
        unsafe { copy_64(to, from, blocks) };
        if blocks != len {
            // The last block ends where the range ends, over a part of the one before.
            // SAFETY: by the caller: there are at least 64 bytes.
            let to = unsafe { to.add(len - 64) };
            // SAFETY: as above.
            let from = unsafe { from.add(len - 64) };
            // SAFETY: the last 64 bytes of both ranges.
            unsafe { copy_64(to, from, 64) };
        }
        true
    }

    /// # Safety
    /// As for [`copy`]; `len` is a multiple of 64 above zero.
    #[inline]
    unsafe fn copy_64(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: by the caller; plain loads and stores inside both ranges, in registers that are declared.
        unsafe {
            asm!(
                "2:",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "sub {len}, 64",
                "jnz 2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                len = inout(reg) len => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack)
            );
        }
    }

    /// Whether the string instruction is fast on this processor, and for these two: it is slow where the target lies a
    /// little after the source modulo a page.
    #[inline]
    fn can_be_string(to: *const u8, from: *const u8) -> bool {
        let ahead = to.addr().wrapping_sub(from.addr()) % 4096;
        !(1..64).contains(&ahead) && std::arch::is_x86_feature_detected!("ermsb")
    }

    /// # Safety
    /// As for [`copy`].
    #[inline(never)]
    unsafe fn copy_string(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: by the caller. The direction flag is clear outside of assembly.
        unsafe {
            asm!(
                "rep movsb",
                inout("rdi") to => _,
                inout("rsi") from => _,
                inout("rcx") len => _,
                options(nostack, preserves_flags)
            );
        }
    }

    /// # Safety
    /// As for [`copy`]; `len` is at least 128, and the processor has AVX.
    #[inline(never)]
    unsafe fn copy_wide(to: *mut u8, from: *const u8, len: usize) {
        // The last turn ends where the range ends, over a part of the one before.
        let last = len - 128;
        // SAFETY: by the caller; plain loads and stores inside both ranges: at 0, 128, … below `last`, then at `last`.
        // All vector registers that are used are declared, and their upper halves are cleared at the end.
        unsafe {
            asm!(
                "test {last}, {last}",
                "jz 3f",
                "xor {at:e}, {at:e}",
                "2:",
                "vmovups ymm0, [{from} + {at}]",
                "vmovups ymm1, [{from} + {at} + 32]",
                "vmovups ymm2, [{from} + {at} + 64]",
                "vmovups ymm3, [{from} + {at} + 96]",
                "vmovups [{to} + {at}], ymm0",
                "vmovups [{to} + {at} + 32], ymm1",
                "vmovups [{to} + {at} + 64], ymm2",
                "vmovups [{to} + {at} + 96], ymm3",
                "add {at}, 128",
                "cmp {at}, {last}",
                "jb 2b",
                "3:",
                "vmovups ymm0, [{from} + {last}]",
                "vmovups ymm1, [{from} + {last} + 32]",
                "vmovups ymm2, [{from} + {last} + 64]",
                "vmovups ymm3, [{from} + {last} + 96]",
                "vmovups [{to} + {last}], ymm0",
                "vmovups [{to} + {last} + 32], ymm1",
                "vmovups [{to} + {last} + 64], ymm2",
                "vmovups [{to} + {last} + 96], ymm3",
                "vzeroupper",
                from = in(reg) from,
                to = in(reg) to,
                last = in(reg) last,
                at = out(reg) _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack)
            );
        }
    }
}

/// Elsewhere words do.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod blocks {
    use super::{AtomicU64, WORD};

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

mod last;
#[cfg(test)]
mod tests;
