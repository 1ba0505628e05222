//! Which process is watched.

use super::{Monitor, PIDFD, PROBE, Watched};
use crate::detector::Detector;
use crate::error::{Error, Result};
use crate::sys::clock;
use crate::sys::poll::Interest;

impl Monitor {
    /// An error in a forked child: what is watched is its parent's.
    pub(super) fn check_fork(&self) -> Result<()> {
        match self.stamp.is_current() {
            true => Ok(()),
            false => Err(Error::Forked { what: "monitor" }),
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::directory::testing::Scratch;
    use crate::error::Error;
    use crate::session::Pollable;
    use crate::sys::fork::{fork_for_test, wait_for_test};
    use crate::sys::testing::alone;
    use crate::{MonitorOptions, ServerOptions, SupervisorOptions};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_forked_child_neither_watches_nor_stops_what_its_parent_does() {
        alone!(
            "a_forked_child_neither_watches_nor_stops_what_its_parent_does",
            || {
                let at = Scratch::new();
                let options = ServerOptions::new().directory(at.path());
                let _server = options.heartbeat(SOON).bind("svc").unwrap();
                let options = MonitorOptions::new().directory(at.path());
                let mut monitor = options.watch("svc").unwrap();
                let command = std::process::Command::new("true");
                let options = SupervisorOptions::new(command).directory(at.path());
                let mut supervisor = options.supervise("svc").unwrap();
                // It adopts this process.
                supervisor.next_timeout(SOON).unwrap().unwrap();
                while !monitor.arm().unwrap() {
                    monitor.try_next().unwrap();
                }
                for past in [false, true] {
                    let child = fork_for_test(past, || {
                        let told = [
                            monitor.try_next().map(drop),
                            monitor.look().map(drop),
                            monitor.arm().map(drop),
                            supervisor.try_next().map(drop),
                            supervisor.arm().map(drop),
                        ];
                        // Would be the end of its parent.
                        supervisor.stop();
                        let is_told =
                            |told: &Result<(), Error>| matches!(told, Err(Error::Forked { .. }));
                        i32::from(!told.iter().all(is_told))
                    });
                    assert_eq!(wait_for_test(child), 0);
                }
                monitor.look().unwrap();
                assert!(!supervisor.is_over());
            }
        );
    }
}
