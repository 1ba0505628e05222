//! Watches the process that serves: alive, suspect, hung or dead, and how that is known.
//!
//! A [`Monitor`] puts together what can be seen of a process from outside, and has the
//! [detector](crate::detector) judge it: a pidfd (which alone proves an end), its
//! [heartbeat](crate::Heartbeat), the state and the clocks of the thread that beats, the control group, the
//! suspensions of the machine. If asked to, it also takes the very path that clients take: a beat proves the loop, an
//! answer proves the path.
//!
//! It has no thread: it looks when it is asked to, and [`Monitor::next_timeout`] or its descriptor say when that is. It
//! never does anything to the process but ring its door, when it is idle and has been silent for long.

mod following;
mod options;
mod probe;
mod report;
mod watched;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

pub use options::MonitorOptions;
pub use probe::Probed;
pub use report::{Report, ToldBy};

use self::probe::Prober;
use self::report::Kind;
pub(crate) use self::watched::{Watched, is_started};
use crate::detector::{Config, Detector, Look, Process, Verdict, nanos};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::session::Pollable;
use crate::sys::clock::{self, Deadline};
use crate::sys::fork::{self, Stamp};
use crate::sys::poll::{Epoll, Events, Interest};
use crate::sys::timer::Timer;

/// Between two looks at a process that gets ready, at first: its being ready is told that soon.
const EAGER: u64 = 1_000_000;

const PIDFD: u64 = 0;
const TIMER: u64 = 1;
const PROBE: u64 = 2;

/// Watches one service: the process that serves now, and after its end the one that serves next.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::{MonitorOptions, ServerOptions, detector::Verdict};
///
/// let name = format!("doc-monitor-{}", std::process::id());
/// let mut server = ServerOptions::new().heartbeat(Duration::from_millis(100)).bind(&name)?;
/// let mut monitor = MonitorOptions::new().watch(&name)?;
/// assert!(server.try_next()?.is_none());
/// let report = monitor.look()?;
/// assert_eq!(report.verdict(), Verdict::Alive);
/// println!("{report}");
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    runtime: Directory,
    service: Name,
    config: Config,
    detector: Detector,
    watched: Option<Watched>,
    prober: Option<Prober>,
    epoll: Epoll,
    timer: Timer,
    /// When to look next; `None` when only an event is worth a look.
    next: Option<u64>,
    /// Since when this process is watched.
    since: u64,
    /// Whether to look for a process when there is none; a supervisor says itself which one.
    seeks: bool,
    last: Option<Report>,
    /// What was told last.
    told: Option<Kind>,
    /// An end that only [`look`](Monitor::look) has told of.
    untold: Option<Report>,
    /// Whether the timer is set.
    armed: bool,
    stamp: Stamp,
}

impl Monitor {
    fn new(options: &MonitorOptions, service: Name, seeks: bool) -> Result<Monitor> {
        let runtime = match &options.directory {
            Some(path) => Directory::open(path)?,
            None => Directory::runtime()?,
        };
        let os = |doing| Error::os(doing, runtime.path().join(service.as_str()));
        let epoll = Epoll::new().map_err(os("create an epoll for"))?;
        let timer = Timer::new().map_err(os("create a timer for"))?;
        epoll
            .add(&timer, TIMER, Interest::READ)
            .map_err(os("watch the timer of"))?;
        Ok(Monitor {
            prober: options.probe.map(|probe| {
                Prober::new(
                    probe,
                    runtime.path().to_owned(),
                    service.as_str().to_owned(),
                )
            }),
            detector: Detector::new(&options.config),
            config: options.config.clone(),
            runtime,
            service,
            watched: None,
            epoll,
            timer,
            next: Some(0),
            since: clock::monotonic_ns(),
            seeks,
            last: None,
            told: None,
            untold: None,
            armed: false,
            stamp: fork::stamp(),
        })
    }

    /// The service that is watched.
    pub fn service(&self) -> &Name {
        &self.service
    }

    /// The runtime directory in which it stands.
    pub(crate) fn runtime(&self) -> &Directory {
        &self.runtime
    }

    /// The process that is watched now.
    pub fn pid(&self) -> Option<u32> {
        self.watched.as_ref().map(Watched::pid)
    }

    /// What the last look saw.
    pub fn last(&self) -> Option<&Report> {
        self.last.as_ref()
    }

    /// Mean and standard deviation of the intervals between beats, as they were seen from here, and how many are known.
    pub fn intervals(&self) -> (Duration, Duration, usize) {
        self.detector.intervals()
    }

    /// Looks now, and says what is to be thought of the process.
    ///
    /// # Errors
    ///
    /// Of the operating system, for what is the monitor's own: descriptors, memory. What is wrong with the
    /// process is a verdict.
    pub fn look(&mut self) -> Result<Report> {
        self.check_fork()?;
        let report = self.see()?;
        // The next look is at another process, and would not tell it to who waits for changes.
        if self.seeks && matches!(report.verdict(), Verdict::Dead { .. }) {
            self.untold = Some(report.clone());
        }
        Ok(report)
    }

    fn see(&mut self) -> Result<Report> {
        let now = clock::monotonic_ns();
        let seen = self.see_at(now);
        if seen.is_err() {
            self.next = Some(now.saturating_add(nanos(self.config.period).max(EAGER)));
        }
        seen
    }

