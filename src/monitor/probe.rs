//! Probes over the path that clients take.

use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use super::options::Probe;
use crate::client::{Client, ClientOptions, RequestId};
use crate::detector::nanos;
use crate::error::Error;
use crate::sys::clock::Deadline;
use crate::sys::poll::{Epoll, Interest, any_readable};

/// How long connecting may hold up a look.
const CONNECT: Duration = Duration::from_millis(50);

/// What the probes found of the path from a client to the server's handler and back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Probed {
    /// It is not probed.
    NotProbed,
    /// No probe has been made yet.
    Unknown,
    /// The last probe was answered.
    Works {
        /// In this time.
        took: Duration,
    },
    /// The last probe was not answered in time.
    Fails {
        /// What happened instead.
        why: String,
    },
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probed::NotProbed => f.write_str("the path is not probed"),
            Probed::Unknown => f.write_str("the path has not been probed yet"),
            Probed::Works { took } => write!(f, "a probe was answered in {took:.1?}"),
            Probed::Fails { why } => write!(f, "the path fails: {why}"),
        }
    }
}

/// Makes the probes, one at a time. Its session outlives the server, like every client's.
#[derive(Debug)]
pub(super) struct Prober {
    probe: Probe,
    directory: PathBuf,
    service: String,
    client: Option<Client>,
    /// The probe that is out, and since when.
    asked: Option<(RequestId, u64)>,
    /// When something is due: a probe, or the end of the time for one.
    due: u64,
    probed: Probed,
    /// Since the last that was answered.
    failed: u32,
}

impl Prober {
    pub(super) fn new(probe: Probe, directory: PathBuf, service: String) -> Prober {
        Prober {
            probe,
            directory,
            service,
            client: None,
            asked: None,
            due: 0,
            probed: Probed::Unknown,
            failed: 0,
        }
    }

    /// When a look is due for its sake.
    pub(super) fn next(&self) -> Option<u64> {
        Some(self.due)
    }

    /// Prepares to sleep: whether there is something to take already.
    pub(super) fn has_answer(&mut self) -> bool {
        let Some(client) = &mut self.client else {
            return false;
        };
        match client.arm() {
            Ok(true) => any_readable(&[client.as_fd()], Deadline::passed()).unwrap_or(false),
            Ok(false) => true,
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    /// Another process will serve: its descriptor is to be heard again, and the next probe is due.
    pub(super) fn resume(&mut self, epoll: &Epoll, token: u64) -> crate::Result<()> {
        if let Some(client) = &self.client {
            epoll
                .add(client, token, Interest::READ)
                .map_err(Error::os("watch the probe of", &self.directory))?;
        }
        self.asked = None;
        self.due = 0;
        self.probed = Probed::Unknown;
        self.failed = 0;
        Ok(())
    }

    /// Nobody serves: what the session's descriptor shows is not to be heard.
    pub(super) fn rest(&mut self, epoll: &Epoll) {
        if let Some(client) = &self.client {
            let _ = epoll.remove(client);
        }
    }

    /// Takes an answer, notes that none came, or asks anew. Asks only a server that is well: another is known to be ill.
    pub(super) fn step(
        &mut self,
        now: u64,
        is_well: bool,
        epoll: &Epoll,
        token: u64,
    ) -> (Probed, u32) {
        self.take(now);
        if now >= self.due {
            self.due = now.saturating_add(nanos(self.probe.every).max(1_000_000));
            if let Some((_, at)) = self.asked {
                self.failed = self.failed.saturating_add(1);
                let waited = Duration::from_nanos(now.saturating_sub(at));
                self.probed = Probed::Fails {
                    why: format!("no answer for {waited:.1?}"),
                };
            } else if is_well && let Err(error) = self.ask(now, epoll, token) {
                self.fail(&error);
            }
        }
        (self.probed.clone(), self.failed)
    }

    fn take(&mut self, now: u64) {
        let Some(client) = &mut self.client else {
            return;
        };
        loop {
            match client.try_next_reply() {
                Ok(Some(reply)) if !reply.status().is_final() => {}
                Ok(Some(reply)) => {
                    if let Some((_, at)) = self.asked.take_if(|(id, _)| *id == reply.id()) {
                        let took = now.saturating_sub(at);
                        self.due = at.saturating_add(nanos(self.probe.every)).max(now);
                        self.failed = 0;
                        self.probed = Probed::Works {
                            took: Duration::from_nanos(took),
                        };
                    }
                }
                Ok(None) => return,
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn ask(&mut self, now: u64, epoll: &Epoll, token: u64) -> crate::Result<()> {
        if self.client.is_none() {
            let client = ClientOptions::new()
                .directory(&self.directory)
                .probe()
                .capacity(4096, 4096)
                .connect(&self.service, CONNECT)?;
            epoll
                .add(&client, token, Interest::READ)
                .map_err(Error::os("watch the probe of", &self.directory))?;
            self.client = Some(client);
        }
        if let Some(client) = &mut self.client {
            self.asked = client.ask_now(self.probe.kind)?.map(|id| (id, now));
            self.due = now.saturating_add(nanos(self.probe.within).max(1_000_000));
        }
        Ok(())
    }

    /// The session is of no use any more: the next probe makes another.
    fn fail(&mut self, error: &Error) {
        self.client = None;
        self.asked = None;
        if !error.is_shortage() {
            self.failed = self.failed.saturating_add(1);
        }
        self.probed = Probed::Fails {
            why: error.to_string(),
        };
    }
}
