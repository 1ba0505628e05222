//! How segments are made and opened.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::header::{self, Fault, Header, Wanted};
use super::mapping::{mapped, opened, payload};
use super::shared::Raw;
use super::token::Token;
use super::typed::SharedLayout;
use super::{ReadOnlySegment, SharedSegment};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::map::{MAP_ALIGN, Map, ReadMap, Region};
use crate::sys::process::Identity;
use crate::sys::segment_file::{self as sys, Unpublished};
use crate::sys::{file, inherit, pages};

/// What an error calls a segment without a name.
const ANONYMOUS: &str = "(anonymous segment)";

/// Says what a segment holds; its last word makes or opens it.
///
/// ```
/// # let dir = osps_ipc::Directory::create(std::env::temp_dir().join(format!("osps-doc-opt-{}", std::process::id())))?;
/// use osps_ipc::{Name, SegmentOptions, SharedSegment};
///
/// let options = SegmentOptions::bytes(1 << 20);
/// println!("takes {} bytes of memory", options.required_bytes());
///
/// let name = Name::new("pictures")?;
/// let ours = options.create(&dir, &name)?;
/// let theirs = options.open(&dir, &name)?;
/// ours.write_at(0, b"shared")?;
/// let mut seen = [0; 6];
/// theirs.read_at(0, &mut seen)?;
/// assert_eq!(&seen, b"shared");
/// SharedSegment::unlink(&dir, &name)?;
/// # std::fs::remove_dir(dir.path()).ok();
/// # Ok::<(), osps_ipc::Error>(())
/// ```
///
/// # What is promised
///
/// * All pages are reserved when a segment is made: a store to it never fails for want of memory. Where there is no
///   room, making it fails, with both numbers, and leaves nothing behind.
/// * A segment has its name only when it is complete. Whoever dies while making one leaves nothing (or, on a file
///   system that has no `O_TMPFILE`, a file with a random name).
/// * What is opened is checked before it is mapped. Afterwards nothing in the header is read again.
/// * An **anonymous** segment is sealed: its length can never change, so that no access to it can ever be a fault,
///   whatever any process does.
/// * A **named** segment cannot be sealed, as no file with a name can. Another process of the same user can
///   truncate the file or punch a hole in it; then the next access beyond its end, in any process that has it
///   mapped, is the signal SIGBUS, and a punched page is lost. This crate never does either. Other users are kept
///   out by the [`Directory`]'s mode. Removing or renaming the file does nothing to who has it open.
pub struct SegmentOptions<T: ?Sized = [u8]> {
    wanted: Wanted,
    kind: PhantomData<fn(&T)>,
}

impl SegmentOptions {
    /// A segment of plain bytes. One that is made has exactly `len` of them, zeroed; one that is opened has at
    /// least as many ([`SharedSegment::len`] says how many).
    pub fn bytes(len: usize) -> SegmentOptions {
        SegmentOptions::new(0, len as u64, false)
    }

    /// A segment that is one struct of atomics, all zero when it is made. One that is opened must have been made for
    /// the same layout.
    pub fn typed<T: SharedLayout>() -> SegmentOptions<T> {
        const {
            assert!(
                align_of::<T>() <= MAP_ALIGN,
                "a layout's alignment is at most 128"
            )
        };
        SegmentOptions::new(T::FINGERPRINT, size_of::<T>() as u64, true)
    }

    /// A segment that a layer of this crate lays out itself, by words. One that is opened has at least `len` bytes.
    pub(crate) fn raw(fingerprint: u64, len: usize) -> SegmentOptions<Raw> {
        SegmentOptions::new(fingerprint, len as u64, false)
    }
}

impl<T: ?Sized> SegmentOptions<T> {
    fn new(fingerprint: u64, len: u64, exact: bool) -> SegmentOptions<T> {
        SegmentOptions {
            wanted: Wanted {
                fingerprint,
                len,
                exact,
            },
            kind: PhantomData,
        }
    }

    /// How many bytes of memory a segment takes that is made with these options: header, payload, and what is left of
    /// the last page.
    pub fn required_bytes(&self) -> u64 {
        sys::whole_pages(self.wanted.len.saturating_add(header::LEN as u64))
    }

    /// Makes a segment with a name, which must be free. It is there at once and complete, or not at all.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if its pages cannot be reserved, [`Error::Os`] if the name is taken or the file cannot be
    /// made. Nothing was left behind.
    pub fn create(&self, directory: &Directory, name: &Name) -> Result<SharedSegment<T>> {
        self.create_at(directory, name.as_str())
    }

