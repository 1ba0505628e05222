//! Where things are made before they have a name, and where they go when they lose it.
//!
//! A scratch directory holds half-made things and tombstones under random names. A maker holds a shared `flock`
//! on it for as long as it makes. A cleaner lists the names while it has the `flock` for itself: as there is no
//! maker then, whatever it saw is dead, or is a tombstone. It needs the lock no longer than for the listing,
//! since a random name is never used again. A tombstone whose own `lock` file is held is left to its holder;
//! two that remove the same tombstone do not get in each other's way.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::io::Errno;

use crate::directory::Directory;
use crate::directory::holder::LOCK;
use crate::error::{Error, Result};
use crate::sys::clock::{Backoff, Deadline};
use crate::sys::file::{self, FileStatus};
use crate::sys::fork::{self, Stamp};
use crate::sys::lock::{self, Flock};

/// The deepest that a tree of this crate's making is: service, `s`, session, and one to spare.
const DEPTH: u32 = 4;

/// While it lives, no cleaner takes what is being made for dead.
#[derive(Debug)]
pub(super) struct Maker {
    /// On the scratch directory, in which things are made by this descriptor too.
    flock: Flock,
    path: PathBuf,
}

impl Maker {
    /// Becomes a maker in the scratch directory of this name; a cleaner is waited for. What the dead have left behind is
    /// removed on the way in, if it is `ours_to_clean`: asked only where there may be more than is `spared`.
    pub(super) fn enter(
        parent: &Directory,
        name: &str,
        deadline: Deadline,
        spared: u64,
        ours_to_clean: impl FnOnce() -> Result<bool>,
    ) -> Result<Maker> {
        let open = |name: &str| Flock::open(|| file::open_directory_at(parent, name));
        let (flock, status, path) = parent.open_checked(name, open)?;
        let os = |doing| Error::os(doing, &path);
        let cleans = may_hold_more(&status, spared) && ours_to_clean()?;
        let dead = if cleans && flock.try_exclusive().map_err(os("lock"))? {
            file::names_in_own(&flock).map_err(os("list"))?
        } else {
            Vec::new()
        };
        let mut backoff = Backoff::new();
        while !flock.try_shared().map_err(os("lock"))? {
            if !backoff.wait(deadline) {
                return Err(deadline.timed_out(format!("a cleaner to leave {}", path.display())));
            }
        }
        remove_dead(&flock, &dead);
        Ok(Maker { flock, path })
    }
}

/// Removes what the dead have left behind, unless somebody is making something just now.
pub(super) fn clean(scratch: &Directory) -> Result<()> {
    let os = |doing| Error::os(doing, scratch.path());
    if !may_hold_more(&file::status(scratch).map_err(os("look at"))?, 0) {
        return Ok(());
    }
    let flock = Flock::open(|| file::reopen_directory(scratch)).map_err(os("open"))?;
    if !flock.try_exclusive().map_err(os("lock"))? {
        return Ok(());
    }
    let dead = file::names_in_own(&flock).map_err(os("list"))?;
    drop(flock);
    remove_dead(scratch, &dead);
    Ok(())
}

/// Whether more directories than so many may stand in it. All that is made there is one, and each counts as a link of its
/// parent, where the file system counts them at all.
fn may_hold_more(scratch: &FileStatus, spared: u64) -> bool {
    const NO_SUBDIRECTORY: u64 = 2;
    !(NO_SUBDIRECTORY..=NO_SUBDIRECTORY + spared).contains(&scratch.links)
}

fn remove_dead(scratch: impl AsFd, names: &[CString]) {
    for name in names {
        if !is_held(scratch.as_fd(), name) {
            // What cannot be removed now is left to whoever comes next.
            let _ = remove_tree(scratch.as_fd(), name, DEPTH);
        }
    }
}

/// Whether somebody holds the `lock` in a tombstone. When in doubt, yes.
fn is_held(scratch: BorrowedFd<'_>, name: &CStr) -> bool {
    let look = file::open_directory_at(scratch, name)
        .and_then(|directory| file::open_file_read_only_at(&directory, LOCK))
        .and_then(|lock| lock::is_held(&lock));
    match look {
        Ok(held) => held,
        // It is gone, or is nothing that this crate makes.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NXIO) => false,
        Err(_) => true,
    }
}

