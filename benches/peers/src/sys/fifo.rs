//! Named pipes read and written the plain way: wait in `poll`, then one call.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Makes a FIFO that only its owner may open.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    Ok(mknodat(
        CWD,
        path,
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )?)
}

/// Opens a FIFO for both directions, so that neither open nor read depends on the other side.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Sleeps until `fd` is ready for `what`.
pub(crate) fn wait(fd: impl AsFd, what: PollFlags) -> io::Result<()> {
    let mut fds = [PollFd::new(&fd, what)];
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(io::Error::from),
        }
    }
}

/// Fills `bytes`, sleeping in `poll` before each read.
pub(crate) fn read_exact(mut file: &File, bytes: &mut [u8]) -> io::Result<()> {
    let mut have = 0;
    while have < bytes.len() {
        wait(file, PollFlags::IN)?;
        match file.read(&mut bytes[have..]) {
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes`, sleeping in `poll` only where the pipe is full.
pub(crate) fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(file, PollFlags::OUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
