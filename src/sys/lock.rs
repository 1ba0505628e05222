//! Locks that the kernel lets go of when their holder dies.
//!
//! [`OfdLock`] is a write lock of an open file description on a whole file: it belongs to the description, not
//! to the process, so that closing another descriptor of the same file does not drop it and one process can
//! hold and look at the same time. Who only wants to know looks with [`is_held`] and never takes it.
//!
//! Unsafe is needed as rustix has no call for these locks.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::FlockOperation;
use rustix::io::{Errno, Result};

use crate::sys::file::retry;
use crate::sys::fork::{self, Registered, Stamp};

/// A held lock. It is let go of when this is dropped, and when the process ends.
#[derive(Debug)]
pub(crate) struct OfdLock {
    fd: Registered,
    stamp: Stamp,
}

impl OfdLock {
    /// Opens a file by `open` and takes its lock, without waiting. `None`: another holds it.
    ///
    /// The file is to be opened for writing, and the descriptor used for nothing but this lock.
    pub(crate) fn try_open(open: impl FnOnce() -> Result<OwnedFd>) -> Result<Option<OfdLock>> {
        let fd = Registered::open(open)?;
        match set(fd.as_fd(), libc::F_WRLCK, WHOLE) {
            Ok(()) => Ok(Some(OfdLock::over(fd))),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a file by `make`, has `record` write into it who its holder is, and takes its lock so that it tells this
    /// ([`mark_recorded`](OfdLock::mark_recorded)). For a file that nobody else can reach before this has ended.
    pub(crate) fn make_recorded(
        make: impl FnOnce() -> Result<OwnedFd>,
        record: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<OfdLock> {
        let fd = Registered::open(make)?;
        record(fd.as_fd())?;
        set(fd.as_fd(), libc::F_WRLCK, (0, RECORDED))?;
        Ok(OfdLock::over(fd))
    }

    fn over(fd: Registered) -> OfdLock {
        let stamp = fork::stamp();
        OfdLock { fd, stamp }
    }

    /// Tells who looks that the holder has written who it is: from here on the lock ends at a byte that is far behind any
    /// file's end, which no taker minds.
    pub(crate) fn mark_recorded(&self) -> Result<()> {
        set(self.fd.as_fd(), libc::F_UNLCK, (RECORDED, 0))
    }

    /// Moves the lock to a descriptor above another one, if it is below it.
    ///
    /// When a process ends, the kernel lets go of its files from the highest number down. Whoever learns of the death
    /// from a FIFO end then finds a lock above it free. That order is promised nowhere: it makes a second look rare,
    /// not needless.
    pub(crate) fn keep_above(&mut self, other: impl AsFd) -> Result<()> {
        let other = other.as_fd();
        if self.fd.as_raw_fd() < other.as_raw_fd() {
            self.fd = Registered::open(|| duplicate_above(&self.fd, other))?;
        }
        Ok(())
    }
}

/// A second descriptor of the same open file, with a higher number than another's.
fn duplicate_above(fd: impl AsFd, other: BorrowedFd<'_>) -> Result<OwnedFd> {
    let least = other.as_raw_fd().saturating_add(1);
    match rustix::io::fcntl_dupfd_cloexec(fd, least) {
        // No number above the other's is allowed.
        Err(Errno::INVAL) => Err(Errno::MFILE),
        duplicate => duplicate,
    }
}

impl AsFd for OfdLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for OfdLock {
    fn drop(&mut self) {
        // Closing would not be enough if a child made by a raw clone has the descriptor too. In such a child,
        // the lock is not ours to drop.
        if self.stamp.is_current() {
            let _ = set(self.fd.as_fd(), libc::F_UNLCK, WHOLE);
        }
    }
}

/// Whether another open file description holds the lock. Takes nothing: a look never gets in a taker's way.
pub(crate) fn is_held(fd: impl AsFd) -> Result<bool> {
    is_held_from(fd, 0)
}

/// Whether a lock is held whose holder has not written yet who it is.
pub(crate) fn is_held_by_a_stranger(fd: impl AsFd) -> Result<bool> {
    is_held_from(fd, RECORDED)
}

/// Where the lock of a holder ends that has written who it is.
const RECORDED: libc::off_t = 1 << 62;

/// A first byte and a number of bytes, of which 0 stands for all that follow.
type Bytes = (libc::off_t, libc::off_t);
const WHOLE: Bytes = (0, 0);

fn is_held_from(fd: impl AsFd, start: libc::off_t) -> Result<bool> {
    let mut lock = lock_of((start, 0), libc::F_WRLCK);
    let result = retry(|| {
        // SAFETY: the descriptor is open while it is borrowed, and `lock` is a valid flock to read and write.
        let result =
            unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        errno_of(result)
    });
    result.map(|()| i32::from(lock.l_type) != libc::F_UNLCK)
}

fn set(fd: BorrowedFd<'_>, kind: libc::c_int, bytes: Bytes) -> Result<()> {
    let lock = lock_of(bytes, kind);
    retry(|| {
        // SAFETY: the descriptor is open while it is borrowed, and `lock` is a valid flock to read.
        let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        errno_of(result)
    })
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the constants are small and the fields' widths differ between architectures"
)]
fn lock_of((start, len): Bytes, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // The kernel insists on 0 for this kind of lock.
        l_pid: 0,
    }
}

fn errno_of(result: libc::c_int) -> Result<()> {
    if result < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

/// A `flock`, shared or exclusive or neither yet. It belongs to the open file description, which is to be this
/// one's alone, and ends when this is dropped, even if a child that is about to `exec` has the descriptor too.
#[derive(Debug)]
pub(crate) struct Flock {
    fd: Registered,
    stamp: Stamp,
}

impl Flock {
    /// Opens what is to be locked, and takes nothing yet.
    pub(crate) fn open(open: impl FnOnce() -> Result<OwnedFd>) -> Result<Flock> {
        Registered::open(open).map(Flock::of)
    }

    /// For a descriptor whose open file description is this one's alone.
    pub(crate) fn of(fd: Registered) -> Flock {
        let stamp = fork::stamp();
        Flock { fd, stamp }
    }

    /// Takes it shared, without waiting; `false`: somebody has it for himself, and what was held here is let go of.
    pub(crate) fn try_shared(&self) -> Result<bool> {
        try_flock_shared(&self.fd)
    }

    /// Takes it exclusive, without waiting; `false`: somebody has it, and what was held here is let go of.
    pub(crate) fn try_exclusive(&self) -> Result<bool> {
        flock(&self.fd, FlockOperation::NonBlockingLockExclusive)
    }
}

impl AsFd for Flock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        if self.stamp.is_current() {
            let _ = flock(&self.fd, FlockOperation::Unlock);
        }
    }
}

