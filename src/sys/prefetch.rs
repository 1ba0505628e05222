//! Has the processor fetch a cache line before it is needed. Only the time is changed by that.
//!
//! A line that another core has written comes in 30 to 150 nanoseconds, and what a locked instruction or a store in its order
//! waits for comes one after the other. So who has just seen a message fetches all that its handling will touch at once.
//!
//! This file may use `unsafe` for the instructions, which change nothing that a program can see.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU64;

/// The line of this word will be read soon.
#[inline]
pub(crate) fn to_read(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint; it does not even fault.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) word.as_ptr(), options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}

/// The line of this word will be written soon: no other core shall keep it.
#[inline]
pub(crate) fn to_write(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as above; a processor that does not know the instruction does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) word.as_ptr(), options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}
