//! How a server is set up.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::board::{Board, State};
use super::pause::Pause;
use super::pulse::Pulse;
use super::seat::Inherited;
use super::sessions;
use super::source::Source;
use super::suspects::Suspects;
use crate::directory::service::{DOOR, Origin, ServiceDir};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::fifo::BellReader;
use crate::quarantine::Quarantine;
use crate::session::Wait;
use crate::session::layout::Status;
use crate::session::wait::Patience;
use crate::sys::clock::Deadline;
use crate::sys::poll::{Epoll, Events, Interest};
use crate::sys::{fork, limits};

/// How long a server waits for one that is removing the service.
const CLAIM: Duration = Duration::from_secs(5);

/// The most sessions unless asked otherwise, if the limit on descriptors allows them.
pub(super) const SLOTS: u32 = 4096;

/// Descriptors that a session takes: the bell it rings and the one it is rung by.
const DESCRIPTORS_A_SESSION: u64 = 2;
/// Descriptors that are left for the server itself and for the program.
const DESCRIPTORS_LEFT: u64 = 64;

/// Deaths at which a request may have been in hand unless asked otherwise.
const DEATHS: u32 = 3;

/// How long a suspect is alone unless asked otherwise.
const TRIAL: Duration = Duration::from_secs(1);

/// How a [`Server`] is set up. The last word is [`bind`](ServerOptions::bind).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::{ServerOptions, Wait};
///
/// let name = format!("doc-options-{}", std::process::id());
/// let mut server = ServerOptions::new().sessions(8).wait(Wait::Park).bind(&name)?;
/// assert!(server.next_timeout(Duration::ZERO)?.is_none());
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerOptions {
    directory: Option<PathBuf>,
    sessions: Option<u32>,
    wait: Wait,
    directs: bool,
    budget: Option<Duration>,
    deaths: u32,
    trial: Duration,
}

impl ServerOptions {
    /// As many sessions as the limit on descriptors allows, up to 4096; adaptive waiting.
    pub fn new() -> ServerOptions {
        ServerOptions {
            directory: None,
            sessions: None,
            wait: Wait::default(),
            directs: false,
            budget: None,
            deaths: DEATHS,
            trial: TRIAL,
        }
    }

