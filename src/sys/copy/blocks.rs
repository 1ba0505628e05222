//! Copies of at least [`BLOCKS_FROM`] bytes by the vector registers and the string instruction of x86-64.
//!
//! This file may use `unsafe` for the assembly. What its blocks rely on:
//!
//! * **C1** Both ranges are as long as the copy: the one function that has such a block takes both as slices and never
//!   copies more than the shorter one has.
//! * **C2** They do not overlap: one is private bytes, the other words that are shared, or bytes of another borrow.
#![allow(unsafe_code)]

use std::arch::asm;

use super::{AtomicU64, BLOCKS_FROM, LONG, WORD, Way};

/// From how many bytes on the 32-byte loop is faster than the 16-byte one although it is a call behind a look at what
/// the processor can do: at 256 bytes 4.3 ns against 5.4, at 192 it is the other way round.
const WIDE_FROM: usize = 256;

/// From how many bytes on the processor's string instruction is faster than any loop between two private ranges, and if AMD has
/// made the processor.
const STRING_FROM: usize = LONG;

/// From how many bytes on it is between two cores of any processor. On a Xeon a loop that fetches ahead is faster below: it
/// streams 64 KiB through 1 MiB at 19 GB/s instead of 11 to 16, 256 KiB at 18 instead of 15.6, and 1 MiB is 3 % slower.
const STRING_FROM_EVERYWHERE: usize = 512 << 10;

/// So far ahead of the 32-byte loop the lines that it will write are fetched from the other core's cache, all at the same
/// time: a round trip of 4 KiB between distant cores takes three quarters of the time then (Xeon, 2026; 1 KiB ahead is
/// as good). Not on processors that AMD has made: on a Zen 4 it takes a fifth longer, near and far.
const WRITTEN_AHEAD: usize = 512;

/// The same for lines that it will read, into the second cache, in copies of at least [`STRING_FROM`] bytes: less far, into the
/// first cache, or in shorter copies the processor does as well by itself.
const READ_AHEAD: usize = 4096;

/// Which side of a copy is probably in the cache of another core.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remote {
    Target,
    Source,
    Neither,
}

const _: () = assert!(BLOCKS_FROM >= 64 && WIDE_FROM >= 128);

/// Copies whole words in, and says whether it did.
#[inline(always)]
pub(super) fn store(to: &[AtomicU64], from: &[[u8; WORD]]) -> bool {
    let len = to.len().min(from.len()) * WORD;
    // SAFETY: C1, C2. Atomics may be written through a shared reference.
    unsafe {
        copy(
            to.as_ptr().cast::<u8>().cast_mut(),
            from.as_ptr().cast(),
            len,
            Remote::Target,
        )
    }
}

/// Copies whole words out, and says whether it did.
#[inline(always)]
pub(super) fn load(from: &[AtomicU64], to: &mut [[u8; WORD]]) -> bool {
    let len = to.len().min(from.len()) * WORD;
    // SAFETY: C1, C2.
    unsafe {
        copy(
            to.as_mut_ptr().cast(),
            from.as_ptr().cast(),
            len,
            Remote::Source,
        )
    }
}

/// As [`load`], in this way; `false` if the processor does not have it, or there are less than [`LONG`] bytes.
pub(super) fn load_long(from: &[AtomicU64], to: &mut [[u8; WORD]], way: Way) -> bool {
    let len = to.len().min(from.len()) * WORD;
    let (to, from) = (to.as_mut_ptr().cast::<u8>(), from.as_ptr().cast::<u8>());
    if len < LONG {
        return false;
    }
    if way == Way::String && can_be_string(to, from) {
        // SAFETY: C1, C2.
        unsafe { copy_string(to, from, len) };
        return true;
    }
    let has_avx = std::arch::is_x86_feature_detected!("avx");
    if has_avx {
        // SAFETY: C1, C2; there are at least 128 bytes, and the processor has AVX.
        unsafe { copy_wide(to, from, len, Remote::Source) };
    }
    has_avx
}

/// Copies private bytes, and says whether it did.
#[inline]
pub(super) fn bytes(to: &mut [u8], from: &[u8]) -> bool {
    let len = to.len().min(from.len());
    // SAFETY: C1; one of the two is borrowed for itself alone.
    unsafe { copy(to.as_mut_ptr(), from.as_ptr(), len, Remote::Neither) }
}

/// # Safety
/// `len` bytes may be written at `to` and read at `from`, and the ranges do not overlap.
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize, remote: Remote) -> bool {
    if len < BLOCKS_FROM {
        return false;
    }
    // SAFETY: by the caller; there are 128 bytes.
    if len >= WIDE_FROM && unsafe { copy_long(to, from, len, remote) } {
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

/// Copies if the processor has what is faster than the 16-byte loop.
///
/// # Safety
/// As for [`copy`]; `len` is at least 128.
#[inline(never)]
unsafe fn copy_long(to: *mut u8, from: *const u8, len: usize, remote: Remote) -> bool {
    if len >= STRING_FROM && is_string_faster(len, remote) && can_be_string(to, from) {
        // SAFETY: by the caller.
        unsafe { copy_string(to, from, len) };
        return true;
    }
    let has_avx = std::arch::is_x86_feature_detected!("avx");
    if has_avx {
        // SAFETY: by the caller; the processor has AVX.
        unsafe { copy_wide(to, from, len, remote) };
    }
    has_avx
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

/// Only processors made by AMD have SSE4a.
#[inline]
pub(super) fn is_amd() -> bool {
    std::arch::is_x86_feature_detected!("sse4a")
}

/// Whether the string instruction is faster than the loop at this length.
#[inline]
fn is_string_faster(len: usize, remote: Remote) -> bool {
    remote == Remote::Neither || len >= STRING_FROM_EVERYWHERE || is_amd()
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
#[inline]
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
#[inline]
unsafe fn copy_wide(to: *mut u8, from: *const u8, len: usize, remote: Remote) {
    // The last turn ends where the range ends, over a part of the one before.
    let last = len - 128;
    // Below these, lines are fetched ahead, all of them in the ranges.
    let (written_edge, read_edge) = match remote {
        Remote::Target if !is_amd() => (last.saturating_sub(WRITTEN_AHEAD), 0),
        Remote::Source if len >= STRING_FROM => (0, last.saturating_sub(READ_AHEAD)),
        _ => (0, 0),
    };
    // SAFETY: by the caller; plain loads and stores inside both ranges: at 0, 128, … below `last`, then at `last`.
    // All vector registers that are used are declared, and their upper halves are cleared at the end.
    unsafe {
        asm!(
            "test {last}, {last}",
            "jz 3f",
            "xor {at:e}, {at:e}",
            "2:",
            "cmp {at}, {written_edge}",
            "jae 4f",
            "prefetchw [{to} + {at} + {written_ahead}]",
            "prefetchw [{to} + {at} + {written_ahead} + 64]",
            "4:",
            "cmp {at}, {read_edge}",
            "jae 5f",
            "prefetcht1 [{from} + {at} + {read_ahead}]",
            "prefetcht1 [{from} + {at} + {read_ahead} + 64]",
            "5:",
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
            written_edge = in(reg) written_edge,
            written_ahead = const WRITTEN_AHEAD,
            read_edge = in(reg) read_edge,
            read_ahead = const READ_AHEAD,
            at = out(reg) _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack)
        );
    }
}
