//! Doorbells: a byte in a FIFO that wakes whoever waits at the other end.
//!
//! A ring carries no state. What it announces stands elsewhere and is looked at after the bell was drained; a
//! ring too many is harmless, and rings that gather are one. The ringer learns of the death of the answerer from
//! its own end: [`Ring::NoReader`], or [`Interest::DEATH`](crate::sys::poll::Interest::DEATH) in an epoll set.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::sys::fifo::{self, Refusal};
use crate::sys::fork::Registered;

/// Makes the FIFOs of two doorbells in a new directory that nobody else can reach yet, and opens the end of the second one
/// that is woken.
pub(crate) fn make_bells(directory: &Directory, far: &str, near: &str) -> Result<BellReader> {
    match fifo::make_two(directory, far, near) {
        Ok(fd) => Ok(BellReader { fd }),
        Err(Refusal::Os(errno)) => Err(Error::os("create FIFOs in", directory.path())(errno)),
        Err(refusal) => Err(refusal.into_error(&directory.path().join(near))),
    }
}

/// The end of a doorbell that is woken.
#[derive(Debug)]
pub(crate) struct BellReader {
    fd: Registered,
}

impl BellReader {
    /// Opens it, without waiting. While it is open a [`BellWriter`] can be opened and rung.
    pub(crate) fn open(directory: &Directory, name: &str) -> Result<BellReader> {
        let fd = fifo::open_read_end(directory, name)
            .map_err(|refusal| refusal.into_error(&directory.path().join(name)))?;
        Ok(BellReader { fd })
    }

    /// Makes its pipe small: a user's pipes share a limit, and a bell needs one byte. It can wait until nobody else waits
    /// for what its opener does.
    pub(crate) fn shrink(&self) {
        fifo::shrink(&self.fd);
    }

