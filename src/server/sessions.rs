//! How sessions come: connects, and what a predecessor left.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::event::{Event, Peer, SessionId};
use super::seat::{Home, Opening, Seat};
use super::turns::{Source, VERSIONS};
use super::{Seated, Server};
use crate::directory::{Directory, session};
use crate::error::{Error, Result};
use crate::fifo::{BellReader, BellWriter};
use crate::segment::SegmentOptions;
use crate::session::Broken;
use crate::session::layout::{self, DIRECTS, DOWN, Memory, PROBE, SEGMENT, Status, UP};
use crate::sys::poll::Interest;
use crate::sys::{file, process};

/// When a client that found no free slot is told to come back.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How many slots are kept for probes.
const KEPT_FOR_PROBES: usize = 2;

/// Why a published session is not seated.
#[derive(Debug)]
enum Unfit {
    /// Its client is dead, or has withdrawn it.
    Abandoned,
    /// Its client broke the protocol.
    Broken(Broken),
    /// Our own trouble.
    Failed(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Unfit {
        Unfit::Failed(error)
    }
}

impl From<Broken> for Unfit {
    fn from(broken: Broken) -> Unfit {
        Unfit::Broken(broken)
    }
}

impl Server {
    /// Goes on with a predecessor's sessions, and lets in what has been published meanwhile.
    pub(super) fn take_over(&mut self) -> Result<()> {
        self.place.clean()?;
        let taken = self.place.taken_slots()?;
        let is_ours = |slot: &u32| taken.contains(slot);
        self.free = (0..self.slots)
            .rev()
            .filter(|slot| !is_ours(slot))
            .collect();
        for slot in taken {
            match self.place.open_slot(slot)? {
                Some(directory) if session::is_owner_alive(&directory)? => {
                    self.seat(slot, &directory)?
                }
                _ => self.vacate(slot)?,
            }
        }
        self.open_door()
    }

    /// Lets in the sessions that are at the door.
    pub(super) fn open_door(&mut self) -> Result<()> {
        self.door.drain();
        for new in self.place.new_sessions()? {
            let Some(directory) = self.place.open_new(&new)? else {
                continue;
            };
            let refusal = match self.free.len() {
                _ if self.draining.is_some() => Status::Closed,
                free if free > KEPT_FOR_PROBES || (free > 0 && is_probe(&directory)) => {
                    Status::Open
                }
                _ => Status::Busy {
                    retry_after: RETRY_AFTER,
                },
            };
            if refusal != Status::Open {
                if refusal != Status::Closed {
                    self.board.count(|page| &page.busy);
                }
                tell(&directory, refusal);
                self.place.remove_new(&new)?;
                continue;
            }
            let Some(slot) = self.free.pop() else {
                continue;
            };
            match self.place.take_up(&new, slot)? {
                Some(directory) => self.seat(slot, &directory)?,
                None => self.free.push(slot),
            }
        }
        Ok(())
    }

