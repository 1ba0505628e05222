//! One process that serves under a name: its sessions, and the loop that turns them into events.

mod alarm;
mod batch;
mod block;
mod board;
mod delivery;
mod departures;
mod door;
mod draining;
mod event;
mod figures;
mod incoming;
mod looks;
mod options;
mod pause;
mod pulse;
mod remains;
mod seat;
mod sessions;
mod source;
mod suspects;
mod turns;
mod unread;

#[cfg(test)]
mod forks;
#[cfg(test)]
mod hazards;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

pub use batch::ReplyBatch;
pub use event::{End, Event, Notification, Peer, SessionId};
pub use figures::Figures;
pub use incoming::{Incoming, Question, Token};
pub use options::ServerOptions;

use self::board::Board;
use self::pause::Pause;
use self::pulse::Pulse;
use self::remains::Remains;
use self::seat::{Inherited, Quiet, Seat};
use self::source::Source;
use self::suspects::Suspects;
use crate::directory::service::ServiceDir;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::fifo::BellReader;
use crate::ring::memory::RingMemory;
use crate::session::layout::Status;
use crate::session::wait::{Patience, Step};
use crate::session::{Pollable, Wait};
use crate::sys::clock::{Deadline, Timeout};
use crate::sys::fork::Stamp;
use crate::sys::poll::{Epoll, Events};
use crate::sys::timer::Timer;

/// Looks at the hot sessions between two looks for bells of the cold ones: a few microseconds of those that find nothing, or 128
/// messages.
const LOOKS_A_COLLECT: u32 = 1024;
/// What a message counts, or a look after a pause: it takes some 30 ns where one that finds nothing takes 4.
const DEAR_LOOK: u32 = 8;

/// A server of one service: the one process that serves under its name.
///
/// It is driven by [`next_timeout`](Server::next_timeout), or by polling its descriptor: see
/// [`arm`](Server::arm). It has no thread of its own, and uses no CPU time while nothing happens.
///
/// What its predecessor had not answered when it died comes again, in the order of each session, as
/// [redelivered](Incoming::is_redelivered): handlers are run at least once, and each request is answered once. What was in
/// hand at the death comes one at a time: see [`ServerOptions::max_deaths`].
///
/// Dropped, it closes every session in good order and removes the service's directory. Dropped by a panic it leaves
/// everything in place, so that a successor can go on with the sessions.
#[derive(Debug)]
pub struct Server {
    service: Name,
    place: ServiceDir,
    /// The directory in which the slots are, for the sessions' hand-over segments.
    slots_directory: Arc<Directory>,
    board: Board,
    door: Arc<BellReader>,
    epoll: Epoll,
    events: Events,
    /// What rang, and is to be looked at.
    sources: VecDeque<Source>,
    patience: Patience,
    /// Whether a client has come or gone since the server last slept.
    stirred: bool,
    directs: bool,
    slots: u32,
    seats: Vec<Option<Seated>>,
    /// Slots in which nobody sits, the lowest last.
    free: Vec<u32>,
    /// Of sessions that are over, those that could not be freed.
    taken: Vec<u32>,
    /// The number of the last session; see [`Seated::version`].
    version: u32,
    /// Slots whose rings are watched, in the order of their turns.
    hot: VecDeque<u32>,
    /// Those that rang, which are given the next turns.
    rang: VecDeque<u32>,
    /// What is left of the turn of the first of them.
    turn: u32,
    looks: u32,
    /// Messages that had their turn.
    served: u64,
    /// Requests that were handed out.
    handed_out: u64,
    remains: Remains,
    /// Slots whose client's bell broke while its lock was held: to be looked at again.
    doubtful: Vec<Doubt>,
    /// When to look at the door again, as something was lacking to let a session in.
    knocks: Option<Deadline>,
    shortage: Pause,
    inherited: Inherited,
    suspects: Suspects,
    /// Tells who polls the server from outside of the next look that no bell tells of. Made when it is first needed.
    alarm: Option<Timer>,
    ready: VecDeque<Event>,
    draining: Option<Deadline>,
    told_drained: bool,
    pulse: Option<Pulse>,
    stamp: Stamp,
    /// Whether dropping it ends the service.
    is_bound: bool,
}

/// A session as the server's thread sees it.
#[derive(Debug)]
struct Seated {
    seat: Arc<Seat>,
    hot: bool,
    /// How much the server had served when this session last had work.
    busy_at: u64,
    requests: RingMemory,
    /// How the ring was when there was nothing to do: while its tail stands there, a load is look enough.
    quiet: Option<Quiet>,
    up: Arc<BellReader>,
    /// Tells this session's events from those of the one that had the slot before.
    version: u32,
}