    /// Takes all rings away; whether there were any. Costs one system call, whatever the number of rings.
    pub(crate) fn drain(&self) -> bool {
        const READS: u32 = 16;
        let mut rung = false;
        // More than a page where the pipe could not be made small. A flood does not hold us: what is left shows
        // at the next poll.
        for _ in 0..READS {
            match fifo::discard(&self.fd) {
                Ok(count) => {
                    rung |= count > 0;
                    if count < fifo::PIPE_BUF {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        rung
    }

    /// Wakes this end itself: for another thread of the same process.
    pub(crate) fn ring_self(&self) {
        // It is open for writing too, so there is a reader; a full one is rung.
        let _ = fifo::write_nosignal(&self.fd, b"!");
    }
}

impl AsFd for BellReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What became of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Ring {
    /// The other end is readable now.
    Rung,
    /// It was so already, and full of rings.
    AlreadyRung,
    /// Nobody has the other end open. The next who opens it is reached by the same writer.
    NoReader,
}

/// The end of a doorbell that wakes.
#[derive(Debug)]
pub(crate) struct BellWriter {
    fd: Registered,
}

impl BellWriter {
    /// Opens it, without waiting; `None` while nobody has the other end open.
    pub(crate) fn open(directory: &Directory, name: &str) -> Result<Option<BellWriter>> {
        match fifo::open_write_end(directory, name) {
            Ok(fd) => Ok(fd.map(|fd| BellWriter { fd })),
            Err(refusal) => Err(refusal.into_error(&directory.path().join(name))),
        }
    }

    /// Opens it whether somebody has the other end open or not. While nobody has, it is as if the answerer were dead.
    pub(crate) fn open_ahead(directory: &Directory, name: &str) -> Result<BellWriter> {
        // Held while it is opened: without a reader, the kernel refuses that. The pipe is both ends' and keeps its size.
        let reader = BellReader::open(directory, name)?;
        reader.shrink();
        BellWriter::open(directory, name)?
            .ok_or_else(|| Error::os("open FIFO", directory.path().join(name))(Errno::NXIO))
    }

    /// Wakes the other end. Never waits, and raises no signal.
    pub(crate) fn ring(&self) -> Ring {
        match fifo::write_nosignal(&self.fd, b"!") {
            Ok(_) => Ring::Rung,
            Err(Errno::AGAIN) => Ring::AlreadyRung,
            // PIPE; BADF in a forked child, whose copy reaches nobody.
            Err(_) => Ring::NoReader,
        }
    }
}

impl AsFd for BellWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::directory::testing::Scratch;
    use crate::sys::clock::Deadline;
    use crate::sys::poll::{Epoll, Events, Interest};

    fn make_bell(dir: &Directory) {
        fifo::make_fifo(dir, "bell").unwrap();
    }

    #[test]
    fn rings_gather_and_one_drain_takes_them_all() {
        let dir = Scratch::new();
        make_bell(&dir);
        assert!(make_bells(&dir, "other", "bell").is_err());
        assert!(BellWriter::open(&dir, "bell").unwrap().is_none());
        let reader = BellReader::open(&dir, "bell").unwrap();
        let writer = BellWriter::open(&dir, "bell").unwrap().unwrap();
        assert!(!reader.drain());
        for _ in 0..1000 {
            assert_eq!(writer.ring(), Ring::Rung);
        }
        assert!(reader.drain());
        assert!(!reader.drain());
    }

    #[test]
    fn a_writer_that_is_opened_ahead_is_heard_once_there_is_a_reader() {
        let dir = Scratch::new();
        make_bell(&dir);
        let writer = BellWriter::open_ahead(&dir, "bell").unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::new();
        epoll.add(&writer, 3, Interest::DEATH).unwrap();
        assert_eq!(writer.ring(), Ring::NoReader);
        let reader = BellReader::open(&dir, "bell").unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        assert_eq!(writer.ring(), Ring::Rung);
        assert!(reader.drain());
        drop(reader);
        assert_eq!(epoll.wait_not(&mut events), Ok(1));
        assert!(events.iter().all(|ready| ready.is_dead()));
    }

    #[test]
    fn a_million_rings_that_nobody_answers_succeed() {
        let dir = Scratch::new();
        make_bell(&dir);
        let reader = BellReader::open(&dir, "bell").unwrap();
        let writer = BellWriter::open(&dir, "bell").unwrap().unwrap();
        let mut rung = 0;
        for _ in 0..1_000_000 {
            match writer.ring() {
                Ring::Rung => rung += 1,
                Ring::AlreadyRung => {}
                Ring::NoReader => panic!("the reader is there"),
            }
        }
        assert!(rung <= 65536, "{rung}");
        assert_eq!(writer.ring(), Ring::AlreadyRung);
        assert!(reader.drain());
        assert_eq!(writer.ring(), Ring::Rung);
    }

    #[test]
    fn a_dead_answerer_is_told_once_and_its_successor_hears_the_same_writer() {
        let dir = Scratch::new();
        make_bell(&dir);
        let reader = BellReader::open(&dir, "bell").unwrap();
        let writer = BellWriter::open(&dir, "bell").unwrap().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::new();
        epoll.add(&writer, 3, Interest::DEATH).unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        drop(reader);
        assert_eq!(epoll.wait(&mut events, Deadline::never()), Ok(1));
        assert!(events.iter().all(|ready| ready.is_dead()));
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        assert_eq!(writer.ring(), Ring::NoReader);
        let reader = BellReader::open(&dir, "bell").unwrap();
        assert!(!reader.drain());
        assert_eq!(writer.ring(), Ring::Rung);
        epoll.add(&reader, 4, Interest::READ).unwrap();
        let soon = Deadline::after(Duration::from_secs(5));
        assert_eq!(epoll.wait(&mut events, soon), Ok(1));
        assert!(events.iter().all(|ready| ready.token == 4));
        assert!(reader.drain());
        drop(reader);
        assert_eq!(epoll.wait(&mut events, soon), Ok(1));
        assert!(events.iter().all(|ready| ready.is_dead()));
    }
}