    /// Opens an existing segment for reading and writing.
    ///
    /// # Errors
    /// [`Error::BadSegment`] says which field of the header is wrong, what stands there and what should: for a file
    /// that is truncated, foreign, half made, of an older or newer major version, of another layout or too short.
    /// [`Error::BadFile`] for what is no regular file of this user; [`Error::Os`] if there is none.
    pub fn open(&self, directory: &Directory, name: &Name) -> Result<SharedSegment<T>> {
        self.open_at(directory, name.as_str())
    }

    /// Opens an existing segment for reading alone.
    ///
    /// # Errors
    /// As [`SegmentOptions::open`].
    pub fn open_read_only(&self, directory: &Directory, name: &Name) -> Result<ReadOnlySegment> {
        self.open_read_only_at(directory, name.as_str())
            .map(|(segment, _)| segment)
    }

    /// Makes a segment without a name, for this process and for children that
    /// [inherit](SharedSegment::inherit) it. Its length is sealed.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if there is not so much memory, [`Error::Os`] if it cannot be made.
    pub fn anonymous(&self) -> Result<SharedSegment<T>> {
        let path = Path::new(ANONYMOUS);
        let fd = sys::create_memfd().map_err(Error::os("create", path))?;
        let (region, len) = self.fill(fd.as_fd(), path, path)?;
        sys::seal(&fd).map_err(Error::os("seal", path))?;
        Ok(SharedSegment::new(region, len, Some(fd), path.to_owned()))
    }

    /// Opens an anonymous segment that this process inherited from its parent, which got the token from
    /// [`SharedSegment::inherit`]. It can be opened more than once. This process's own children do not get it
    /// unless it is handed on to them in the same way.
    ///
    /// # Errors
    /// [`Error::BadName`] if this is no token, [`Error::BadFile`] if no descriptor with that number was inherited or
    /// another file is open under it, [`Error::BadSegment`] if it is not sealed or as for [`SegmentOptions::open`].
    pub fn inherited(&self, token: &str) -> Result<SharedSegment<T>> {
        let path = Path::new(ANONYMOUS);
        let token: Token = token.parse()?;
        let not_inherited = |why: &str| Error::BadFile {
            path: path.to_owned(),
            reason: format!(
                "{why} under descriptor {}: it was not inherited",
                token.number
            ),
        };
        let fd = match inherit::receive(token.number) {
            Ok(fd) => fd,
            Err(Errno::BADF) => return Err(not_inherited("nothing is open")),
            Err(errno) => return Err(Error::os("duplicate", path)(errno)),
        };
        let status = file::status(&fd).map_err(Error::os("look at", path))?;
        if status.identity != token.identity {
            return Err(not_inherited("another file is open"));
        }
        sys::check_seals(&fd)
            .map_err(|found| Fault::new("seals", found, sys::SEALS_WANTED).at(path))?;
        let len = self.check(fd.as_fd(), path)?.len();
        inherit::keep_from_children(token.number).map_err(Error::os("keep", path))?;
        self.map(fd.as_fd(), len, path)
            .map(|region| SharedSegment::new(region, len, Some(fd), path.to_owned()))
    }

    /// [`SegmentOptions::create`] for a name of the crate's own.
    pub(crate) fn create_at(&self, directory: &Directory, name: &str) -> Result<SharedSegment<T>> {
        Ok(self.create_prepared(directory, name, |_, _| Ok(()))?.0)
    }

    /// [`SegmentOptions::create_at`] of what is prepared, and can be refused, before it has its name and anybody else sees it.
    pub(crate) fn create_prepared<P>(
        &self,
        directory: &Directory,
        name: &str,
        prepare: impl FnOnce(&Region, &Path) -> Result<P>,
    ) -> Result<(SharedSegment<T>, P)> {
        let path = directory.path().join(name);
        // Found out before a large segment's pages are taken for nothing.
        if file::status_at(directory, name).is_ok() {
            return Err(Error::os("create", &path)(Errno::EXIST));
        }
        let new = Unpublished::create(directory.as_fd()).map_err(Error::os("create", &path))?;
        let (region, len) = self.fill(new.as_fd(), &path, directory.path())?;
        let prepared = prepare(&region, &path)?;
        new.publish(name).map_err(Error::os("create", &path))?;
        Ok((SharedSegment::new(region, len, None, path), prepared))
    }