/// A client whose bell has no reader, while its lock may be held: it is dying, or it is broken.
#[derive(Debug)]
struct Doubt {
    slot: u32,
    version: u32,
    pause: Pause,
    again: Deadline,
}

impl Server {
    /// Serves under `service` with the default options.
    ///
    /// # Errors
    ///
    /// As for [`ServerOptions::bind`].
    pub fn bind(service: &str) -> Result<Server> {
        ServerOptions::new().bind(service)
    }

    /// The name of the service.
    pub fn service(&self) -> &Name {
        &self.service
    }

    /// The service's directory, for segments and FIFO pairs that belong to it: they are removed with it.
    pub fn directory(&self) -> &Directory {
        self.place.directory()
    }

    /// The number of this server: greater than those of all before it under this name.
    pub fn epoch(&self) -> u64 {
        self.board.epoch()
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.seats.iter().flatten().count()
    }

    /// The next event; `None` when the time is up and there was none.
    ///
    /// # Errors
    ///
    /// Of the operating system, for what is the server's own. What a client does wrong ends that client's session
    /// and is an event.
    #[inline(always)]
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        match self.first_look() {
            Some(held) => Ok(Some(Event::of(held))),
            // Boxed on the way, so that the two ways do not meet in one place in memory.
            None => self
                .next_within(&mut Timeout::new(timeout))
                .map_err(|error| *error),
        }
    }

    /// Waits for an event.
    fn next_within(&mut self, timeout: &mut Timeout) -> Result<Option<Event>, Box<Error>> {
        self.patience.begin();
        let mut spins = false;
        loop {
            let event = match spins {
                true => self.look_on()?,
                false => self.look()?,
            };
            if event.is_some() {
                return Ok(event);
            }
            let step = match self.patience.wait() {
                Wait::Adaptive if !self.is_watching() && !timeout.is_zero() => {
                    match self.stirred {
                        // Clients that come and go soon come again: the bells are looked at for a moment.
                        true => self.patience.dear_step(timeout),
                        false => Step::Sleep,
                    }
                }
                _ => self.patience.step(timeout),
            };
            self.stirred &= step == Step::Again;
            spins = step == Step::Again;
            match step {
                Step::Again | Step::Check => {}
                Step::TimedOut => {
                    let event = self.look_everywhere()?;
                    if event.is_none() {
                        self.remains.remove_all(&self.place);
                    }
                    return Ok(event);
                }
                Step::Sleep if self.cool_all() => {
                    self.beat_idle();
                    self.collect(timeout.deadline())?;
                    self.patience.begin();
                    // Mostly there is what woke this thread, and then the clock need not be read.
                    if let Some(event) = self.look()? {
                        return Ok(Some(event));
                    }
                    if timeout.deadline().has_passed() {
                        return Ok(None);
                    }
                }
                Step::Sleep => self.patience.begin(),
            }
        }
    }

    /// The next event, if there is one now. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`next_timeout`](Server::next_timeout).
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        match self.first_look() {
            Some(held) => Ok(Some(Event::of(held))),
            None => self.look_everywhere(),
        }
    }

    /// Prepares to sleep outside: returns `false` if there is something to do already. After `true`, the server's
    /// descriptor becomes readable when [`try_next`](Server::try_next) may have something; call it until it has
    /// nothing, and then this again, before the descriptor is waited for the next time.
    ///
    /// # Errors
    ///
    /// As for [`next_timeout`](Server::next_timeout).
    pub fn arm(&mut self) -> Result<bool> {
        self.check_fork()?;
        if !self.ready.is_empty() || !self.cool_all() {
            return Ok(false);
        }
        // Bells that rang while others were served: who polls by edges would not be told of them again.
        self.collect(Deadline::passed())?;
        self.remains.remove_all(&self.place);
        let may_sleep = self.ready.is_empty() && !self.is_watching() && !self.is_drained();
        if may_sleep {
            self.epoll.forget_deadline();
            self.set_alarm()?;
            self.beat_idle();
        }
        Ok(may_sleep)
    }

    /// An error in a forked child, which shares nothing of this but the memory.
    fn check_fork(&self) -> Result<()> {
        if self.stamp.is_current() {
            Ok(())
        } else {
            Err(Error::Forked { what: "server" })
        }
    }
}

/// Readable when there is something for [`Server::try_next`], after [`Server::arm`]. It is an epoll's descriptor and
/// never shows a hang-up.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Pollable for Server {
    fn arm(&mut self) -> Result<bool> {
        Server::arm(self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A forked child has nothing to end.
        if !self.stamp.is_current() {
            return;
        }
        // A panic is a crash: what was not answered is for a successor.
        if std::thread::panicking() || !self.is_bound {
            self.abandon();
        } else {
            self.close(Status::Closed);
        }
    }
}
