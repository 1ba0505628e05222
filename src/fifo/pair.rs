//! The public FIFO pair.

use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;

use super::frame::{Header, Kind, MAX_PAYLOAD};
use super::inbox::Inbox;
use super::link::Link;
use super::names::{Names, Side};
use super::pump::new_generation;
use super::{PairState, Received, Sent};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::fifo;
use crate::sys::fork::{self, Registered, Stamp};
use crate::sys::lock::Flock;
use crate::sys::poll::{Epoll, Events, Interest};
use crate::sys::process::Identity;

pub(super) const READ_END: u64 = 0;
pub(super) const WRITE_END: u64 = 1;

/// Two named pipes, one each way, that carry frames between two processes.
///
/// One process [`create`](Self::create)s the pair under a name, and the other one [`open`](Self::open)s it. Each says hello
/// to the other, and from then on whole frames of up to [`MAX_FRAME`](Self::MAX_FRAME) bytes go both ways. No call
/// ever blocks but for the time that it was given, and none raises SIGPIPE.
///
/// When a process dies, the other one is told at once and once: by [`Received::PeerGone`], [`Sent::PeerGone`] or
/// [`Error::PeerGone`]. What the dead had sent can still be received, and what a successor sends comes after the news. The handle of the survivor stays good. The dead opener's successor `open`s the pair again, the dead creator's
/// successor [`take_over`](Self::take_over)s it, and traffic goes on after a new hello. Frames that were on their
/// way to the dead are dropped: a successor never receives what was meant for its predecessor. So a frame that was
/// sent need not have been received; an answer tells.
///
/// A hello is heard only by a handle that is used: by a receiving call, by [`refresh`](Self::refresh), or by a
/// sending call that waits for a peer. A program that only ever sends should call `refresh` at times.
///
/// # Waiting in an event loop
/// `AsFd` gives an epoll descriptor which becomes readable and never shows a hang-up. First use up what there is,
/// then wait: call [`try_recv`](Self::try_recv) until it says [`Received::Empty`], and if there is something to send,
/// [`try_send`](Self::try_send) until it says [`Sent::Full`]; then wait for the descriptor to be readable, and begin again. It becomes
/// readable for frames, for a peer that came or went, and after a `Full` also for room, until the next successful send or
/// blocking receive. It can be waited for level-triggered or edge-triggered, and inside another epoll set.
///
/// # Names
/// The FIFOs are `NAME.up` and `NAME.down` in the directory. The creator's handle (or that of its successor) removes them when
/// it is dropped, unless [`leave`](Self::leave) says otherwise; a killed process leaves them for its successor.
/// In a forked child every call fails with [`Error::Forked`], and dropping the handle removes nothing.
///
/// # Examples
/// ```
/// use osps_ipc::{Directory, FifoPair, Name};
/// use std::time::Duration;
///
/// # let path = std::env::temp_dir().join(format!("osps-ipc-doc-{}", std::process::id()));
/// # let directory = Directory::create(&path)?;
/// let name = Name::new("turns")?;
/// let second = Duration::from_secs(1);
/// let mut ours = FifoPair::create(&directory, &name)?;
/// std::thread::scope(|scope| -> osps_ipc::Result<()> {
///     // In another process, usually.
///     let other = scope.spawn(|| -> osps_ipc::Result<()> {
///         let mut theirs = FifoPair::open(&directory, &name)?;
///         let mut buffer = [0; FifoPair::MAX_FRAME];
///         let len = theirs.recv_timeout(&mut buffer, second)?;
///         assert_eq!(&buffer[..len], b"ping");
///         theirs.send_timeout(b"pong", second)
///     });
///     ours.send_timeout(b"ping", second)?;
///     let mut buffer = [0; FifoPair::MAX_FRAME];
///     let len = ours.recv_timeout(&mut buffer, second)?;
///     assert_eq!(&buffer[..len], b"pong");
///     other.join().unwrap()
/// })?;
/// # drop(ours);
/// # std::fs::remove_dir(path).unwrap();
/// # Ok::<(), osps_ipc::Error>(())
/// ```
pub struct FifoPair {
    pub(super) names: Names,
    pub(super) side: Side,
    pub(super) read_end: Flock,
    /// None until the peer was there once. It heals when a successor opens the other end.
    pub(super) write_end: Option<Registered>,
    pub(super) epoll: Epoll,
    pub(super) events: Events,
    /// What the epoll set tells about the write end.
    pub(super) interest: Interest,
    pub(super) inbox: Inbox,
    pub(super) link: Link,
    /// The stream is broken: what comes is thrown away up to the next time the pipe is empty, which is where a
    /// whole write ends.
    pub(super) discarding: bool,
    /// The write end showed that its reader has died. To be looked at once the pipe was read empty.
    pub(super) death_seen: bool,
    /// The last send found no room.
    pub(super) room_wanted: bool,
    pub(super) identity: [u64; 5],
    pub(super) stamp: Stamp,
}

impl FifoPair {
    /// The greatest length of a frame in bytes.
    pub const MAX_FRAME: usize = MAX_PAYLOAD;

