//! How a session becomes one of ours: a predecessor's that is gone on with, or a new one from the [door](super::door).
//!
//! What a client has wrong is its own affair: it is told, removed and reported as an event.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::{Event, Peer, SessionId};
use super::options::SLOTS;
use super::seat::{Home, Opening, Seat};
use super::source::{Source, VERSIONS};
use super::unread;
use super::{Seated, Server};
use crate::directory::service::ServiceDir;
use crate::directory::{Directory, session};
use crate::error::{Error, Result};
use crate::fifo::{BellReader, BellWriter};
use crate::segment::SegmentOptions;
use crate::session::Broken;
use crate::session::handover::{Pool, Side};
use crate::session::layout::{self, DIRECTS, DOWN, Memory, SEGMENT, Status, UP};
use crate::sys::poll::Interest;
use crate::sys::{file, process};

/// Why a session is not seated.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Its client is dead.
    Abandoned,
    /// Its client broke the protocol.
    Broken(Broken),
    /// Our own trouble.
    Failed(Error),
}

impl From<Broken> for Unfit {
    fn from(broken: Broken) -> Unfit {
        Unfit::Broken(broken)
    }
}

impl Unfit {
    /// What is wrong with a part of a session, unless this process lacks something.
    fn because(error: Error, broken: impl FnOnce(Error) -> Broken) -> Unfit {
        if error.is_shortage() {
            Unfit::Failed(error)
        } else {
            Unfit::Broken(broken(error))
        }
    }
}

impl Server {
    /// Goes on with a predecessor's sessions, and lets in what has been published meanwhile.
    pub(super) fn take_over(&mut self) -> Result<()> {
        self.place.clean()?;
        let taken = self.place.taken_slots()?;
        self.free = (0..self.slots)
            .rev()
            .filter(|slot| taken.binary_search(slot).is_err())
            .collect();
        for slot in taken {
            self.resume(slot)?;
        }
        self.call_suspects();
        self.open_door()
    }

    /// Goes on with the session in a slot, or removes it.
    fn resume(&mut self, slot: u32) -> Result<()> {
        match self.place.open_slot(slot) {
            // No server gives out numbers beyond this.
            Ok(Some(directory)) if slot < self.slots.max(SLOTS) => {
                match self.try_resume(slot, &directory) {
                    Ok(()) => {}
                    Err(Unfit::Abandoned) => self.vacate(slot),
                    Err(Unfit::Broken(broken)) => {
                        self.refuse(&directory, broken)?;
                        self.vacate(slot);
                    }
                    Err(Unfit::Failed(error)) => return Err(error),
                }
            }
            Ok(_) => self.vacate(slot),
            Err(error) if error.is_shortage() => return Err(error),
            Err(error) => {
                self.vacate(slot);
                self.report(error);
            }
        }
        Ok(())
    }

    /// Goes on with a session; one whose next request is a suspect waits until it is called.
    fn try_resume(&mut self, slot: u32, directory: &Directory) -> Result<(), Unfit> {
        let seated = self.try_seat(slot, directory)?;
        let suspect = seated.seat.first_suspect()?;
        self.settle_in(slot, seated);
        match suspect {
            Some(deaths) if !self.suspects.quarantine.is_poisoned(deaths) => {
                self.suspects.quarantine.put_aside(slot, deaths);
            }
            // It may have asked already, and a predecessor may have watched it: looked at once in any case.
            _ => self.heat(slot),
        }
        Ok(())
    }

    /// Makes a session that is in its slot one of ours.
    pub(super) fn settle_in(&mut self, slot: u32, seated: Seated) {
        seated.seat.greet();
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
        self.stirred = true;
        self.ready.push_back(Event::Connected(peer));
    }

    /// Tells a client how it broke the protocol. Fails as [`tell`], and nothing has happened then.
    pub(super) fn refuse(&mut self, directory: &Directory, broken: Broken) -> Result<()> {
        let code = broken.code();
        tell(directory, Status::Corrupt { code })?;
        self.report(broken.into_error(&directory.path().display().to_string()));
        Ok(())
    }

    /// Reports what was refused.
    pub(super) fn report(&mut self, error: Error) {
        self.board.count(|page| &page.corrupt);
        self.ready.push_back(Event::Refused(Box::new(error)));
    }

