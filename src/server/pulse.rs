//! The server's signs of life: its loop beats when it comes round, and any ring at the door makes it come round.

use std::time::Duration;

use super::Server;
use crate::detector::Phase;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::heartbeat::{HEARTBEAT, Heartbeat};
use crate::sys::clock::{Backoff, Deadline};

/// How long the kernel may take, on a busy machine, to close the descriptors of a process that ends.
const DYING: Duration = Duration::from_secs(1);

/// A heartbeat with what the server says between two beats.
#[derive(Debug)]
pub(super) struct Pulse {
    heart: Heartbeat,
    working: Phase,
}

impl Pulse {
    /// A predecessor that is dying may have let go of the service, and not yet of its heartbeat: that is waited for.
    pub(super) fn start(directory: &Directory, budget: Duration) -> Result<Pulse> {
        let deadline = Deadline::after(DYING);
        let mut backoff = Backoff::new();
        let heart = loop {
            match Heartbeat::create_at(directory, HEARTBEAT) {
                Err(Error::AlreadyBeating { .. }) if backoff.wait(deadline) => {}
                made => break made?,
            }
        };
        Ok(Pulse {
            heart,
            working: Phase::Working { budget },
        })
    }
}

impl Server {
    /// The heartbeat, if the server was [asked](super::ServerOptions::heartbeat) to have one.
    ///
    /// The server beats whenever it is asked for an event, and is idle while it sleeps. What takes long in between,
    /// beats here.
    pub fn heartbeat(&mut self) -> Option<&mut Heartbeat> {
        self.pulse.as_mut().map(|pulse| &mut pulse.heart)
    }

    /// The loop has come round.
    #[inline(always)]
    pub(super) fn beat(&mut self) {
        if self.pulse.is_some() {
            self.beat_working();
        }
    }

    #[inline(never)]
    fn beat_working(&mut self) {
        if let Some(pulse) = &mut self.pulse {
            // A forked child was told already, and what others write here does not keep the server from its work.
            let _ = pulse.heart.enter(pulse.working);
        }
    }

    /// The loop is about to sleep until something wakes it.
    pub(super) fn beat_idle(&mut self) {
        if let Some(pulse) = &mut self.pulse {
            let phase = match pulse.working {
                Phase::Working { .. } => Phase::Idle,
                stopping => stopping,
            };
            let _ = pulse.heart.enter(phase);
        }
    }

    /// The server has begun to end.
    pub(super) fn beat_stopping(&mut self) {
        if let Some(pulse) = &mut self.pulse {
            pulse.working = Phase::Stopping;
        }
        self.beat();
    }

    /// It ends in good order.
    pub(super) fn farewell(&mut self) {
        if let Some(pulse) = self.pulse.take() {
            pulse.heart.farewell();
        }
    }
}