    /// Serves in this directory instead of the [default](Directory::runtime).
    pub fn directory(mut self, path: impl AsRef<Path>) -> ServerOptions {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// The most sessions at a time, at least one. The last two are kept for supervisors' probes: of two, one, and of one, none.
    pub fn sessions(mut self, most: u32) -> ServerOptions {
        self.sessions = Some(most);
        self
    }

    /// How to wait.
    pub fn wait(mut self, wait: Wait) -> ServerOptions {
        self.wait = wait;
        self
    }

    /// Has clients ask where requests of a kind go before they send the first:
    /// [`Event::Question`](super::Event::Question).
    pub fn directs(mut self) -> ServerOptions {
        self.directs = true;
        self
    }

    /// Beats while it serves, for whoever watches: see [`Server::heartbeat`](super::Server::heartbeat), and
    /// [`HeartbeatView`](crate::HeartbeatView) under the name `heartbeat` in the service's directory. The program is to come back for the next event within
    /// `budget`, which is best more than twice what it ever needs on an idle machine; zero leaves it to the watcher.
    ///
    /// [`bind`](Self::bind) waits up to a second for a predecessor that is dying and has not let go of its heartbeat.
    pub fn heartbeat(mut self, budget: Duration) -> ServerOptions {
        self.budget = Some(budget);
        self
    }

    /// The most deaths of servers at which a request may have been in hand and still be handed out again, at first 3.
    /// After more, the answer is [`Status::Poisoned`](crate::Status::Poisoned), and its session goes on. With 0, no
    /// request that was in a handler's hands is begun again; one that was answered is, if the answer found no room in the client's
    /// ring.
    ///
    /// Requests that were in hand when a server died are handed out by the next one at a time, over all sessions, so
    /// that the one at fault is told from the others. All else goes on meanwhile, but for what its own client
    /// asked after it. See [the FAQ](crate::faq#what-if-a-request-kills-its-server).
    pub fn max_deaths(mut self, deaths: u32) -> ServerOptions {
        self.deaths = deaths;
        self
    }

    /// How long such a request is alone, at first a second, before the next one is handed out beside it and it is no
    /// longer charged with a death; twice as long after each server that died within a minute. It should be longer than a
    /// handler that runs in a thread of its own takes to bring the server down.
    pub fn trial(mut self, alone: Duration) -> ServerOptions {
        self.trial = alone;
        self
    }

    /// Becomes the server of `service`. What a predecessor left is taken over: the sessions of clients that are
    /// alive go on, and their unanswered requests come as events.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] with who it is; [`Error::LockInherited`]; [`Error::TooManyDescriptors`] if the
    /// sessions that were asked for need more than the limit allows; [`Error::BadOption`] for none;
    /// [`Error::BadName`], [`Error::BadDirectory`], [`Error::NoSpace`].
    pub fn bind(self, service: &str) -> Result<Server> {
        let service = Name::new(service)?;
        let slots = self.slots()?;
        let runtime = match &self.directory {
            Some(path) => Directory::open(path)?,
            None => Directory::runtime()?,
        };
        let deadline = Deadline::after(CLAIM);
        let (mut place, board) = claim(&runtime, &service, deadline)?;
        let door = BellReader::open(place.directory(), DOOR)?;
        door.shrink();
        // Who sees our ends close is to find our lock free.
        place.keep_lock_above(&door)?;
        let pulse = match self.budget {
            Some(budget) => Some(Pulse::start(place.directory(), budget)?),
            None => None,
        };
        let path = place.directory().path();
        let epoll = Epoll::new().map_err(Error::os("create an epoll for", path))?;
        epoll
            .add(&door, Source::Door.pack(), Interest::READ)
            .map_err(Error::os("watch the door of", path))?;
        let trial = u64::try_from(self.trial.as_nanos()).unwrap_or(u64::MAX);
        let mut server = Server {
            inherited: Inherited {
                crashed: board.is_after_crash(),
                deaths: self.deaths,
            },
            suspects: Suspects::new(Quarantine::new(
                self.deaths,
                trial,
                board.soon_dead(),
                board.epoch(),
            )),
            slots_directory: Arc::new(place.slots().try_clone()?),
            service,
            board,
            door: Arc::new(door),
            epoll,
            events: Events::new(),
            sources: VecDeque::new(),
            patience: Patience::new(self.wait),
            stirred: false,
            directs: self.directs,
            slots,
            seats: Vec::new(),
            free: Vec::new(),
            taken: Vec::new(),
            version: 0,
            hot: VecDeque::new(),
            rang: VecDeque::new(),
            turn: 0,
            looks: 0,
            served: 0,
            handed_out: 0,
            remains: super::remains::Remains::default(),
            doubtful: Vec::new(),
            knocks: None,
            shortage: Pause::new(),
            alarm: None,
            ready: VecDeque::new(),
            draining: None,
            told_drained: false,
            pulse,
            stamp: fork::stamp(),
            // What cannot be taken over now is for the next to try.
            is_bound: place.origin() == Origin::New,
            place,
        };
        server.take_over()?;
        server.is_bound = true;
        server.board.set_state(State::Serving);
        Ok(server)
    }

    fn slots(&self) -> Result<u32> {
        let limit = limits::descriptor_limit();
        let most = limit.saturating_sub(DESCRIPTORS_LEFT) / DESCRIPTORS_A_SESSION;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        match self.sessions {
            Some(0) => Err(Error::BadOption {
                option: "sessions",
                reason: "a server of no session can serve nobody: ask for at least one",
            }),
            None => Ok(most.clamp(1, SLOTS)),
            Some(wanted) if wanted <= most => Ok(wanted),
            Some(wanted) => Err(Error::TooManyDescriptors {
                needed: u64::from(wanted) * DESCRIPTORS_A_SESSION + DESCRIPTORS_LEFT,
                limit,
            }),
        }
    }
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions::new()
    }
}

/// Holds the service's directory, afresh if what a predecessor left there cannot be used.
fn claim(runtime: &Directory, service: &Name, deadline: Deadline) -> Result<(ServiceDir, Board)> {
    let build = Board::create;
    let place = ServiceDir::claim(runtime, service, deadline, build)?;
    match Board::take_over(place.directory()) {
        Ok(board) => Ok((place, board)),
        Err(error) if error.is_shortage() || place.origin() == Origin::New => Err(error),
        Err(_) => {
            sessions::tell_all(&place, Status::Gone);
            let place = place.start_afresh(deadline, build)?;
            let board = Board::take_over(place.directory())?;
            Ok((place, board))
        }
    }
}
