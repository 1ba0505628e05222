//! One process, and all that can be seen of it from outside.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::report::ToldBy;
use crate::detector::{Death, Process, Pulse, Sample, Thread};
use crate::directory::holder::Role;
use crate::directory::service::DOOR;
use crate::directory::view::ServiceView;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::fifo::BellWriter;
use crate::heartbeat::{HEARTBEAT, HeartbeatView};
use crate::sys::pidfd::{Child, End, Pidfd};
use crate::sys::process::{Identity, Liveness};
use crate::sys::thread_facts::ProcDir;

/// How long an end without a known way is kept back: the kernel tells it when the process has been reaped by its parent,
/// which is seldom later.
const UNTOLD: u64 = 5_000_000;
/// Between two looks in that time.
const AGAIN: u64 = 500_000;

/// The processes that supervisors of this one have started and not reaped: to be reaped by whichever supervisor sees their end,
/// and by nobody else.
static STARTED: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn started() -> MutexGuard<'static, Vec<Identity>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a supervisor of this process has started this one, which nobody has reaped.
pub(crate) fn is_started(pid: u32) -> bool {
    // By more than its number, which can be another's by now.
    Identity::of(pid).is_ok_and(|identity| started().contains(&identity))
}

/// A process that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    service: Name,
    runtime: Directory,
    pidfd: Pidfd,
    identity: Identity,
    is_child: bool,
    proc: Option<ProcDir>,
    /// The service's directory with the heartbeat in it, once it is there.
    place: Option<(ServiceView, HeartbeatView)>,
    /// The thread that beats.
    thread: u32,
    dumping: bool,
    /// Since when its end is known, but not how it came.
    untold: Option<u64>,
}

/// What one look sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) process: Process,
    pub(super) pulse: Pulse,
    pub(super) told_by: ToldBy,
    /// When to look again for a reason of this look's.
    pub(super) again: Option<u64>,
}

impl Seen {
    /// There is no process to look at.
    pub(super) fn nothing() -> Seen {
        Seen {
            process: Process::Absent,
            pulse: Pulse::Missing,
            told_by: ToldBy::Nobody,
            again: None,
        }
    }
}

impl Watched {
    /// A child of this process, which has not been reaped.
    pub(crate) fn child(runtime: &Directory, service: &Name, pid: u32) -> Result<Watched> {
        let os = |errno| Error::os("watch", format!("/proc/{pid}"))(errno);
        let pidfd = Pidfd::open(pid).map_err(os)?;
        let identity = Identity::of(pid).map_err(os)?;
        let watched = Watched::new(runtime, service, pidfd, identity, true)?;
        started().push(identity);
        Ok(watched)
    }

