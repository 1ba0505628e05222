#![allow(unsafe_code)]
//! A file mapped by both processes: the ground on which the bare limits stand.
//!
//! `unsafe` because a mapping is raw memory. Invariants:
//!
//! 1. `base` points to `len` mapped, readable and writable bytes until `Map` is dropped.
//! 2. `base` is aligned to a page.
//!
//! The plain copies race with nothing as long as the contenders keep their own protocol (a word is
//! published after the bytes and looked at before them). They trust each other: this is a limit to
//! measure against, no example to follow.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A shared mapping of a whole file.
pub(crate) struct Map {
    base: NonNull<u8>,
    len: usize,
}

impl Map {
    /// Makes the file, which must not exist, and maps it.
    pub(crate) fn create(path: &Path, len: usize) -> io::Result<Map> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(len as u64)?;
        Map::of(&file, len)
    }

    /// Maps a file that [`create`](Map::create) made.
    pub(crate) fn open(path: &Path) -> io::Result<Map> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Map::of(&file, len)
    }

    fn of(file: &impl AsRawFd, len: usize) -> io::Result<Map> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, file.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(base.cast::<u8>())
            .map(|base| Map { base, len })
            .ok_or_else(|| io::Error::other("mapped at address zero"))
    }

    /// The 64-bit word at `offset`.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.len && self.len - offset >= 8);
        // SAFETY: inside the mapping by the line above and invariant 1.
        let word = unsafe { self.base.add(offset) };
        // SAFETY: aligned by invariant 2 and the check; atomics may be shared with other processes.
        unsafe { word.cast::<AtomicU64>().as_ref() }
    }

    /// The 32-bit word at `offset`, as a futex needs it.
    pub(crate) fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < self.len && self.len - offset >= 4);
        // SAFETY: inside the mapping by the line above and invariant 1.
        let word = unsafe { self.base.add(offset) };
        // SAFETY: aligned by invariant 2 and the check; atomics may be shared with other processes.
        unsafe { word.cast::<AtomicU32>().as_ref() }
    }

    /// Copies `bytes` into the mapping. One cache line is copied inline, anything else by memcpy.
    #[inline(always)]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && self.len - offset >= bytes.len());
        // SAFETY: inside the mapping by the line above and invariant 1.
        let target = unsafe { self.base.as_ptr().add(offset) };
        if bytes.len() == 64 {
            // SAFETY: 64 readable and writable bytes; private memory does not overlap the mapping.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, 64) };
        } else {
            // SAFETY: as above, with the length that was checked.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        }
    }

    /// Copies out of the mapping into `bytes`.
    #[inline(always)]
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset <= self.len && self.len - offset >= bytes.len());
        // SAFETY: inside the mapping by the line above and invariant 1.
        let source = unsafe { self.base.as_ptr().add(offset) };
        if bytes.len() == 64 {
            // SAFETY: 64 readable and writable bytes; private memory does not overlap the mapping.
            unsafe { ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), 64) };
        } else {
            // SAFETY: as above, with the length that was checked.
            unsafe { ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), bytes.len()) };
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no borrow of it is left.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
