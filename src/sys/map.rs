//! Mappings of shared memory, and the only views of them that the rest of the crate gets.
//!
//! A [`Map`] owns a mapping, a [`Region`] is a part of one whose bounds were checked once, a [`View`] is a
//! struct of atomic words that lies in one. All of them show memory as `AtomicU64`: what another process
//! stores there at any moment is then a value like any other, never undefined behaviour. A [`ReadMap`] gives
//! loads and no reference at all.
//!
//! This file may use `unsafe` because a mapping is a pointer from the kernel. What its blocks rely on:
//!
//! * **M1** `base` points to `words * 8` bytes that stay mapped (or allocated) until the owner is dropped, and
//!   is aligned to at least [`MAP_ALIGN`] bytes.
//! * **M2** The bytes are only ever accessed through atomics (or assembly that the compiler cannot look into)
//!   and come from outside (the kernel, or a zeroed allocation), so that they are initialised.
//! * **M3** A `Region` or `View` holds an `Arc` of its `Map`, and its pointer was computed from the map's by an
//!   offset that was checked against its length.
//! * **M4** The file behind a mapping was at least as long as the mapping when it was made. Whether it stays so is
//!   a promise of whoever made it: a seal for a memfd, the rules of the directory for a named file.
#![allow(unsafe_code)]

use std::ops::{Deref, Range};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::copy;
use crate::error::Error;

/// Bytes in a word, the unit of every access.
pub(crate) const WORD: usize = 8;

/// The alignment that every map has: enough for two cache lines.
pub(crate) const MAP_ALIGN: usize = 128;

/// An access that would leave the memory it is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBounds {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) limit: usize,
}

impl From<OutOfBounds> for Error {
    fn from(out: OutOfBounds) -> Error {
        Error::OutOfBounds {
            offset: out.offset as u64,
            len: out.len as u64,
            limit: out.limit as u64,
        }
    }
}

/// The one bounds check of shared memory: the range of `len` bytes from `offset`, if it ends by `limit`.
pub(crate) fn range(offset: usize, len: usize, limit: usize) -> Result<Range<usize>, OutOfBounds> {
    match offset.checked_add(len) {
        Some(end) if end <= limit => Ok(offset..end),
        _ => Err(OutOfBounds { offset, len, limit }),
    }
}

/// A mapping, unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    base: NonNull<AtomicU64>,
    words: usize,
    memory: Memory,
}

#[derive(Debug, PartialEq, Eq)]
enum Memory {
    Mapped,
    #[cfg(test)]
    Heap,
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, len: usize, prot: ProtFlags) -> rustix::io::Result<Mapping> {
        if len == 0 || !len.is_multiple_of(WORD) {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, fd, 0)? };
        Ok(Mapping {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
            words: len / WORD,
            memory: Memory::Mapped,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        match self.memory {
            Memory::Mapped => {
                // SAFETY: M1, M3: the mapping is ours alone, and nothing that points into it is left.
                // It can only fail for arguments that `mmap` did not give.
                let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.words * WORD) };
            }
            #[cfg(test)]
            Memory::Heap => {
                // SAFETY: `on_heap` allocated it with this very layout.
                unsafe { std::alloc::dealloc(self.base.as_ptr().cast(), heap_layout(self.words)) };
            }
        }
    }
}

#[cfg(test)]
fn heap_layout(words: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(words * WORD, MAP_ALIGN).expect("a test's size")
}

/// Shared memory, mapped for reading and writing.
#[derive(Debug)]
pub(crate) struct Map(Mapping);

// SAFETY: M2: memory that is accessed as atomics can be shared, and any thread may unmap it.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `len` bytes of `fd`, which the caller has checked to be that long (M4).
    /// `EINVAL` unless `len` is a multiple of eight above zero.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<Map> {
        Mapping::new(fd, len, ProtFlags::READ | ProtFlags::WRITE).map(Map)
    }

    /// Zeroed memory of this process alone, so that what works on a map can be tested without one.
    #[cfg(test)]
    pub(crate) fn on_heap(len: usize) -> Map {
        assert!(len > 0 && len.is_multiple_of(WORD));
        let words = len / WORD;
        // SAFETY: the size is not zero.
        let base = unsafe { std::alloc::alloc_zeroed(heap_layout(words)) };
        let base = NonNull::new(base.cast()).expect("memory for a test");
        Map(Mapping {
            base,
            words,
            memory: Memory::Heap,
        })
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.words * WORD
    }

    /// `len` bytes from `offset`, or `None` if they leave the map or are not whole words.
    pub(crate) fn region(self: &Arc<Map>, offset: usize, len: usize) -> Option<Region> {
        let inside = range(offset, len, self.len()).ok()?;
        if !inside.start.is_multiple_of(WORD) || !len.is_multiple_of(WORD) {
            return None;
        }
        // SAFETY: M1: the offset is inside the map, or at its end.
        let base = unsafe { self.0.base.add(inside.start / WORD) };
        Some(Region {
            base,
            words: len / WORD,
            map: Arc::clone(self),
        })
    }

    /// The whole map as a region.
    pub(crate) fn whole(self: &Arc<Map>) -> Region {
        Region {
            base: self.0.base,
            words: self.0.words,
            map: Arc::clone(self),
        }
    }
}