    pub(super) fn try_seat(&mut self, slot: u32, directory: &Directory) -> Result<Seated, Unfit> {
        let no_lock = |error| Unfit::because(error, Broken::Lock);
        if !session::is_owner_alive(directory).map_err(no_lock)? {
            return Err(Unfit::Abandoned);
        }
        let (segment, header) = SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN)
            .open_with_header(directory, SEGMENT)
            .map_err(|error| Unfit::because(error, Broken::Segment))?;
        let (geometry, generation) = layout::read_geometry(segment.region())?;
        let payload = segment.region();
        let memory = Memory::new(payload, geometry).ok_or(Broken::Geometry {
            requests: geometry.request_capacity,
            replies: geometry.reply_capacity,
            payload: payload.len() as u64,
        })?;
        let no_bell = |error| Unfit::because(error, Broken::Bell);
        let up = Arc::new(BellReader::open(directory, UP).map_err(no_bell)?);
        // Nobody reads: its client is dead.
        let bell = BellWriter::open(directory, DOWN)
            .map_err(no_bell)?
            .ok_or(Unfit::Abandoned)?;
        let session = SessionId(generation);
        let peer = Peer::new(session, file::effective_uid(), header.creator());
        self.place.keep_lock_above(&up).map_err(Unfit::Failed)?;
        self.place.keep_lock_above(&bell).map_err(Unfit::Failed)?;
        self.version = self.version.wrapping_add(1) & VERSIONS;
        let version = self.version;
        let watch = |fd, source: Source, interest| {
            self.epoll
                .add(fd, source.pack(), interest)
                .map_err(Error::os("watch the bells of", directory.path()))
                .map_err(Unfit::Failed)
        };
        watch(up.as_fd(), Source::Bell { slot, version }, Interest::READ)?;
        watch(
            bell.as_fd(),
            Source::Death { slot, version },
            Interest::DEATH,
        )?;
        let server = &memory.server;
        // Epochs are nanoseconds of the wall clock, so that no predecessor has given out these numbers.
        let first = self.board.epoch();
        let pool = match server.epoch.load(Ordering::Relaxed) {
            0 => Pool::new(Side::Reply, first),
            _ => {
                let named = unread::segments(&memory, geometry, generation);
                Pool::resume(Side::Reply, first, directory, &named)
            }
        };
        server.slot.store(slot.into(), Ordering::Relaxed);
        server.epoch.store(self.board.epoch(), Ordering::Relaxed);
        server
            .flags
            .store(if self.directs { DIRECTS } else { 0 }, Ordering::Relaxed);
        let requests = memory.requests.clone();
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
            up: Arc::clone(&up),
            inherited: self.inherited,
            memory,
        };
        Ok(Seated {
            seat: Arc::new(Seat::new(peer, self.service.to_string(), opening, pool)?),
            hot: false,
            busy_at: self.served,
            quiet: None,
            requests,
            up,
            version,
        })
    }

    /// Takes out what stands in a slot, and frees it.
    pub(super) fn vacate(&mut self, slot: u32) {
        let cleared = self.place.clear_slot(slot);
        if slot < self.slots {
            match cleared {
                Ok(_) => self.free.push(slot),
                Err(_) => self.taken.push(slot),
            }
        }
        self.remains.add(&self.place, cleared);
    }

    /// Tries again to free the slots that could not be.
    pub(super) fn vacate_again(&mut self) {
        for slot in std::mem::take(&mut self.taken) {
            self.vacate(slot);
        }
    }
}

/// Tells every client of a service that is about to be removed.
pub(super) fn tell_all(place: &ServiceDir, status: Status) {
    for slot in place.taken_slots().unwrap_or_default() {
        if let Ok(Some(directory)) = place.open_slot(slot) {
            let _ = tell(&directory, status);
        }
    }
    tell_new(place, status);
}

/// Tells the clients that no server has let in.
pub(super) fn tell_new(place: &ServiceDir, status: Status) {
    for new in place.new_sessions().unwrap_or_default() {
        if let Ok(Some(directory)) = place.open_new(&new) {
            let _ = tell(&directory, status);
        }
    }
}

/// Writes a status into a session that is not ours, and rings its client. Of what is no session nobody is told.
///
/// # Errors
/// If this process lacks what it needs to tell it.
pub(super) fn tell(directory: &Directory, status: Status) -> Result<()> {
    let opened =
        SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN).open_at(directory, SEGMENT);
    let segment = match opened {
        Ok(segment) => segment,
        Err(error) if error.is_shortage() => return Err(error),
        Err(_) => return Ok(()),
    };
    if let Some(server) = Memory::server_line(segment.region()) {
        server.status.store(status.pack(), Ordering::Release);
        match BellWriter::open(directory, DOWN) {
            Ok(Some(bell)) => {
                let _ = bell.ring();
            }
            Err(error) if error.is_shortage() => return Err(error),
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}