    /// The process that holds the service's lock as its server; `None` if none does.
    pub(crate) fn server_of(runtime: &Directory, service: &Name) -> Result<Option<Watched>> {
        let Some(view) = ServiceView::find(runtime, service)? else {
            return Ok(None);
        };
        // Read before the look at the lock: what is recorded then is the one that holds it, or one before.
        let Some(holder) = view.holder()? else {
            return Ok(None);
        };
        if !view.is_held()? || holder.role != Role::Server {
            return Ok(None);
        }
        let identity = holder.identity;
        let pidfd = match Pidfd::open(identity.pid) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) if is_here(&identity)? => return Ok(None),
            Err(errno) => return Err(Error::os("watch", view.directory().path())(errno)),
        };
        match identity.liveness() {
            // The number was this process's when the descriptor had been opened, and is so still.
            Liveness::Alive if !pidfd.has_ended() => {}
            Liveness::Alive | Liveness::Dead => return Ok(None),
            Liveness::Unknown => {
                return Err(Error::BadFile {
                    path: view.directory().path().to_owned(),
                    reason: format!("{identity} serves, which cannot be watched from here"),
                });
            }
        }
        let is_child = started().contains(&identity);
        Watched::new(runtime, service, pidfd, identity, is_child).map(Some)
    }

    fn new(
        runtime: &Directory,
        service: &Name,
        pidfd: Pidfd,
        identity: Identity,
        is_child: bool,
    ) -> Result<Watched> {
        Ok(Watched {
            service: service.clone(),
            runtime: runtime.try_clone()?,
            // Without it, causes are not known.
            proc: ProcDir::open(pidfd.pid())
                .ok()
                .filter(|_| !pidfd.has_ended()),
            thread: pidfd.pid(),
            pidfd,
            identity,
            is_child,
            place: None,
            dumping: false,
            untold: None,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pidfd.pid()
    }

    /// Whether it has ended: proven.
    pub(crate) fn has_ended(&self) -> bool {
        self.pidfd.has_ended()
    }

    /// Whether a signal has stopped it, or its control group is frozen.
    pub(crate) fn is_held(&self) -> bool {
        use crate::detector::ThreadState;
        let is_held = |thread: u32| {
            let look = |proc: &ProcDir| proc.look(thread).thread;
            matches!(
                self.proc.as_ref().map(look),
                Some(Thread::Seen(facts)) if facts.frozen || facts.state == ThreadState::Stopped
            )
        };
        // The first thread may have ended.
        is_held(self.pid()) || (self.thread != self.pid() && is_held(self.thread))
    }

    /// Sends it a signal.
    pub(crate) fn end(&self, how: End) -> Result<()> {
        self.pidfd
            .end(how)
            .map_err(Error::os("end", format!("/proc/{}", self.pid())))
    }

    /// Takes note of the end of a child; what is reaped has no number any more.
    pub(crate) fn reap(&self) {
        if self.is_child {
            // Reaped by another: as well.
            let _ = self.pidfd.reap();
            started().retain(|started| *started != self.identity);
        }
    }

    /// Rings its door: a loop that is there beats then. `false` if this process lacks what that takes.
    pub(super) fn challenge(&self) -> bool {
        let Some((view, _)) = &self.place else {
            return false;
        };
        match BellWriter::open(view.directory(), DOOR) {
            Ok(door) => {
                // Without a reader nobody will come: which the silence will tell.
                let _ = door.map(|door| door.ring());
                true
            }
            Err(error) => !error.is_shortage(),
        }
    }

    pub(super) fn see(&mut self, now: u64, wants_thread: bool) -> Result<Seen> {
        // The end first: what the heartbeat says after it is the last that it says.
        let ended = self.pidfd.has_ended();
        let pulse = self.pulse()?;
        let mut seen = Seen {
            process: Process::Running(Thread::Unread),
            pulse,
            told_by: ToldBy::Nobody,
            again: None,
        };
        if ended {
            self.see_the_end(now, &mut seen)?;
        } else if (wants_thread || self.dumping)
            && let Some(proc) = &self.proc
        {
            let found = proc.look(self.thread);
            self.dumping = found.dumping;
            seen.process = match found.dumping {
                true => Process::Dumping,
                false => Process::Running(found.thread),
            };
        }
        Ok(seen)
    }

    fn see_the_end(&mut self, now: u64, seen: &mut Seen) -> Result<()> {
        // A child can be one that another part of this process has started: it is left for that one to reap.
        let told = match self.pidfd.peek() {
            Ok(Child::Ended(death)) => Some((death, ToldBy::Wait)),
            _ => None,
        };
        let told = told.or_else(|| self.pidfd.death().map(|death| (death, ToldBy::Pidfd)));
        let farewell = matches!(
            seen.pulse,
            Pulse::Read(Sample { farewell: true, .. })
                | Pulse::Unlinked(Sample { farewell: true, .. })
        );
        let (death, told_by) = match told {
            Some(told) => told,
            None if farewell => (Death::Unknown, ToldBy::Farewell),
            None if now < self.untold.get_or_insert(now).saturating_add(UNTOLD) => {
                seen.again = Some(now.saturating_add(AGAIN));
                return Ok(());
            }
            None => (Death::Unknown, ToldBy::Nobody),
        };
        seen.process = Process::Ended(death);
        seen.told_by = told_by;
        Ok(())
    }

    /// What stands in its heartbeat, which is looked for until it is there.
    fn pulse(&mut self) -> Result<Pulse> {
        if self.place.is_none() {
            self.place = self.find_heartbeat()?;
        }
        let Some((_, heartbeat)) = &self.place else {
            return Ok(Pulse::Missing);
        };
        let Some(reading) = heartbeat.read().filter(|read| read.owner == self.identity) else {
            // Another's by now, or being reset.
            self.place = None;
            return Ok(Pulse::Missing);
        };
        if reading.thread != 0 {
            self.thread = reading.thread;
        }
        let sample = reading.sample;
        // A farewell explains that the name is gone.
        Ok(match !sample.farewell && heartbeat.is_unlinked()? {
            true => Pulse::Unlinked(sample),
            false => Pulse::Read(sample),
        })
    }

    fn find_heartbeat(&self) -> Result<Option<(ServiceView, HeartbeatView)>> {
        let Ok(Some(view)) = ServiceView::find(&self.runtime, &self.service) else {
            return Ok(None);
        };
        match HeartbeatView::open_at(view.directory(), HEARTBEAT) {
            Ok(heartbeat) => {
                let is_its = heartbeat.owner() == Some(self.identity);
                Ok(is_its.then_some((view, heartbeat)))
            }
            Err(error) if error.is_shortage() => Err(error),
            // Not there yet, or nothing that can be read.
            Err(_) => Ok(None),
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Whether an identity's number counts in this process's namespace.
fn is_here(identity: &Identity) -> Result<bool> {
    Identity::current()
        .map(|here| here.pid_ns == identity.pid_ns)
        .map_err(Error::os("read", "/proc/self"))
}