    /// [`SegmentOptions::create_at`] in a directory that nobody else can see yet, and that goes with all that is in it
    /// if this fails: the segment has its name at once.
    pub(crate) fn create_unseen(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<SharedSegment<T>> {
        let path = directory.path().join(name);
        let fd = file::create_file_at(directory, name).map_err(Error::os("create", &path))?;
        let (region, len) = self.fill(fd.as_fd(), &path, directory.path())?;
        Ok(SharedSegment::new(region, len, None, path))
    }

    /// [`SegmentOptions::open`] for a name of the crate's own.
    pub(crate) fn open_at(&self, directory: &Directory, name: &str) -> Result<SharedSegment<T>> {
        Ok(self.open_with_header(directory, name)?.0)
    }

    /// [`SegmentOptions::open_at`], and what the segment says of itself.
    pub(crate) fn open_with_header(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<(SharedSegment<T>, Header)> {
        let path = directory.path().join(name);
        let fd = opened(file::open_file_at(directory, name), &path)?;
        let header = self.check(fd.as_fd(), &path)?;
        let region = self.map(fd.as_fd(), header.len(), &path)?;
        let segment = SharedSegment::new(region, header.len(), None, path);
        Ok((segment, header))
    }

    /// [`SegmentOptions::open_read_only`] for a name of the crate's own, with the file's descriptor.
    pub(crate) fn open_read_only_at(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<(ReadOnlySegment, OwnedFd)> {
        let path = directory.path().join(name);
        let fd = opened(file::open_file_read_only_at(directory, name), &path)?;
        let len = self.check(fd.as_fd(), &path)?.len();
        let map = ReadMap::new(fd.as_fd(), mapped(len)).map_err(Error::os("map", &path))?;
        Ok((ReadOnlySegment::new(map, len), fd))
    }

    /// The length of the file of a segment with these options.
    fn file_len(&self) -> Result<u64> {
        let max = i64::MAX as u64 / 2 - header::LEN as u64;
        if self.wanted.len > max {
            return Err(Error::TooLong {
                what: "a segment",
                len: self.wanted.len,
                max,
            });
        }
        Ok(self.wanted.len + header::LEN as u64)
    }

    /// Makes a new file a complete segment: pages, header, and the ready word last.
    fn fill(&self, fd: BorrowedFd<'_>, path: &Path, place: &Path) -> Result<(Region, usize)> {
        let file_len = self.file_len()?;
        // What cannot fit shall not use up what others need even for a moment.
        if let Some(free) = sys::room_for(fd, file_len).filter(|free| *free < file_len) {
            return Err(Error::NoSpace {
                path: place.to_owned(),
                wanted: file_len,
                free,
            });
        }
        pages::reserve(fd, place, file_len)?;
        let too_long = |_| Error::TooLong {
            what: "a segment",
            len: file_len,
            max: usize::MAX as u64,
        };
        let len = usize::try_from(self.wanted.len).map_err(too_long)?;
        let header = Header {
            payload: self.wanted.len,
            fingerprint: self.wanted.fingerprint,
            creator: Identity::current().map_or([0; 5], Identity::to_words),
        };
        let map = Map::new(fd, mapped(len)).map_err(Error::os("map", path))?;
        let map = Arc::new(map);
        let whole = map.whole();
        whole.write_padded(0, &header.encode())?;
        if let Some(ready) = whole.word(header::READY_AT) {
            // SYNC(segment-ready): pairs with the check of the ready word in `check`.
            ready.store(header::READY.to_le(), Ordering::Release);
        }
        payload(&map, len, path).map(|region| (region, len))
    }

    /// Checks what was opened, and returns its header.
    fn check(&self, fd: BorrowedFd<'_>, path: &Path) -> Result<Header> {
        let status = file::status(fd).map_err(Error::os("look at", path))?;
        let refuse = |reason: String| Error::BadFile {
            path: path.to_owned(),
            reason,
        };
        if status.kind != file::FileKind::Regular {
            return Err(refuse("it is not a regular file".to_owned()));
        }
        let uid = file::effective_uid();
        if status.owner != uid {
            let reason = format!(
                "it belongs to uid {}, and this process runs as {uid}",
                status.owner
            );
            return Err(refuse(reason));
        }
        let bytes = file::read_from_start(fd, header::LEN).map_err(Error::os("read", path))?;
        // SYNC(segment-ready): pairs with the store of the ready word in `fill`.
        std::sync::atomic::fence(Ordering::Acquire);
        let header = Header::decode(&bytes).map_err(|fault| fault.at(path))?;
        header
            .check(status.len, &self.wanted)
            .map_err(|fault| fault.at(path))?;
        if sys::has_holes(fd, &status).map_err(Error::os("look at", path))? {
            let fault = Fault::new(
                "pages",
                "some that were never reserved",
                "all of them reserved",
            );
            return Err(fault.at(path));
        }
        Ok(header)
    }

    /// Maps what was checked.
    fn map(&self, fd: BorrowedFd<'_>, len: usize, path: &Path) -> Result<Region> {
        let map = Map::new(fd, mapped(len)).map_err(Error::os("map", path))?;
        payload(&Arc::new(map), len, path)
    }
}

impl<T: ?Sized> Clone for SegmentOptions<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for SegmentOptions<T> {}

impl<T: ?Sized> fmt::Debug for SegmentOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SegmentOptions").field(&self.wanted).finish()
    }
}