/// A part of a [`Map`], by whole words. A clone shows the same memory.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    base: NonNull<AtomicU64>,
    words: usize,
    map: Arc<Map>,
}

// SAFETY: M2, M3: it gives out nothing but atomics, and keeps the map alive.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// The length in bytes, a multiple of eight.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.words * WORD
    }

    /// All of it as words.
    #[inline]
    pub(crate) fn as_words(&self) -> &[AtomicU64] {
        // SAFETY: M1, M2, M3: `words` words from `base` are in the map, which outlives the borrow.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }

    /// The word at the byte `offset`; `None` outside, or if `offset` is not a multiple of eight.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(WORD) {
            return None;
        }
        self.as_words().get(offset / WORD)
    }

    /// A part of this region; `None` as for [`Map::region`].
    pub(crate) fn region(&self, offset: usize, len: usize) -> Option<Region> {
        let inside = range(offset, len, self.len()).ok()?;
        if !inside.start.is_multiple_of(WORD) || !len.is_multiple_of(WORD) {
            return None;
        }
        // SAFETY: M3: the offset is inside this region, or at its end.
        let base = unsafe { self.base.add(inside.start / WORD) };
        Some(Region {
            base,
            words: len / WORD,
            map: Arc::clone(&self.map),
        })
    }

    /// The struct of words at the byte `offset`; `None` if it does not fit there or is not aligned.
    pub(crate) fn words<T: Words>(&self, offset: usize) -> Option<View<T>> {
        let inside = range(offset, size_of::<T>(), self.len()).ok()?;
        // SAFETY: M3: the offset is inside this region, or at its end.
        let at = unsafe { self.base.cast::<u8>().add(inside.start) }.cast::<T>();
        at.is_aligned().then(|| View {
            at,
            _map: Arc::clone(&self.map),
        })
    }

    /// Copies `bytes` in at any `offset`. The bytes beside them in the words at both edges are kept, even
    /// if another thread or process writes them at the same time.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let inside = range(offset, bytes.len(), self.len())?;
        copy::store_within(
            &self.as_words()[inside.start / WORD..],
            inside.start % WORD,
            bytes,
        );
        Ok(())
    }

    /// Copies `bytes` in at an `offset` that is a multiple of eight (else it is out of bounds), and fills the
    /// last word up with zeros.
    #[inline]
    pub(crate) fn write_padded(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let inside = range(offset, bytes.len(), self.len())?;
        if !offset.is_multiple_of(WORD) {
            return Err(OutOfBounds {
                offset,
                len: bytes.len(),
                limit: self.len(),
            });
        }
        copy::store(&self.as_words()[inside.start / WORD..], bytes);
        Ok(())
    }

    /// Copies bytes from any `offset` out.
    #[inline]
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfBounds> {
        let inside = range(offset, into.len(), self.len())?;
        copy::load_within(
            &self.as_words()[inside.start / WORD..],
            inside.start % WORD,
            into,
        );
        Ok(())
    }
}

/// A struct made of `AtomicU64` alone, so that it may lie in shared memory.
///
/// # Safety
///
/// The type is `AtomicU64`, an array of `Words`, or a `repr(C)` struct all of whose fields are `Words`. Use
/// [`shared_words!`], which sees to it.
pub(crate) unsafe trait Words: Sync + 'static {}

// SAFETY: the first case of the rule.
unsafe impl Words for AtomicU64 {}
// SAFETY: the second case.
unsafe impl<T: Words, const N: usize> Words for [T; N] {}

