//! Segments that are read and written.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{Ordering, fence};

use super::token::Token;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::map::Region;
use crate::sys::{file, inherit, map};

/// Memory that several processes read and write.
///
/// What its payload is stands in its type: plain bytes, copied in and out (`SharedSegment<[u8]>`, the default), or a
/// struct of atomics ([`SharedLayout`](super::SharedLayout)) that is used where it lies. A segment of one kind
/// cannot be opened as the other. It is made by [`SegmentOptions`](super::SegmentOptions), where
/// [the promises about its pages](super::SegmentOptions#what-is-promised) stand.
///
/// Dropping it unmaps it. The name of a named one stays until [`unlink`](SharedSegment::unlink) removes it, and the
/// memory until nobody has it open any more.
///
/// # Examples
/// ```
/// use osps_ipc::SegmentOptions;
///
/// let segment = SegmentOptions::bytes(4096).anonymous()?;
/// segment.write_at(3, b"ping")?;
/// let mut turn = [0; 4];
/// segment.read_at(3, &mut turn)?;
/// assert_eq!(&turn, b"ping");
/// # Ok::<(), osps_ipc::Error>(())
/// ```
pub struct SharedSegment<T: ?Sized = [u8]> {
    /// The payload by whole words. S1: for `T: SharedLayout` at least `size_of::<T>()` bytes, aligned for `T`.
    region: Region,
    /// The payload's length in bytes, at most the region's.
    len: usize,
    /// An anonymous segment's descriptor, by which it can be handed on.
    memfd: Option<OwnedFd>,
    path: PathBuf,
    kind: PhantomData<fn(&T)>,
}

/// The kind of a segment that only this crate's own layers use, by words.
#[derive(Debug)]
pub(crate) struct Raw;

static_assertions::assert_impl_all!(SharedSegment: Send, Sync);
static_assertions::assert_impl_all!(SharedSegment<std::sync::atomic::AtomicU64>: Send, Sync);

impl<T: ?Sized> SharedSegment<T> {
    /// The caller has checked S1.
    pub(super) fn new(region: Region, len: usize, memfd: Option<OwnedFd>, path: PathBuf) -> Self {
        debug_assert!(len <= region.len());
        SharedSegment {
            region,
            len,
            memfd,
            path,
            kind: PhantomData,
        }
    }

    /// Where it stands, for messages; an anonymous one says so.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets every child that `command` starts have this anonymous segment, and returns the token with which the
    /// child opens it ([`SegmentOptions::inherited`](super::SegmentOptions::inherited)); pass it on in an
    /// argument or an environment variable.
    ///
    /// The descriptor is kept open in the children of this command alone, and the command keeps the memory alive
    /// until it is dropped. A command with an inherited segment is started by `fork` and `exec`.
    ///
    /// # Errors
    /// [`Error::BadFile`] for a named segment, which a child opens by its name; [`Error::Os`] if there are no
    /// descriptors left.
    ///
    /// # Examples
    /// ```no_run
    /// use osps_ipc::SegmentOptions;
    /// use std::process::Command;
    ///
    /// let options = SegmentOptions::bytes(4096);
    /// match std::env::var("SEGMENT") {
    ///     Ok(token) => options.inherited(&token)?.write_at(0, b"from the child")?,
    ///     Err(_) => {
    ///         let segment = options.anonymous()?;
    ///         let mut child = Command::new("/proc/self/exe");
    ///         let token = segment.inherit(&mut child)?;
    ///         child.env("SEGMENT", token).status().expect("a child");
    ///     }
    /// }
    /// # Ok::<(), osps_ipc::Error>(())
    /// ```
    pub fn inherit(&self, command: &mut Command) -> Result<String> {
        let Some(memfd) = &self.memfd else {
            return Err(Error::BadFile {
                path: self.path.clone(),
                reason: "a named segment is not inherited: open it by its name".to_owned(),
            });
        };
        let fd = inherit::duplicate(memfd.as_fd()).map_err(Error::os("duplicate", &self.path))?;
        let token = Token::of(&fd).map_err(Error::os("look at", &self.path))?;
        inherit::keep_open(command, fd);
        Ok(token.to_string())
    }

    /// The payload as words.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }
}

impl SharedSegment {
    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `bytes` into the payload from `offset` on. Bytes beside them are not touched, even where others write
    /// those at the same moment.
    ///
    /// The copy is not one step: who reads meanwhile gets old and new bytes mixed. But writes of one thread are seen
    /// in their order: who reads a byte of a later write then reads all bytes of the earlier ones.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if the range leaves the payload; nothing was written then.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        map::range(offset, bytes.len(), self.len)?;
        // SYNC(segment-bytes): pairs with `read_at` and with `ReadOnlySegment::load`.
        fence(Ordering::Release);
        Ok(self.region.write(offset, bytes)?)
    }

    /// Copies bytes out of the payload from `offset` on.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if the range leaves the payload; nothing was copied then.
    pub fn read_at(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        map::range(offset, into.len(), self.len)?;
        self.region.read(offset, into)?;
        // SYNC(segment-bytes): pairs with `write_at`.
        fence(Ordering::Acquire);
        Ok(())
    }

    /// Removes the name of a segment of whatever kind. Who has it open keeps it.
    ///
    /// # Errors
    /// [`Error::Os`] if there is no such name.
    pub fn unlink(directory: &Directory, name: &Name) -> Result<()> {
        SharedSegment::unlink_at(directory, name.as_str())
    }

    /// [`SharedSegment::unlink`] for a name of the crate's own.
    pub(crate) fn unlink_at(directory: &Directory, name: &str) -> Result<()> {
        file::unlink_at(directory, name).map_err(Error::os("unlink", directory.path().join(name)))
    }
}

impl<T: ?Sized> fmt::Debug for SharedSegment<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSegment")
            .field("path", &self.path)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SegmentOptions;
    use crate::directory::Directory;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_raw_segment_shows_its_words_to_who_knows_its_fingerprint() {
        let path = format!("/dev/shm/osps-raw-{}", std::process::id());
        let dir = Directory::create(&path).unwrap();
        let made = SegmentOptions::raw(7, 1024)
            .create_at(&dir, ".seg")
            .unwrap();
        let opened = SegmentOptions::raw(7, 512).open_at(&dir, ".seg");
        let other = SegmentOptions::raw(8, 512).open_at(&dir, ".seg");
        super::SharedSegment::unlink_at(&dir, ".seg").unwrap();
        std::fs::remove_dir(&path).unwrap();
        let opened = opened.unwrap();
        assert!(other.is_err());
        assert_eq!(opened.region().len(), 1024);
        made.region()
            .word(1016)
            .unwrap()
            .store(9, Ordering::Relaxed);
        assert_eq!(
            opened.region().word(1016).unwrap().load(Ordering::Relaxed),
            9
        );
        assert!(made.region().as_words().as_ptr().addr().is_multiple_of(128));
    }
}