    /// Makes a pair and opens the creator's end. It does not wait for the other end to be opened.
    ///
    /// # Errors
    /// [`Error::Os`] if it cannot be made, also if one of the names exists, whatever stands there.
    pub fn create(directory: &Directory, name: &Name) -> Result<FifoPair> {
        let names = Names::create(directory, name)?;
        FifoPair::start(names, Side::Creator)
    }

    /// Opens the other end of a pair that exists. It does not wait for the creator.
    ///
    /// # Errors
    /// [`Error::Os`] if there is no pair of that name, [`Error::BadFile`] if what stands there is not a FIFO of this
    /// user with mode 0600 and one name, [`Error::InUse`] if another handle has this end.
    pub fn open(directory: &Directory, name: &Name) -> Result<FifoPair> {
        FifoPair::start(Names::open(directory, name)?, Side::Opener)
    }

    /// Opens the creator's end of a pair whose creator has died (or has [left](Self::leave) it). This handle removes the
    /// names when it is dropped.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::InUse`] if the creator is alive.
    pub fn take_over(directory: &Directory, name: &Name) -> Result<FifoPair> {
        FifoPair::start(Names::open(directory, name)?, Side::Creator)
    }

    fn start(mut names: Names, side: Side) -> Result<FifoPair> {
        let incoming = names.incoming(side);
        let path = names.path_of(incoming);
        let read_end = fifo::open_read_end(names.directory(), incoming.name.as_str())
            .map(Flock::of)
            .map_err(|refusal| refusal.into_error(&path))?;
        if !read_end.try_exclusive().map_err(Error::os("lock", &path))? {
            names.set_owned(false);
            return Err(Error::InUse { path });
        }
        // SYNC(hello): each side opens its read end before it looks for the other's. So of two that start at the same
        // time at least one finds the other, and says hello.
        let epoll = Epoll::new().map_err(Error::os("make an epoll set for", &path))?;
        epoll
            .add(&read_end, READ_END, Interest::READ)
            .map_err(Error::os("watch", &path))?;
        let mut pair = FifoPair {
            side,
            read_end,
            write_end: None,
            epoll,
            events: Events::new(),
            interest: Interest::DEATH,
            inbox: Inbox::new(),
            link: Link::new(new_generation().map_err(Error::os("draw a number for", &path))?),
            discarding: false,
            death_seen: false,
            room_wanted: false,
            identity: Identity::current()
                .map_err(Error::os("find this process's identity for", &path))?
                .to_words(),
            stamp: fork::stamp(),
            names,
        };
        // It was for a predecessor, which may have read a part of a frame. A peer that lives answers the hello.
        pair.discard();
        if pair.open_write_end()? {
            pair.link.set_hello_due(true);
            pair.settle()?;
        }
        // Last, so that a failed attempt to take over removes nothing.
        pair.names.set_owned(side == Side::Creator);
        Ok(pair)
    }

    /// What is known of the other end. Costs nothing; [`refresh`](Self::refresh) looks anew.
    pub fn state(&self) -> PairState {
        self.link.state()
    }