/// Defines a `repr(C)` struct and makes it [`Words`], after a check that every field is.
///
/// An attribute such as `#[repr(align(128))]` may be added; the padding that it makes is never accessed.
macro_rules! shared_words {
    ($(#[$attribute:meta])* $visibility:vis struct $Name:ident {
        $($(#[$of_field:meta])* $of:vis $field:ident : $Type:ty),+ $(,)?
    }) => {
        $(#[$attribute])*
        #[repr(C)]
        $visibility struct $Name {
            $($(#[$of_field])* $of $field: $Type),+
        }
        const _: () = {
            const fn is_words<T: $crate::sys::map::Words>() {}
            $(is_words::<$Type>();)+
        };
        static_assertions::const_assert!(
            align_of::<$Name>() >= $crate::sys::map::WORD
                && align_of::<$Name>() <= $crate::sys::map::MAP_ALIGN
        );
        // SAFETY: the third case of the rule: `repr(C)` stands above and each field was checked.
        #[allow(unsafe_code, reason = "sound for any struct that passes the checks above")]
        unsafe impl $crate::sys::map::Words for $Name {}
    };
}
pub(crate) use shared_words;

/// A struct of words in shared memory; keeps its map alive.
#[derive(Debug)]
pub(crate) struct View<T: Words> {
    at: NonNull<T>,
    _map: Arc<Map>,
}

// SAFETY: M2, M3, and `Words` is `Sync`: it gives out `&T` alone.
unsafe impl<T: Words> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T: Words> Sync for View<T> {}

impl<T: Words> Clone for View<T> {
    fn clone(&self) -> Self {
        View {
            at: self.at,
            _map: Arc::clone(&self._map),
        }
    }
}

impl<T: Words> Deref for View<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: M1, M2, M3: aligned, inside a live map, atomics only.
        unsafe { self.at.as_ref() }
    }
}

/// Shared memory, mapped for reading alone. It is never shown as a reference to an atomic, through which a
/// store would be a fault.
#[derive(Debug)]
pub(crate) struct ReadMap(Mapping);

// SAFETY: M2: memory that is accessed by atomic loads alone can be shared, and any thread may unmap it.
unsafe impl Send for ReadMap {}
// SAFETY: as above.
unsafe impl Sync for ReadMap {}

/// An unsigned integer of at most a word.
pub(crate) trait Loadable: Sized {
    /// A relaxed atomic load.
    ///
    /// # Safety
    ///
    /// `at` is aligned for it and points to as many mapped bytes.
    unsafe fn load(at: NonNull<u8>) -> Self;
}

macro_rules! loadable {
    ($($Int:ty: $Atomic:ty),+) => {$(
        impl Loadable for $Int {
            #[inline]
            unsafe fn load(at: NonNull<u8>) -> $Int {
                // SAFETY: by the caller; a relaxed load of at most a word is allowed on memory that is mapped
                // for reading alone (std::sync::atomic, "Atomic accesses to read-only memory").
                unsafe { at.cast::<$Atomic>().as_ref() }.load(Ordering::Relaxed)
            }
        }
    )+};
}
loadable!(u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64);

impl ReadMap {
    /// Maps the first `len` bytes of `fd`, which the caller has checked to be that long (M4).
    /// `EINVAL` unless `len` is a multiple of eight above zero.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<ReadMap> {
        Mapping::new(fd, len, ProtFlags::READ).map(ReadMap)
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.words * WORD
    }

    /// A relaxed load at the byte `offset`; out of bounds too if `offset` is not a multiple of its size.
    #[inline]
    pub(crate) fn load<T: Loadable>(&self, offset: usize) -> Result<T, OutOfBounds> {
        let inside = range(offset, size_of::<T>(), self.len())?;
        if !offset.is_multiple_of(size_of::<T>()) {
            return Err(OutOfBounds {
                offset,
                len: size_of::<T>(),
                limit: self.len(),
            });
        }
        // SAFETY: M1: the range is inside the map.
        let at = unsafe { self.0.base.cast::<u8>().add(inside.start) };
        // SAFETY: M1: mapped, and aligned as the base and the offset are.
        Ok(unsafe { T::load(at) })
    }

    /// Copies bytes from any `offset` out, by relaxed loads of whole words.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfBounds> {
        let inside = range(offset, into.len(), self.len())?;
        // SAFETY: M1, M2: all of the map. The slice does not leave this function, and is only loaded from (see
        // `Loadable`).
        let words = unsafe { std::slice::from_raw_parts(self.0.base.as_ptr(), self.0.words) };
        copy::load_within(&words[inside.start / WORD..], inside.start % WORD, into);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
