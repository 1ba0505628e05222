//! Starts the process that serves, watches it, stops it if it hangs, and starts it again.
//!
//! What is done when is decided by pure parts: the [detector](crate::detector) says what is wrong, the
//! [restart policy](crate::restart) whether and when to start anew. A [`Supervisor`] does it:
//!
//! * A new process is started only when the one before is *confirmed* gone, by its pidfd.
//! * A process that hangs is killed: a loop that does not come round does not end in good order either. One that is to be
//!   stopped is asked by SIGTERM, and killed after a grace time; one that is stopped by a signal would not see that, and
//!   is killed at once.
//! * A service that runs already, under whomever, is adopted: who holds its lock is watched, and is replaced only when
//!   it has ended. So the supervisor's own death does no harm to the service, and its successor goes on with it. One that
//!   is found ending is replaced when it has ended, whatever the policy says of clean ends: it was asked to before.
//! * One supervisor at a time: it holds the lock of a service of its own, `NAME.watchdog`.
//! * Only its own children are reaped, by number, never "any child", which would take those of
//!   [`std::process::Child`].

mod clients;
mod ends;
mod event;
mod options;
mod steps;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::time::Duration;

pub use event::{Event, Rung};
pub use options::SupervisorOptions;

use crate::detector::Verdict;
use crate::directory::Name;
use crate::directory::service::ServiceDir;
use crate::error::{Error, Result};
use crate::monitor::{Monitor, Report};
use crate::restart::{self, ExitCause, Restarts, StopLadder};
use crate::session::{Pollable, wait_any};
use crate::sys::clock::{self, Deadline};
use crate::sys::fork::{self, Stamp};
use crate::sys::poll::{Epoll, Events, Interest};
use crate::sys::timer::Timer;

const MONITOR: u64 = 0;
const TIMER: u64 = 1;

/// Keeps one service running.
///
/// It has no thread: it works when it is asked for the next [`Event`], which is to be done all the time. Dropped, it
/// leaves the service running; to end that too, [`stop`](Supervisor::stop) it and take events until it
/// [is over](Supervisor::is_over).
///
/// # Examples
///
/// ```no_run
/// use std::process::Command;
/// use std::time::Duration;
/// use osps_ipc::SupervisorOptions;
///
/// let mut command = Command::new("/usr/libexec/my-server");
/// command.arg("--quiet");
/// let mut supervisor = SupervisorOptions::new(command).supervise("my-service")?;
/// while !supervisor.is_over() {
///     if let Some(event) = supervisor.next_timeout(Duration::from_secs(3600))? {
///         println!("{event}");
///     }
/// }
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Supervisor {
    command: Command,
    monitor: Monitor,
    restarts: Restarts,
    grace: Duration,
    /// After how many failed probes in a row it is replaced.
    failed_probes: Option<NonZeroU32>,
    state: State,
    /// Whether the process has been ready since it was started.
    ready: bool,
    /// Whether somebody else has started it.
    is_adopted: bool,
    /// When it was started or adopted.
    since: u64,
    is_subreaper: bool,
    events: VecDeque<Event>,
    epoll: Epoll,
    timer: Timer,
    /// Whether the timer is set.
    armed: bool,
    watchdog: Option<ServiceDir>,
    stamp: Stamp,
}

/// What the supervisor is about.
#[derive(Debug)]
enum State {
    /// To start it at this time.
    Due(u64),
    /// It runs.
    Running,
    /// It is being stopped, for this reason.
    Stopping(StopLadder, ExitCause),
    /// Nothing more will be done.
    Over,
}

impl Supervisor {
    fn new(options: SupervisorOptions, service: Name) -> Result<Supervisor> {
        let monitor = options.monitor.wait_for_orders(service)?;
        let runtime = monitor.runtime();
        let path = runtime.path().join(monitor.service().as_str());
        let os = |doing| Error::os(doing, &path);
        let own = Name::new(format!("{}.watchdog", monitor.service()))?;
        // Who comes second is told by whom the service is supervised.
        let watchdog =
            ServiceDir::claim(runtime, &own, Deadline::after(options.claim), |_| Ok(()))?;
        if options.is_subreaper {
            crate::sys::pidfd::become_subreaper().map_err(os("become the reaper for"))?;
        }
        let epoll = Epoll::new().map_err(os("create an epoll for"))?;
        let timer = Timer::new().map_err(os("create a timer for"))?;
        epoll
            .add(&timer, TIMER, Interest::READ)
            .and_then(|()| epoll.add(&monitor, MONITOR, Interest::READ))
            .map_err(os("watch the timer of"))?;
        let seed = crate::sys::file::random_u64().map_err(os("draw a random number for"))?;
        Ok(Supervisor {
            command: options.command,
            restarts: Restarts::new(options.policy, seed),
            grace: options.grace,
            failed_probes: options.failed_probes,
            monitor,
            state: State::Due(0),
            ready: false,
            is_adopted: false,
            since: 0,
            is_subreaper: options.is_subreaper,
            events: VecDeque::new(),
            epoll,
            timer,
            armed: false,
            watchdog: Some(watchdog),
            stamp: fork::stamp(),
        })
    }

    /// The service.
    pub fn service(&self) -> &Name {
        self.monitor.service()
    }

    /// The process that serves, or gets ready to.
    pub fn pid(&self) -> Option<u32> {
        self.monitor.pid()
    }

    /// Whether the process serves: it has been ready since it was started.
    pub fn is_ready(&self) -> bool {
        let is_dead = |last: &Report| matches!(last.verdict(), Verdict::Dead { .. });
        self.ready && matches!(self.state, State::Running) && !self.last().is_some_and(is_dead)
    }

