//! How a monitor is set up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Monitor;
use crate::detector::Config;
use crate::directory::Name;
use crate::error::Result;
use crate::request::RequestKind;

/// What a probe asks unless told otherwise: a kind that no server knows, which it says, and that is an answer.
const PROBE: RequestKind = RequestKind::new("osps-ipc.probe");

/// How a [`Monitor`] watches. The last word is [`watch`](MonitorOptions::watch).
#[derive(Clone, Debug, Default)]
pub struct MonitorOptions {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) config: Config,
    pub(super) probe: Option<Probe>,
}

/// How the path is probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) kind: RequestKind,
    pub(super) every: Duration,
    pub(super) within: Duration,
}

impl MonitorOptions {
    /// The detector's defaults, no probe.
    pub fn new() -> MonitorOptions {
        MonitorOptions::default()
    }

    /// Looks for the service in this directory instead of the [default](crate::Directory::runtime).
    pub fn directory(mut self, path: impl AsRef<Path>) -> MonitorOptions {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// How patient the detector is.
    pub fn config(mut self, config: Config) -> MonitorOptions {
        self.config = config;
        self
    }

    /// Makes a request every so often, over a session of its own, and says whether it is answered in time: by
    /// whatever answer, also that the kind `osps-ipc.probe` is not known. A server keeps sessions for this, so that one
    /// that is full is not taken for one that hangs.
    ///
    /// Connecting waits for up to 50 ms, in a [`look`](Monitor::look); nothing else does.
    pub fn probe(self, every: Duration, within: Duration) -> MonitorOptions {
        self.probe_kind(PROBE, every, within)
    }

    /// [`probe`](MonitorOptions::probe) with requests of a kind that the server knows. They carry nothing.
    pub fn probe_kind(
        mut self,
        kind: RequestKind,
        every: Duration,
        within: Duration,
    ) -> MonitorOptions {
        self.probe = Some(Probe {
            kind,
            every,
            within,
        });
        self
    }

    /// Watches whoever serves under this name: a process of this pid namespace, now or later. It must have a heartbeat
    /// ([`ServerOptions::heartbeat`](crate::ServerOptions::heartbeat)): one without is called hung when it should have started.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`](crate::Error::BadName), [`Error::BadDirectory`](crate::Error::BadDirectory),
    /// [`Error::Os`](crate::Error::Os).
    pub fn watch(self, service: &str) -> Result<Monitor> {
        Monitor::new(&self, Name::new(service)?, true)
    }

    /// Watches what it is told to.
    pub(crate) fn wait_for_orders(&self, service: Name) -> Result<Monitor> {
        Monitor::new(self, service, false)
    }
}