    /// Makes a session in a slot one of ours, or removes it.
    fn seat(&mut self, slot: u32, directory: &Directory) -> Result<()> {
        match self.try_seat(slot, directory) {
            Ok(seated) => {
                let peer = seated.seat.peer();
                let index = slot as usize;
                if self.seats.len() <= index {
                    self.seats.resize_with(index + 1, || None);
                }
                if let Some(place) = self.seats.get_mut(index) {
                    *place = Some(seated);
                }
                self.board.count(|page| &page.connects);
                self.board.set_sessions(self.sessions());
                self.ready.push_back(Event::Connected(peer));
                // It may have asked already, and a predecessor may have watched it: looked at once in any case.
                self.heat(slot);
                Ok(())
            }
            Err(Unfit::Abandoned) => self.vacate(slot),
            Err(Unfit::Broken(broken)) => {
                self.board.count(|page| &page.corrupt);
                tell(
                    directory,
                    Status::Corrupt {
                        code: broken.code(),
                    },
                );
                self.vacate(slot)
            }
            Err(Unfit::Failed(error)) => {
                // The client is told to come back; the server goes on, unless it cannot even clean up.
                tell(
                    directory,
                    Status::Busy {
                        retry_after: RETRY_AFTER,
                    },
                );
                self.vacate(slot)?;
                if error.is_shortage() {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    fn try_seat(&mut self, slot: u32, directory: &Directory) -> Result<Seated, Unfit> {
        let segment = SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN)
            .open_at(directory, SEGMENT)
            .map_err(|error| {
                if error.is_shortage() {
                    Unfit::Failed(error)
                } else {
                    Broken::Segment(error).into()
                }
            })?;
        let (geometry, generation) = layout::read_geometry(segment.region())?;
        let payload = segment.region();
        let memory = Memory::new(payload, geometry).ok_or(Broken::Geometry {
            requests: geometry.request_capacity,
            replies: geometry.reply_capacity,
            payload: payload.len() as u64,
        })?;
        let up = BellReader::open(directory, UP)?;
        // Nobody reads: its client is dead.
        let bell = BellWriter::open(directory, DOWN)?.ok_or(Unfit::Abandoned)?;
        self.place.keep_lock_above(&up)?;
        self.place.keep_lock_above(&bell)?;
        self.version = self.version.wrapping_add(1) & VERSIONS;
        let version = self.version;
        let watch = |fd, source: Source, interest| {
            self.epoll
                .add(fd, source.pack(), interest)
                .map_err(Error::os("watch the bells of", directory.path()))
        };
        watch(up.as_fd(), Source::Bell { slot, version }, Interest::READ)?;
        watch(
            bell.as_fd(),
            Source::Death { slot, version },
            Interest::DEATH,
        )?;
        let peer = Peer {
            session: SessionId(generation),
            uid: file::status(directory)
                .map_err(Error::os("look at", directory.path()))?
                .owner,
            identity: session::owner(directory)?,
        };
        let server = &memory.server;
        server.slot.store(slot.into(), Ordering::Relaxed);
        server.epoch.store(self.board.epoch(), Ordering::Relaxed);
        server
            .flags
            .store(if self.directs { DIRECTS } else { 0 }, Ordering::Relaxed);
        let opening = Opening {
            geometry,
            generation,
            epoch: self.board.epoch(),
            same_clock: memory.client.time_namespace.load(Ordering::Relaxed)
                == process::time_namespace(),
            home: Home {
                slots: Arc::clone(&self.slots_directory),
                slot,
            },
            bell,
            memory,
        };
        let seat = Seat::new(peer, self.service.to_string(), opening)?;
        seat.open();
        Ok(Seated {
            seat: Arc::new(seat),
            hot: false,
            empty_looks: 0,
            up,
            version,
        })
    }

    /// Removes what stands in a slot, and frees it.
    pub(super) fn vacate(&mut self, slot: u32) -> Result<()> {
        self.place.remove_slot(slot)?;
        if slot < self.slots {
            self.free.push(slot);
        }
        Ok(())
    }
}

/// Writes a status into a session that is not ours, and rings its client. What cannot be opened is not told.
pub(super) fn tell(directory: &Directory, status: Status) {
    let opened =
        SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN).open_at(directory, SEGMENT);
    if let Some(server) = opened
        .ok()
        .and_then(|segment| Memory::server_line(segment.region()))
    {
        server.status.store(status.pack(), Ordering::Release);
        if let Ok(Some(bell)) = BellWriter::open(directory, DOWN) {
            let _ = bell.ring();
        }
    }
}

/// Whether a session says that it is a supervisor's probe.
fn is_probe(directory: &Directory) -> bool {
    let opened =
        SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN).open_at(directory, SEGMENT);
    let client = opened
        .ok()
        .and_then(|segment| Memory::client_line(segment.region()));
    client.is_some_and(|client| client.flags.load(Ordering::Relaxed) & PROBE != 0)
}