    /// Whether nothing more will be done: it was stopped, ended for good, or was given up.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over) && self.events.is_empty()
    }

    /// Whether the service was given up because it ended too often.
    pub fn has_given_up(&self) -> bool {
        self.restarts.has_given_up()
    }

    /// What the last look at the process saw.
    pub fn last(&self) -> Option<&Report> {
        self.monitor.last()
    }

    /// The last ends of the process, oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &restart::End> {
        self.restarts.history()
    }

    /// How many restarts are left before the service is given up.
    pub fn restarts_left(&self) -> u32 {
        self.restarts.left(clock::monotonic_ns())
    }

    /// Begins to end the service: SIGTERM now, SIGKILL after the grace time. It is not started again, and what it could
    /// not remove itself is removed. Asked for a second time, there is no grace any more. In a forked child this does nothing.
    pub fn stop(&mut self) {
        if !self.stamp.is_current() {
            return;
        }
        if matches!(self.state, State::Due(_)) {
            // Somebody else may have started it. Who cannot be watched cannot be stopped.
            let _ = self.adopt(clock::monotonic_ns());
        }
        match &mut self.state {
            State::Due(_) => {
                self.state = State::Over;
                self.clear();
                self.events.push_back(Event::Stopped);
            }
            State::Running => self.stop_for(StopLadder::ask(self.grace), ExitCause::Stopped),
            State::Stopping(ladder, cause) => {
                if *cause == ExitCause::Stopped {
                    ladder.hurry();
                }
                *cause = ExitCause::Stopped;
            }
            State::Over => {}
        }
        // A signal that could not be sent is tried again, and told, with the next event.
        let _ = self.descend(clock::monotonic_ns());
    }

    /// The next event; `None` when the time is up and there was none, or nothing more will come.
    ///
    /// # Errors
    ///
    /// Of the operating system, for what is the supervisor's own. What goes wrong with the service is an event.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        let deadline = Deadline::after(timeout);
        let mut shown = Events::new();
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(Some(event));
            }
            if self.is_over() || deadline.has_passed() {
                return Ok(None);
            }
            if matches!(self.state, State::Running) && self.monitor.is_due() {
                continue;
            }
            let due = self.due().map_or(Deadline::never(), Deadline::at_ns);
            self.epoll
                .wait(&mut shown, deadline.min(due))
                .map_err(Error::os("wait for", self.monitor.runtime().path()))?;
        }
    }

    /// Does what is to be done now, and gives the next event if there is one. Never waits, but for the time that starting
    /// a process takes.
    ///
    /// # Errors
    ///
    /// As for [`next_timeout`](Supervisor::next_timeout).
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        self.check_fork()?;
        if self.events.is_empty() {
            self.work()?;
        }
        Ok(self.events.pop_front())
    }

    /// Switches the timers off, which would show for as long as they are not set anew.
    fn disarm(&mut self) -> Result<()> {
        self.monitor.disarm()?;
        if !std::mem::take(&mut self.armed) {
            return Ok(());
        }
        self.timer
            .set(None)
            .map_err(Error::os("set a timer for", self.monitor.runtime().path()))
    }

    /// When something is to be done without an event.
    fn due(&self) -> Option<u64> {
        match &self.state {
            State::Due(at) => Some(*at),
            State::Running => self.monitor.next_look(),
            State::Stopping(..) => self.rung_until(),
            State::Over => None,
        }
    }
}

/// Ends several services at the same time, and waits until all are over; `false` when the time is up before that. What
/// else happens meanwhile is not told.
///
/// # Errors
///
/// As for [`Supervisor::next_timeout`].
pub fn stop_all(supervisors: &mut [&mut Supervisor], timeout: Duration) -> Result<bool> {
    let deadline = Deadline::after(timeout);
    for supervisor in supervisors.iter_mut() {
        supervisor.stop();
    }
    loop {
        let mut left: Vec<&mut dyn Pollable> = Vec::new();
        for supervisor in supervisors.iter_mut() {
            while supervisor.try_next()?.is_some() {}
            if !supervisor.is_over() {
                left.push(*supervisor);
            }
        }
        if left.is_empty() {
            return Ok(true);
        }
        if deadline.has_passed() {
            return Ok(false);
        }
        wait_any(&mut left, deadline.remaining().unwrap_or(Duration::MAX))?;
    }
}

/// The exit code by which a program that could not become the server says to its supervisor what to do:
/// [`EXIT_ALREADY_RUNNING`](restart::EXIT_ALREADY_RUNNING) where another one serves, which is then watched, else 1.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::AlreadyRunning { .. } => u8::try_from(restart::EXIT_ALREADY_RUNNING).unwrap_or(1),
        _ => 1,
    }
}

impl Pollable for Supervisor {
    fn arm(&mut self) -> Result<bool> {
        self.check_fork()?;
        let due = self.due();
        if !self.events.is_empty() || due.is_some_and(|at| clock::monotonic_ns() >= at) {
            return Ok(false);
        }
        self.armed = true;
        self.epoll.forget_deadline();
        self.timer
            .set(due)
            .map_err(Error::os("set a timer for", self.monitor.runtime().path()))?;
        match self.state {
            State::Running => self.monitor.arm(),
            // Its end shows without.
            _ => Ok(true),
        }
    }
}

/// Readable when there is something for [`Supervisor::try_next`], after [`Pollable::arm`]. It is an epoll's descriptor
/// and never shows a hang-up.
impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // One whose death was told, and not acted on yet.
        if let Some(dead) = self.monitor.watched().filter(|it| it.has_ended()) {
            dead.reap();
        }
        // A crash leaves it for the next, like every other process's.
        if !std::thread::panicking()
            && let Some(watchdog) = self.watchdog.take()
        {
            let _ = watchdog.remove();
        }
    }
}