    /// Looks for a peer that came or went, without waiting, and says what is known then. Frames stay where they are.
    /// The end of a peer is still told by the next call that receives or sends.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn refresh(&mut self) -> Result<PairState> {
        self.check_process()?;
        self.advance()?;
        if self.link.state() == PairState::Open && self.is_write_end_dead()? {
            self.link.died();
        }
        self.settle()?;
        self.epoll.forget_deadline();
        Ok(self.link.state())
    }

    /// The process id of the peer, alive or dead, by its own account (in its own pid namespace).
    pub fn peer_pid(&self) -> Option<u32> {
        let peer = self.link.peer()?;
        Some(Identity::from_words(peer.identity).pid).filter(|&pid| pid != 0)
    }

    /// Sends one frame, if that can be done at once.
    ///
    /// # Errors
    /// [`Error::TooLong`] if it is longer than [`MAX_FRAME`](Self::MAX_FRAME); nothing is sent then. Else as
    /// [`try_recv`](Self::try_recv).
    pub fn try_send(&mut self, frame: &[u8]) -> Result<Sent> {
        let sent = self.send(frame)?;
        if sent != Sent::Sent {
            self.epoll.forget_deadline();
        }
        Ok(sent)
    }

    fn send(&mut self, frame: &[u8]) -> Result<Sent> {
        self.check_process()?;
        if frame.len() > MAX_PAYLOAD {
            return Err(Error::TooLong {
                what: "frame",
                len: frame.len() as u64,
                max: MAX_PAYLOAD as u64,
            });
        }
        if self.link.state() != PairState::Open || self.link.hello_due() {
            self.advance()?;
        }
        if self.link.take_untold() {
            return Ok(Sent::PeerGone);
        }
        let (peer, write_end) = match (self.link.state(), self.link.peer(), &self.write_end) {
            (PairState::Open, Some(peer), Some(write_end)) => (peer, write_end),
            (PairState::PeerGone, ..) => return Ok(Sent::PeerGone),
            _ => return Ok(Sent::NoPeerYet),
        };
        let header = Header {
            kind: Kind::Data,
            len: frame.len(),
            from: self.link.generation(),
            to: peer.generation,
        };
        let written = if self.link.hello_due() {
            Err(Errno::AGAIN)
        } else {
            let header = header.encode();
            let parts = [IoSlice::new(&header), IoSlice::new(frame)];
            fifo::write_parts_nosignal(write_end, &parts)
        };
        let sent = match written {
            Ok(_) => Sent::Sent,
            Err(Errno::AGAIN) => Sent::Full,
            Err(Errno::PIPE) => {
                self.link.died();
                self.link.take_untold();
                Sent::PeerGone
            }
            Err(errno) => return Err(self.os_error("write to", errno)),
        };
        self.room_wanted = sent == Sent::Full;
        self.watch()?;
        Ok(sent)
    }

    /// Sends one frame, and waits for room, or for a peer where there is none (yet or any more).
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::PeerGone`] as soon as the peer dies, and at once if the former peer left frames
    /// that must be received before a successor can be heard; [`Error::BadFile`] if the time passed without a peer and
    /// the names lead elsewhere by now; else as [`try_send`](Self::try_send).
    pub fn send_timeout(&mut self, frame: &[u8], timeout: Duration) -> Result<()> {
        let deadline = Deadline::after(timeout);
        loop {
            let had_peer = self.link.state() == PairState::Open || self.link.has_untold();
            let sent = self.send(frame)?;
            match sent {
                Sent::Sent => return Ok(()),
                Sent::PeerGone if had_peer || self.has_data() => {
                    return Err(Error::PeerGone {
                        path: self.names.path(),
                    });
                }
                _ if deadline.has_passed() => return Err(self.timed_out("room", deadline)),
                Sent::Full => self.wait_for_room(deadline)?,
                Sent::NoPeerYet | Sent::PeerGone => self.wait_for_bytes(deadline)?,
            }
        }
    }

    /// Receives one frame into `buffer`, if there is one: `buffer[..len]` of [`Received::Frame`].
    ///
    /// # Errors
    /// [`Error::TooLong`] if the buffer is too small: the frame stays, to be received with a larger one (
    /// [`MAX_FRAME`](Self::MAX_FRAME) bytes are enough for each). [`Error::Corrupt`] if the peer broke the protocol: what it
    /// sent up to now is dropped, and the pair starts over with a new hello. [`Error::Forked`] in a forked child.
    /// [`Error::Os`] for anything else.
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<Received> {
        self.check_process()?;
        match self.next(buffer)? {
            Received::Empty => {}
            received => return Ok(received),
        }
        self.epoll
            .wait_not(&mut self.events)
            .map_err(|errno| self.os_error("look at", errno))?;
        let received = match self.note_events() {
            true => self.next(buffer)?,
            false => Received::Empty,
        };
        if received == Received::Empty {
            self.epoll.forget_deadline();
        }
        Ok(received)
    }

    /// Receives one frame into `buffer`, waits for it, and gives its length. Where there is no peer (yet or any
    /// more) it waits for one.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::PeerGone`] once, as soon as the peer dies (the next call waits for a successor);
    /// [`Error::BadFile`] if the time passed without a peer and the names lead elsewhere by now; else as
    /// [`try_recv`](Self::try_recv).
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        self.check_process()?;
        let deadline = Deadline::after(timeout);
        // What an earlier send waits for must not keep this call awake.
        self.room_wanted = false;
        self.watch()?;
        let mut passed = false;
        loop {
            match self.next(buffer)? {
                Received::Frame(len) => return Ok(len),
                Received::PeerGone => {
                    return Err(Error::PeerGone {
                        path: self.names.path(),
                    });
                }
                // A flood of frames that are dropped must not hold us either.
                Received::Empty if passed => return Err(self.timed_out("a frame", deadline)),
                Received::Empty => {}
            }
            self.epoll
                .wait(&mut self.events, deadline)
                .map_err(|errno| self.os_error("wait for", errno))?;
            self.note_events();
            passed = deadline.has_passed();
        }
    }

    /// Removes both names (from either side), unless they lead to other files by now. The pair stays usable for those who
    /// have it open; nobody can open it any more.
    ///
    /// # Errors
    /// [`Error::Os`] if the directory does not let us.
    pub fn unlink(&mut self) -> Result<()> {
        self.check_process()?;
        self.names.set_owned(false);
        self.names.unlink()
    }

    /// Closes this end and leaves the names, for a successor to [`take_over`](Self::take_over) or
    /// [`open`](Self::open).
    pub fn leave(mut self) {
        self.names.set_owned(false);
    }
}

impl AsFd for FifoPair {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for FifoPair {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl fmt::Debug for FifoPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FifoPair")
            .field("path", &self.names.path())
            .field("side", &self.side)
            .field("state", &self.link.state())
            .field("peer_pid", &self.peer_pid())
            .finish_non_exhaustive()
    }
}