/// Takes a shared `flock` for as long as the open file description lives, without waiting; `false`: somebody has it
/// for himself.
pub(crate) fn try_flock_shared(fd: impl AsFd) -> Result<bool> {
    flock(fd, FlockOperation::NonBlockingLockShared)
}

fn flock(fd: impl AsFd, operation: FlockOperation) -> Result<bool> {
    match retry(|| rustix::fs::flock(fd.as_fd(), operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use crate::sys::fork::{fork_for_test, wait_for_test};
    use crate::sys::testing::{Scratch, alone};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// A directory with a lock file.
    struct Locks(Scratch);

    impl Locks {
        fn new() -> Locks {
            let scratch = Scratch::new();
            drop(file::create_file_at(scratch.fd(), "lock").unwrap());
            Locks(scratch)
        }

        fn open(&self) -> Result<OwnedFd> {
            file::open_file_at(self.0.fd(), "lock")
        }

        fn look(&self) -> OwnedFd {
            file::open_file_read_only_at(self.0.fd(), "lock").unwrap()
        }

        fn take(&self) -> Option<OfdLock> {
            OfdLock::try_open(|| self.open()).unwrap()
        }

        fn reopen(&self) -> Result<OwnedFd> {
            file::reopen_directory(self.0.fd())
        }
    }

    #[test]
    fn a_lock_has_one_holder_and_a_look_takes_nothing() {
        let locks = Locks::new();
        let look = locks.look();
        assert!(!is_held(&look).unwrap());
        let lock = locks.take().unwrap();
        assert!(is_held(&look).unwrap());
        assert!(locks.take().is_none());
        drop(locks.open().unwrap());
        assert!(
            is_held(&look).unwrap(),
            "closing another descriptor dropped the lock"
        );
        assert!(is_held_by_a_stranger(&look).unwrap());
        lock.mark_recorded().unwrap();
        assert!(is_held(&look).unwrap() && !is_held_by_a_stranger(&look).unwrap());
        assert!(locks.take().is_none());
        drop(lock);
        assert!(!is_held(&look).unwrap());
        assert!(locks.take().is_some());
        let made = OfdLock::make_recorded(|| locks.open(), |_| Ok(())).unwrap();
        assert!(is_held(&look).unwrap() && !is_held_by_a_stranger(&look).unwrap());
        assert!(locks.take().is_none());
        drop(made);
        assert!(!is_held(&look).unwrap());
    }

    #[test]
    fn a_forked_child_neither_keeps_nor_drops_its_parents_lock() {
        alone!(
            "a_forked_child_neither_keeps_nor_drops_its_parents_lock",
            || {
                let locks = Locks::new();
                let look = locks.look();
                for past_the_handlers in [false, true] {
                    for drops_its_copy in [false, true] {
                        let mut lock = locks.take();
                        assert!(lock.is_some());
                        let (here, there) = UnixStream::pair().unwrap();
                        let pid = fork_for_test(past_the_handlers, || {
                            if drops_its_copy {
                                drop(lock.take());
                            }
                            let mut there = &there;
                            there.write_all(b"x").unwrap();
                            // Until the parent has looked.
                            there.read_exact(&mut [0]).map_or(1, |()| 0)
                        });
                        let mut here = &here;
                        here.read_exact(&mut [0]).unwrap();
                        assert!(is_held(&look).unwrap());
                        drop(lock);
                        assert!(!is_held(&look).unwrap());
                        here.write_all(b"x").unwrap();
                        assert_eq!(wait_for_test(pid), 0);
                    }
                }
            }
        );
    }

    #[test]
    fn a_lock_that_moves_to_another_descriptor_stays_held() {
        let locks = Locks::new();
        let look = locks.look();
        let mut lock = locks.take().unwrap();
        let other = locks.reopen().unwrap();
        lock.keep_above(&other).unwrap();
        assert!(lock.as_fd().as_raw_fd() > other.as_raw_fd());
        assert!(is_held(&look).unwrap());
        let number = lock.as_fd().as_raw_fd();
        lock.keep_above(&other).unwrap();
        assert_eq!(lock.as_fd().as_raw_fd(), number);
        drop(lock);
        assert!(!is_held(&look).unwrap());
    }

    #[test]
    fn flock_knows_shared_and_exclusive() {
        let locks = Locks::new();
        let [a, b] = [(); 2].map(|()| Flock::open(|| locks.reopen()).unwrap());
        assert!(a.try_shared().unwrap() && b.try_shared().unwrap());
        assert!(!a.try_exclusive().unwrap());
        // As a child has it that has not yet come to its `exec`.
        let _copy = b.fd.as_fd().try_clone_to_owned().unwrap();
        drop(b);
        assert!(a.try_exclusive().unwrap());
    }
}
