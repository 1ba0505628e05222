//! Which process is watched.

use super::{Monitor, PIDFD, PROBE, Watched};
use crate::detector::Detector;
use crate::error::{Error, Result};
use crate::sys::clock;
use crate::sys::poll::Interest;

impl Monitor {
    /// Watches this process from now on.
    pub(crate) fn follow(&mut self, watched: Watched) -> Result<()> {
        self.forget();
        self.epoll
            .add(&watched, PIDFD, Interest::READ)
            .map_err(Error::os("watch the process of", self.runtime.path()))?;
        if let Some(prober) = &mut self.prober {
            prober.resume(&self.epoll, PROBE)?;
        }
        self.watched = Some(watched);
        self.since = clock::monotonic_ns();
        self.next = Some(self.since);
        self.last = None;
        self.told = None;
        Ok(())
    }

    /// Watches nothing from now on; gives what was watched.
    pub(crate) fn forget(&mut self) -> Option<Watched> {
        self.detector = Detector::new(&self.config);
        self.next = None;
        let watched = self.watched.take()?;
        if let Some(prober) = &mut self.prober {
            prober.rest(&self.epoll);
        }
        // It would be told for as long as its descriptor is open.
        let _ = self.epoll.remove(&watched);
        Some(watched)
    }

    pub(crate) fn watched(&self) -> Option<&Watched> {
        self.watched.as_ref()
    }

    /// Watches the process that serves, if there is one.
    pub(super) fn seek(&mut self) -> Result<()> {
        match Watched::server_of(&self.runtime, &self.service)? {
            Some(watched) => self.follow(watched),
            None => Ok(()),
        }
    }
}
