//! The ends of named pipes: opened without waiting, checked, not inherited, and written without a SIGPIPE.

use std::fmt;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags, Result};
use rustix::path::Arg;

use crate::error::Error;
use crate::sys::file::{self, FileKind, FileStatus, retry};
use crate::sys::fork::Registered;
use crate::sys::signal;

/// The longest write that is never cut and never mixed with another's.
pub(crate) const PIPE_BUF: usize = 4096;

/// `RWF_NOSIGNAL`, in Linux since 6.18; rustix has no name for it yet.
const NO_SIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

/// Why a FIFO's end was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The operating system said so.
    Os(Errno),
    /// A symbolic link stands in its place.
    Link,
    /// Something else than a FIFO stands in its place.
    Kind,
    /// It belongs to this other user.
    Owner(u32),
    /// It has this mode and not 0600.
    Mode(u32),
    /// It has this number of names and not one.
    Links(u64),
}

impl Refusal {
    /// The error that says so; `path` is for the message.
    pub(crate) fn into_error(self, path: &Path) -> Error {
        match self {
            Refusal::Os(errno) => Error::os("open FIFO", path)(errno),
            refusal => Error::BadFile {
                path: path.to_owned(),
                reason: refusal.to_string(),
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Os(errno) => errno.fmt(f),
            Refusal::Link => f.write_str("it is a symbolic link, which is not followed"),
            Refusal::Kind => f.write_str("it is not a FIFO"),
            Refusal::Owner(uid) => write!(
                f,
                "it belongs to uid {uid}, and this process runs as uid {}",
                file::effective_uid()
            ),
            Refusal::Mode(mode) => write!(f, "its mode is {mode:04o} and must be 0600"),
            Refusal::Links(0) => f.write_str("it was removed while it was being opened"),
            Refusal::Links(links) => write!(f, "it has {links} names and must have one"),
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        match errno {
            Errno::LOOP => Refusal::Link,
            Errno::ISDIR => Refusal::Kind,
            errno => Refusal::Os(errno),
        }
    }
}

/// Makes a FIFO of mode 0600, whatever the umask. Nothing may stand under the name.
pub(crate) fn make_fifo(dir: impl AsFd, name: impl Arg + Copy) -> Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    fs::mknodat(dir.as_fd(), name, FileType::Fifo, mode, 0)?;
    let is_right = file::status_at(dir.as_fd(), name).and_then(|status| {
        match status.mode == mode.as_raw_mode() {
            true => Ok(()),
            false => fs::chmodat(dir.as_fd(), name, mode, AtFlags::empty()),
        }
    });
    is_right.inspect_err(|_| {
        let _ = file::unlink_at(dir.as_fd(), name);
    })
}

/// Makes two FIFOs like [`make_fifo`] and opens the second one's end to read from, whose mode tells that of the other. For
/// a directory that nobody else can reach yet, and that goes with both if this fails.
pub(crate) fn make_two(
    dir: impl AsFd,
    first: impl Arg + Copy,
    second: impl Arg + Copy,
) -> std::result::Result<Registered, Refusal> {
    let mode = Mode::RUSR | Mode::WUSR;
    fs::mknodat(dir.as_fd(), first, FileType::Fifo, mode, 0)?;
    fs::mknodat(dir.as_fd(), second, FileType::Fifo, mode, 0)?;
    match open_read_end(dir.as_fd(), second) {
        // A umask such as 0777 has taken rights of the owner.
        Err(Refusal::Mode(_) | Refusal::Os(Errno::ACCESS)) => {
            fs::chmodat(dir.as_fd(), first, mode, AtFlags::empty())?;
            fs::chmodat(dir.as_fd(), second, mode, AtFlags::empty())?;
            open_read_end(dir, second)
        }
        opened => opened,
    }
}

/// Opens the end to read from. It is opened for writing too, so that it never shows an end of file or a hang-up.
pub(crate) fn open_read_end(
    dir: impl AsFd,
    name: impl Arg + Copy,
) -> std::result::Result<Registered, Refusal> {
    open(dir, name, OFlags::RDWR)
}

/// Opens the end to write to; `None` if nobody has the end to read from.
pub(crate) fn open_write_end(
    dir: impl AsFd,
    name: impl Arg + Copy,
) -> std::result::Result<Option<Registered>, Refusal> {
    match open(dir.as_fd(), name, OFlags::WRONLY) {
        Ok(fd) => Ok(Some(fd)),
        // A socket in its place gives the same number as a FIFO without a reader.
        Err(Refusal::Os(Errno::NXIO)) => {
            check(&file::status_at(dir, name)?, file::effective_uid()).map(|()| None)
        }
        Err(refusal) => Err(refusal),
    }
}

fn open(
    dir: impl AsFd,
    name: impl Arg + Copy,
    access: OFlags,
) -> std::result::Result<Registered, Refusal> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = Registered::open(|| retry(|| fs::openat(dir.as_fd(), name, flags, Mode::empty())))?;
    check(&file::status(&fd)?, file::effective_uid())?;
    Ok(fd)
}

fn check(status: &FileStatus, uid: u32) -> std::result::Result<(), Refusal> {
    match status.kind {
        FileKind::Fifo => {}
        FileKind::Link => return Err(Refusal::Link),
        _ => return Err(Refusal::Kind),
    }
    if status.owner != uid {
        Err(Refusal::Owner(status.owner))
    } else if status.mode != 0o600 {
        Err(Refusal::Mode(status.mode))
    } else if status.links != 1 {
        Err(Refusal::Links(status.links))
    } else {
        Ok(())
    }
}

/// Reads what there is, at most a buffer full; `AGAIN` if there is nothing.
pub(crate) fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| rustix::io::read(fd.as_fd(), &mut *buffer))
}

/// Reads at most [`PIPE_BUF`] bytes and throws them away; `AGAIN` if there is nothing.
pub(crate) fn discard(fd: impl AsFd) -> Result<usize> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); PIPE_BUF];
    retry(|| rustix::io::read(fd.as_fd(), &mut buffer[..]).map(|(bytes, _)| bytes.len()))
}

/// Writes at most [`PIPE_BUF`] bytes, all or (with an error) none: `AGAIN` if the pipe has no room for them, `PIPE`
/// if it has no reader. Never a SIGPIPE.
pub(crate) fn write_nosignal(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    write_parts_nosignal(fd, &[IoSlice::new(bytes)])
}

/// [`write_nosignal`] for bytes in several places, as one write.
pub(crate) fn write_parts_nosignal(fd: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    static KERNEL_LACKS_NO_SIGNAL: AtomicBool = AtomicBool::new(false);

    debug_assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= PIPE_BUF);
    if !KERNEL_LACKS_NO_SIGNAL.load(Ordering::Relaxed) {
        match write_with_flag(fd.as_fd(), parts) {
            // NOSYS and PERM: a filter of system calls.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                KERNEL_LACKS_NO_SIGNAL.store(true, Ordering::Relaxed);
            }
            result => return result,
        }
    }
    write_with_mask(fd, parts)
}

fn write_with_flag(fd: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    // An offset of -1 means the descriptor's own position, of which a pipe has none.
    retry(|| rustix::io::pwritev2(fd.as_fd(), parts, u64::MAX, NO_SIGNAL))
}

fn write_with_mask(fd: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    retry(|| signal::without_sigpipe(|| rustix::io::writev(fd.as_fd(), parts)))
}

/// Gives back all but one page of a pipe's buffer, if the kernel will: a user's pipes share a limit.
pub(crate) fn shrink(fd: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, 1);
}

#[cfg(test)]
mod tests;
