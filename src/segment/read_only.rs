//! Segments that are only read.

use std::sync::atomic::{Ordering, fence};

use super::header;
use crate::error::{Error, Result};
use crate::sys::map::{self, ReadMap};

/// A segment mapped for reading: this process cannot change it, by whatever mistake.
///
/// It gives loads, never references: a store through a reference to an atomic would be a fault here. Opened by
/// [`SegmentOptions::open_read_only`](super::SegmentOptions::open_read_only); the promises about a named
/// segment's pages [stand there too](super::SegmentOptions#what-is-promised).
///
/// # Examples
/// ```
/// # let dir = osps_ipc::Directory::create(std::env::temp_dir().join(format!("osps-doc-ro-{}", std::process::id())))?;
/// use osps_ipc::{Name, SegmentOptions};
///
/// let name = Name::new("numbers")?;
/// let segment = SegmentOptions::bytes(16).create(&dir, &name)?;
/// segment.write_at(8, &7_u64.to_ne_bytes())?;
///
/// let reader = SegmentOptions::bytes(16).open_read_only(&dir, &name)?;
/// assert_eq!(reader.load::<u64>(8)?, 7);
/// # osps_ipc::SharedSegment::unlink(&dir, &name)?;
/// # std::fs::remove_dir(dir.path()).ok();
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadOnlySegment {
    map: ReadMap,
    /// The payload's length; with the header it is at most the map's.
    len: usize,
}

static_assertions::assert_impl_all!(ReadOnlySegment: Send, Sync);

impl ReadOnlySegment {
    pub(super) fn new(map: ReadMap, len: usize) -> ReadOnlySegment {
        ReadOnlySegment { map, len }
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Loads one integer from `offset`, in the machine's byte order and in one piece. Loads stay in their order:
    /// what was published before the value that is seen here is seen by later loads.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if the integer leaves the payload, [`Error::Misaligned`] if `offset` is not a multiple
    /// of its size.
    #[inline]
    pub fn load<T: Loadable>(&self, offset: usize) -> Result<T> {
        T::load(self, offset)
    }

    #[inline]
    fn load_integer<T: map::Loadable>(&self, offset: usize) -> Result<T> {
        let inside = self.inside(offset, size_of::<T>())?;
        if !offset.is_multiple_of(size_of::<T>()) {
            return Err(Error::Misaligned {
                offset: offset as u64,
                align: size_of::<T>() as u64,
            });
        }
        let value = self.map.load(inside)?;
        // SYNC(segment-bytes): pairs with `SharedSegment::write_at`, and with any releasing store to a typed view.
        fence(Ordering::Acquire);
        Ok(value)
    }

    /// Copies bytes out, by loads of whole words. Bytes that are written meanwhile may be old or new, one by one.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if the range leaves the payload; nothing was copied then.
    pub fn read_at(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let inside = self.inside(offset, into.len())?;
        self.map.read(inside, into)?;
        // SYNC(segment-bytes): pairs with `SharedSegment::write_at`.
        fence(Ordering::Acquire);
        Ok(())
    }

    /// The offset in the map of a range of the payload.
    fn inside(&self, offset: usize, len: usize) -> Result<usize> {
        Ok(header::LEN + map::range(offset, len, self.len)?.start)
    }
}

/// An unsigned integer that [`ReadOnlySegment::load`] can load: `u8`, `u16`, `u32` or `u64`.
pub trait Loadable: sealed::Loadable {}

mod sealed {
    use super::ReadOnlySegment;

    pub trait Loadable: Sized {
        fn load(from: &ReadOnlySegment, offset: usize) -> crate::Result<Self>;
    }
}

macro_rules! loadable {
    ($($Int:ty),+) => {$(
        impl Loadable for $Int {}
        impl sealed::Loadable for $Int {
            #[inline]
            fn load(from: &ReadOnlySegment, offset: usize) -> Result<$Int> {
                from.load_integer(offset)
            }
        }
    )+};
}
loadable!(u8, u16, u32, u64);
