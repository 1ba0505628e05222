//! How a supervisor is set up.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Supervisor;
use crate::detector::Config;
use crate::directory::Name;
use crate::error::Result;
use crate::monitor::MonitorOptions;
use crate::restart::Policy;

/// How long a supervisor waits for one that is just ending.
const CLAIM: Duration = Duration::from_secs(5);

/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How a [`Supervisor`] works. The last word is [`supervise`](SupervisorOptions::supervise).
#[derive(Debug)]
pub struct SupervisorOptions {
    pub(super) command: Command,
    pub(super) monitor: MonitorOptions,
    pub(super) policy: Policy,
    pub(super) grace: Duration,
    pub(super) claim: Duration,
    pub(super) failed_probes: Option<NonZeroU32>,
    pub(super) is_subreaper: bool,
}

impl SupervisorOptions {
    /// Starts processes by this command, whose program is to become the server of the service, with a
    /// [heartbeat](crate::ServerOptions::heartbeat): without one it is not seen to be ready, and is killed when the
    /// time for that is over.
    ///
    /// Each gets a process group of its own, so that Ctrl-C reaches the supervisor and not what that would then start again,
    /// and nothing to read from. Its output should not be a pipe to the supervisor: the service outlives it.
    pub fn new(command: Command) -> SupervisorOptions {
        SupervisorOptions {
            command,
            monitor: MonitorOptions::new(),
            policy: Policy::default(),
            grace: GRACE,
            claim: CLAIM,
            failed_probes: None,
            is_subreaper: false,
        }
    }

    /// The service stands in this directory instead of the [default](crate::Directory::runtime). The program must be
    /// told too.
    pub fn directory(mut self, path: impl AsRef<Path>) -> SupervisorOptions {
        self.monitor = self.monitor.directory(path);
        self
    }

    /// How patient the detector is.
    pub fn config(mut self, config: Config) -> SupervisorOptions {
        self.monitor = self.monitor.config(config);
        self
    }

    /// When and how often to restart.
    pub fn policy(mut self, policy: Policy) -> SupervisorOptions {
        self.policy = policy;
        self
    }

    /// How long a process may take to end when it is asked to: 5 s.
    pub fn grace(mut self, grace: Duration) -> SupervisorOptions {
        self.grace = grace;
        self
    }

    /// Probes the path that clients take: see [`MonitorOptions::probe`]. What the probes find is told, and nothing is
    /// done for it unless [asked for](SupervisorOptions::replace_after): a path can be slow for many reasons.
    pub fn probe(mut self, every: Duration, within: Duration) -> SupervisorOptions {
        self.monitor = self.monitor.probe(every, within);
        self
    }

    /// Replaces a process that beats, when so many probes in a row were not answered: its loop comes round, and nobody gets
    /// anything from it. It is asked to end first. Not done unless asked for: on a busy machine a path is slow, too.
    pub fn replace_after(mut self, failed_probes: NonZeroU32) -> SupervisorOptions {
        self.failed_probes = Some(failed_probes);
        self
    }

    /// Makes this process the parent of every process under it whose own parent dies, and reaps those. Only for a process
    /// that starts no child but by supervisors: others would be reaped too.
    pub fn subreaper(mut self) -> SupervisorOptions {
        self.is_subreaper = true;
        self
    }

    /// Keeps `service` running: adopts the process that serves, or starts one, with the first
    /// [event](Supervisor::next_timeout).
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`](crate::Error::AlreadyRunning) if another supervisor does it, with who that is;
    /// [`Error::BadName`](crate::Error::BadName) (the name with `.watchdog` behind it must be one too);
    /// [`Error::BadDirectory`](crate::Error::BadDirectory), [`Error::Os`](crate::Error::Os).
    pub fn supervise(self, service: &str) -> Result<Supervisor> {
        Supervisor::new(self, Name::new(service)?)
    }
}