    fn see_at(&mut self, now: u64) -> Result<Report> {
        if self.watched.is_none() && self.seeks {
            self.seek()?;
        }
        let wants_thread = self.detector.wants_thread();
        let seen = match &mut self.watched {
            Some(watched) => watched.see(now, wants_thread)?,
            None => watched::Seen::nothing(),
        };
        let suspended = clock::boottime_ns().saturating_sub(clock::monotonic_ns());
        let judgement = self.detector.look(&Look {
            now,
            suspended,
            process: seen.process,
            pulse: seen.pulse,
        });
        if judgement.challenge
            && let Some(watched) = &self.watched
            && watched.challenge()
        {
            self.detector.challenged(clock::monotonic_ns());
        }
        let is_well = matches!(judgement.verdict, Verdict::Alive | Verdict::Suspect { .. });
        let (probed, failed_probes) = match &mut self.prober {
            Some(prober) => prober.step(now, is_well, &self.epoll, PROBE),
            None => (Probed::NotProbed, 0),
        };
        let report = Report {
            judgement,
            pid: self.pid(),
            told_by: seen.told_by,
            probed,
            failed_probes,
        };
        self.plan(now, &report, seen.again);
        if self.seeks && matches!(seen.process, Process::Ended(_)) {
            self.forget();
            self.next = Some(now);
        }
        self.last = Some(report.clone());
        Ok(report)
    }

    /// The next change of the verdict or of the path, looking as often as is needed; `None` when the time is up. The
    /// first verdict is a change. The level of suspicion alone is none.
    ///
    /// # Errors
    ///
    /// As for [`look`](Monitor::look).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Report>> {
        let deadline = Deadline::after(timeout);
        let mut events = Events::new();
        loop {
            if let Some(report) = self.try_next()? {
                return Ok(Some(report));
            }
            if deadline.has_passed() {
                return Ok(None);
            }
            if self.is_due() {
                continue;
            }
            let next = self.next_look().map_or(Deadline::never(), Deadline::at_ns);
            self.epoll
                .wait(&mut events, deadline.min(next))
                .map_err(Error::os("wait for the process of", self.runtime.path()))?;
        }
    }

    /// A look, if one is due, and what it changed. Never waits, but for what a probe's connect takes. Asked more than a quarter of a
    /// period late, it trusts its own looks less, and calls a process hung later.
    ///
    /// # Errors
    ///
    /// As for [`look`](Monitor::look).
    pub fn try_next(&mut self) -> Result<Option<Report>> {
        self.check_fork()?;
        self.disarm()?;
        if !self.is_due() {
            return Ok(None);
        }
        let report = match self.untold.take() {
            Some(report) => report,
            None => self.see()?,
        };
        let kind = report.kind();
        // That there is none is no news after its death.
        let silent = matches!(report.verdict(), Verdict::NoPeer) && self.told.is_some();
        if silent || self.told.as_ref() == Some(&kind) {
            return Ok(None);
        }
        self.told = Some(kind);
        Ok(Some(report))
    }

    /// When the next look is due, in nanoseconds of the monotonic clock; `None` when only an event is worth one.
    pub(crate) fn next_look(&self) -> Option<u64> {
        let probe = self.prober.as_ref().and_then(Prober::next);
        self.next.into_iter().chain(probe).min()
    }

    /// Whether a look is due; if not, everything that would make it due shows at the descriptor, but for the time.
    pub(crate) fn is_due(&mut self) -> bool {
        self.untold.is_some()
            || self
                .next_look()
                .is_some_and(|at| clock::monotonic_ns() >= at)
            || self.watched.as_ref().is_some_and(Watched::has_ended)
            || self.prober.as_mut().is_some_and(Prober::has_answer)
    }

    /// Switches the timer off, which would show for as long as it is not set anew.
    pub(crate) fn disarm(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.armed) {
            return Ok(());
        }
        self.timer
            .set(None)
            .map_err(Error::os("set the timer of", self.runtime.path()))
    }

    fn plan(&mut self, now: u64, report: &Report, again: Option<u64>) {
        let period = nanos(self.config.period).max(EAGER);
        let eager = (now.saturating_sub(self.since) / 8).clamp(EAGER, period);
        let more = match report.verdict() {
            Verdict::NoPeer if self.seeks => Some(now.saturating_add(period)),
            Verdict::Starting => Some(now.saturating_add(eager)),
            _ => again,
        };
        self.next = self.detector.next_look(now).into_iter().chain(more).min();
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Perhaps it was made for this one alone. A supervisor goes on to use it, and leaves it itself.
        if self.seeks && self.stamp.is_current() {
            self.runtime.leave();
        }
    }
}

impl Pollable for Monitor {
    fn arm(&mut self) -> Result<bool> {
        self.check_fork()?;
        if self.is_due() {
            return Ok(false);
        }
        self.armed = true;
        self.epoll.forget_deadline();
        self.timer
            .set(self.next_look())
            .map_err(Error::os("set the timer of", self.runtime.path()))?;
        Ok(true)
    }
}

/// Readable when there is something for [`Monitor::try_next`], after [`Pollable::arm`]. It is an epoll's descriptor and
/// never shows a hang-up.
impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