/// A directory that is being made. Unless it is published, it is removed with this.
#[derive(Debug)]
pub(super) struct HalfMade {
    directory: Directory,
    making: Making,
}

/// While it lives, its maker does.
#[derive(Debug)]
pub(super) struct Making {
    maker: Maker,
    name: CString,
    number: u64,
    is_published: bool,
    stamp: Stamp,
}

impl HalfMade {
    /// Makes a directory under a random name.
    pub(super) fn create(maker: Maker) -> Result<HalfMade> {
        let (name, number) =
            file::random_name_and_u64().map_err(Error::os("find a name in", &maker.path))?;
        let path = maker.path.join(&*name.to_string_lossy());
        let made = file::create_directory_at(&maker.flock, &*name);
        let directory = Directory::check(made.map_err(Error::os("create", &path))?, path)?;
        let making = Making {
            maker,
            name,
            number,
            is_published: false,
            stamp: fork::stamp(),
        };
        Ok(HalfMade { directory, making })
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The random name.
    pub(super) fn name(&self) -> &CStr {
        &self.making.name
    }

    /// A random number that was drawn with it.
    pub(super) fn number(&self) -> u64 {
        self.making.number
    }

    /// Gives it its name, in one step. On an error it is removed.
    pub(super) fn publish(self, parent: &Directory, name: &CStr) -> Result<(Directory, Making)> {
        let path = parent.path().join(&*name.to_string_lossy());
        let HalfMade {
            directory,
            mut making,
        } = self;
        file::rename_at(&making.maker.flock, &*making.name, parent, name)
            .map_err(Error::os("publish", &path))?;
        making.is_published = true;
        Ok((directory.at(path), making))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // In a forked child it is the parent's.
        if !self.is_published && self.stamp.is_current() {
            let _ = remove_tree(self.maker.flock.as_fd(), &self.name, DEPTH);
        }
    }
}

/// Takes a directory's name away by renaming it into the scratch directory.
pub(super) fn bury(
    parent: &Directory,
    name: &CStr,
    scratch: &Directory,
) -> rustix::io::Result<CString> {
    let tombstone = file::random_name()?;
    file::rename_at(parent, name, scratch, &*tombstone)?;
    Ok(tombstone)
}

/// Removes a tombstone with all that is in it. `names` are those that are likely to be: they are not looked for.
pub(super) fn remove(scratch: &Directory, tombstone: &CStr, names: &[&str]) -> Result<()> {
    if !names.is_empty()
        && let Ok(directory) = file::open_directory_at(scratch, tombstone)
    {
        for name in names {
            // What is not there, or no file, is seen to below.
            let _ = file::unlink_at(&directory, *name);
        }
    }
    remove_tree(scratch.as_fd(), tombstone, DEPTH).map_err(Error::os(
        "remove",
        scratch.path().join(&*tombstone.to_string_lossy()),
    ))
}

/// Removes a file, or a directory with all that is in it; its `lock` goes last, as it tells others that somebody is
/// at it. What others remove or add meanwhile is removed too.
fn remove_tree(parent: BorrowedFd<'_>, name: &CStr, depth: u32) -> rustix::io::Result<()> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        match file::remove_directory_at(parent, name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR) => return file::unlink_at(parent, name),
            Err(Errno::NOTEMPTY | Errno::EXIST) if depth > 0 => {}
            Err(errno) => return Err(errno),
        }
        let directory = match file::open_directory_at(parent, name) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        let mut names = file::names_in_own(&directory)?;
        names.sort_unstable_by_key(|name| name.to_bytes() == LOCK.as_bytes());
        for name in names {
            match file::unlink_at(&directory, &*name) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    remove_tree(directory.as_fd(), &name, depth - 1)?;
                }
                Err(errno) => return Err(errno),
            }
        }
    }
    Err(Errno::NOTEMPTY)
}
