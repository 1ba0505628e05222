//! What the calls of a FIFO pair do inside: read ahead, hear hellos, notice deaths, answer.

use std::io::IoSlice;

use rustix::io::Errno;

use super::Received;
use super::frame::{Fault, HELLO_LEN, Header, Kind, encode_identity, words};
use super::link::Peer;
use super::pair::{FifoPair, WRITE_END};
use crate::error::{Error, Result};
use crate::sys::poll::Interest;
use crate::sys::{fifo, file};

/// How many reads one call does at most for frames that it then drops. What a flood leaves unread shows at the
/// next poll.
const READS: u32 = 32;

/// What [`FifoPair::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The first frame in the inbox is data for the caller.
    Data,
    /// A successor has said hello, and the caller has not been told of its predecessor's end.
    Successor,
    /// The pipe was empty.
    Empty,
    /// This call has read enough.
    Enough,
}

impl FifoPair {
    /// The next frame or news, without waiting.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<Received> {
        match self.advance()? {
            Head::Data => return self.take(buffer),
            Head::Enough => return Ok(Received::Empty),
            Head::Successor => {}
            Head::Empty => {
                // The pipe was read empty after its writer was seen dead: there is nothing more of it.
                if std::mem::take(&mut self.death_seen) && self.is_write_end_dead()? {
                    self.link.died();
                    self.room_wanted = false;
                    self.watch()?;
                }
            }
        }
        Ok(if self.link.take_untold() {
            Received::PeerGone
        } else {
            Received::Empty
        })
    }

    /// Copies the first frame of the inbox out, of which [`advance`](Self::advance) has said that it is there.
    fn take(&mut self, buffer: &mut [u8]) -> Result<Received> {
        let Ok(Some((header, payload))) = self.inbox.first() else {
            return Ok(Received::Empty);
        };
        let len = header.len;
        let Some(place) = buffer.get_mut(..len) else {
            return Err(Error::TooLong {
                what: "frame",
                len: len as u64,
                max: buffer.len() as u64,
            });
        };
        place.copy_from_slice(payload);
        self.inbox.take(len);
        Ok(Received::Frame(len))
    }

    /// Reads until there is something for the caller, or nothing more; hears hellos and answers them.
    pub(super) fn advance(&mut self) -> Result<Head> {
        let head = self.read_ahead()?;
        self.settle()?;
        Ok(head)
    }

    fn read_ahead(&mut self) -> Result<Head> {
        let mut reads = 0;
        loop {
            if self.link.must_tell_first() {
                return Ok(Head::Successor);
            }
            let header = match self.inbox.first() {
                Err(fault) => return Err(self.corrupt(fault)),
                Ok(None) => {
                    if reads == READS {
                        return Ok(Head::Enough);
                    }
                    reads += 1;
                    if !self.read()? {
                        return Ok(Head::Empty);
                    }
                    continue;
                }
                Ok(Some((header, payload))) => {
                    let from = (header.kind == Kind::Hello).then(|| Peer {
                        generation: header.from,
                        identity: words(payload),
                    });
                    (header, from)
                }
            };
            match header {
                (header, None) => {
                    if self.link.accepts(header.from, header.to) {
                        return Ok(Head::Data);
                    }
                    // From the dead or for the dead.
                    self.inbox.take(header.len);
                }
                (header, Some(peer)) => {
                    self.inbox.take(header.len);
                    if peer.generation == self.link.generation() {
                        return Err(self.corrupt(Fault::OwnGeneration));
                    }
                    // Nobody at the other end any more: it has died before it heard of this side.
                    if self.open_write_end()? {
                        self.link.hello(peer, header.to);
                    }
                }
            }
        }
    }

    /// Reads once; `false` if the pipe is empty.
    fn read(&mut self) -> Result<bool> {
        match fifo::read(&self.read_end, self.inbox.room()) {
            Ok(0) | Err(Errno::AGAIN) => {
                self.discarding = false;
                // A frame is written whole, so the pipe cannot be empty in the middle of one.
                if self.inbox.is_begun() {
                    return Err(self.corrupt(Fault::Cut));
                }
                Ok(false)
            }
            Ok(count) => {
                if !self.discarding {
                    self.inbox.filled(count);
                }
                Ok(true)
            }
            Err(errno) => Err(self.os_error("read from", errno)),
        }
    }

    /// Gives the stream up, and starts over once the pipe was empty: there, a write begins.
    fn corrupt(&mut self, fault: Fault) -> Error {
        let incoming = self.names.incoming(self.side);
        let error = Error::Corrupt {
            at: format!("FIFO {}", self.names.path_of(incoming).display()),
            what: fault.to_string(),
        };
        // What the peer has on its way is for the old generation, and dropped.
        let generation =
            new_generation().unwrap_or_else(|_| self.link.generation().wrapping_add(1).max(1));
        self.link.start_over(generation, self.write_end.is_some());
        self.room_wanted = false;
        self.discard();
        match self.settle() {
            Ok(()) => error,
            Err(worse) => worse,
        }
    }

    /// Throws away what stands in the pipe, up to where it was empty.
    pub(super) fn discard(&mut self) {
        self.inbox.clear();
        self.discarding = true;
        for _ in 0..READS {
            if !matches!(self.read(), Ok(true)) {
                break;
            }
        }
    }

    /// Says hello if that is due and can be done, and watches for what is to come.
    pub(super) fn settle(&mut self) -> Result<()> {
        if let Some(write_end) = &self.write_end
            && self.link.hello_due()
            // An answer to it would be thrown away.
            && !self.discarding
        {
            let header = Header {
                kind: Kind::Hello,
                len: HELLO_LEN,
                from: self.link.generation(),
                to: self.link.peer().map_or(0, |peer| peer.generation),
            };
            let (header, payload) = (header.encode(), encode_identity(self.identity));
            let parts = [IoSlice::new(&header), IoSlice::new(&payload)];
            match fifo::write_parts_nosignal(write_end, &parts) {
                Ok(_) => self.link.set_hello_due(false),
                Err(Errno::AGAIN) => {}
                Err(Errno::PIPE) => self.link.died(),
                Err(errno) => return Err(self.os_error("write to", errno)),
            }
        }
        self.watch()
    }

    /// Makes the epoll set tell what this side waits for.
    pub(super) fn watch(&mut self) -> Result<()> {
        let wants_room = self.room_wanted || (self.link.hello_due() && !self.discarding);
        let interest = if wants_room {
            Interest::ROOM
        } else {
            Interest::DEATH
        };
        if let Some(write_end) = &self.write_end
            && interest != self.interest
        {
            self.epoll
                .modify(write_end, WRITE_END, interest)
                .map_err(|errno| self.os_error("watch", errno))?;
            self.interest = interest;
        }
        Ok(())
    }

    /// Takes note of what the epoll set has told; whether that was anything.
    pub(super) fn note_events(&mut self) -> bool {
        self.death_seen |= self
            .events
            .iter()
            .any(|ready| ready.token == WRITE_END && ready.is_dead());
        !self.events.is_empty()
    }
}

/// A generation that no other handle has: not 0.
pub(super) fn new_generation() -> rustix::io::Result<u64> {
    file::random_u64().map(|number| number.max(1))
}
