//! How a session comes about: built in private, published whole, taken up by the server.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::link::{self, Link};
use super::options::ClientOptions;
use crate::directory::session::SessionDir;
use crate::directory::view::ServiceView;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::fifo::{BellReader, BellWriter};
use crate::ring::raw::{RawConsumer, RawProducer};
use crate::session::layout::{Geometry, Memory, Status, UP};
use crate::session::{Broken, Wait};
use crate::sys::clock::{self, Deadline};
use crate::sys::poll::{self, Interest};
use crate::sys::thread;
use crate::sys::watch::Watch;

/// A session that is published and has not been taken up yet.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) memory: Memory,
    pub(super) geometry: Geometry,
    pub(super) generation: u64,
    pub(super) requests: RawProducer<3>,
    pub(super) replies: RawConsumer<2>,
    pub(super) down: BellReader,
    pub(super) place: SessionDir,
}

/// How long a server takes at most to let a session in, as a rule.
const USUAL: Duration = Duration::from_millis(100);
/// Between two looks at the name of a service that cannot be watched.
const LONGEST: Duration = Duration::from_secs(1);

/// How a client that waits learns that a service has lost its name.
#[derive(Debug)]
enum NameWatch {
    /// The kernel tells.
    Told(Watch),
    /// It is looked at after such a pause.
    Looked(Duration),
}

impl ClientOptions {
    /// A session with `service` that its server has taken up. The service is looked for unless it is `found`. What
    /// `meanwhile` makes, while the server lets the session in, is returned too: our end of the server's bell
    /// ([`Published::open_up`]) and what else can wait till then. It is called again if the service is removed before.
    pub(super) fn link<T>(
        &self,
        runtime: &Directory,
        service: &Name,
        mut found: Option<ServiceView>,
        deadline: Deadline,
        mut meanwhile: impl FnMut(&Published) -> Result<(BellWriter, T)>,
    ) -> Result<(Link, T)> {
        let not_running = || Error::NotRunning {
            service: service.to_string(),
            directory: runtime.path().to_owned(),
        };
        loop {
            let view = match found.take() {
                Some(view) => Some(view),
                None => ServiceView::wait_for(runtime, service, deadline)?,
            };
            let Some(view) = view else {
                return Err(not_running());
            };
            if deadline.has_passed() && !view.is_held()? {
                return Err(not_running());
            }
            let published = match self.publish(&view, deadline) {
                // What was being made is gone with the service.
                Err(_) if !view.is_named()? && !deadline.has_passed() => continue,
                published => published?,
            };
            let Some(published) = published else {
                continue;
            };
            let made = meanwhile(&published);
            let status = match made {
                Ok(_) => published.await_server(self.wait, &view, deadline),
                // A server that refuses a session removes it at once: what it said of it goes first.
                Err(_) => published.known_status(service).map(Some),
            };
            let status = match status {
                Ok(Some(status)) => status,
                Ok(None) => continue,
                Err(error) => {
                    drop(made);
                    let _ = published.withdraw(&view);
                    return Err(error);
                }
            };
            match (status, made) {
                (Status::Open, Ok((up, made))) => {
                    let published = published.in_slot(&view);
                    return Ok((Link::new(service.clone(), published, up), made));
                }
                // Taken away from under us: perhaps there is another by now.
                (Status::Closed | Status::Gone, _)
                    if !view.is_named()? && !deadline.has_passed() => {}
                (Status::Pending | Status::Open, made) => {
                    let failed = made.err();
                    let withdrawn = published.withdraw(&view);
                    if let Some(error) = failed {
                        // Gone with the service, the session is no error, but another is to be made.
                        view.unless_removed(error)?;
                        if !deadline.has_passed() {
                            continue;
                        }
                    }
                    withdrawn?;
                    return Err(match view.is_held()? {
                        true => deadline.timed_out(format!(
                            "service {:?} to let a session in",
                            service.as_str()
                        )),
                        false => not_running(),
                    });
                }
                (status, _) => link::check(status, service)?,
            }
        }
    }
}

impl Published {
    /// Takes it back: also from a server that takes it up this very moment.
    fn withdraw(self, view: &ServiceView) -> Result<bool> {
        self.memory.client.leaving.store(1, Ordering::Relaxed);
        // Where descriptors are short, it needs this one too.
        drop(self.down);
        self.place.withdraw(view)
    }

    /// Opens our end of the server's bell. Nobody learns of our death by it, so that it may have a higher number than the lock.
    pub(super) fn open_up(&self) -> Result<BellWriter> {
        BellWriter::open_ahead(self.place.directory(), UP)
    }

    /// Waits until the server has said something of the session; `Pending` if it has not in time. `None`: the service
    /// was removed, perhaps by a server that died before it could say so.
    fn await_server(
        &self,
        wait: Wait,
        view: &ServiceView,
        deadline: Deadline,
    ) -> Result<Option<Status>> {
        let mut name = None;
        if wait != Wait::Park {
            self.spin();
        }
        // The ring that tells of it may be on its way: one too many, like any other.
        if let Some(status) = Status::unpack(self.status())
            && status != Status::Pending
        {
            return Ok(Some(status));
        }
        loop {
            // Taken off first: what is rung for after this look is seen by the next wait.
            self.down.drain();
            let is_named = name.is_none() || view.is_named()?;
            let status = self.known_status(view.service())?;
            if status != Status::Pending || deadline.has_passed() {
                return Ok(Some(status));
            }
            if !is_named {
                return Ok(None);
            }
            if name.is_some() {
                // Who waits for longer is told where nobody can serve, as the lock file cannot be used.
                view.is_held()?;
            }
            self.wait_for_news(view, &mut name, deadline)
                .map_err(Error::os(
                    "wait for the bell of",
                    self.place.directory().path(),
                ))?;
        }
    }

    /// Waits until the server has rung, or the service's name is to be looked at. Mostly the server rings at once, and the
    /// name is not watched.
    fn wait_for_news(
        &self,
        view: &ServiceView,
        name: &mut Option<NameWatch>,
        deadline: Deadline,
    ) -> rustix::io::Result<()> {
        let (watch, pause) = match name {
            Some(NameWatch::Told(watch)) => {
                poll::any_readable(&[self.down.as_fd(), watch.as_fd()], deadline)?;
                // It is looked at in any case.
                return watch.wait(Deadline::passed()).map(drop);
            }
            Some(NameWatch::Looked(pause)) => (None, *pause),
            None => (Some(view), USUAL),
        };
        let soon = deadline.min(Deadline::after(pause));
        if poll::wait_one(&self.down, Interest::READ, soon)?.is_none() {
            *name = Some(match watch.map(ServiceView::watch) {
                Some(Ok(watch)) => NameWatch::Told(watch),
                // All the watches of this user are used up.
                _ => NameWatch::Looked((pause * 2).min(LONGEST)),
            });
        }
        Ok(())
    }

    /// Looks for what the server says for as long as one needs that has to wake first. The core is offered to others
    /// all the time: the server may need this very one.
    fn spin(&self) {
        /// Twice what a server takes that is awake.
        const LONGEST_NS: u64 = 100_000;
        const LOOKS: u32 = 64;
        let until = clock::monotonic_ns().saturating_add(LONGEST_NS);
        while clock::monotonic_ns() < until {
            for _ in 0..LOOKS {
                if self.status() != Status::Pending.pack() {
                    return;
                }
                std::hint::spin_loop();
            }
            thread::give_way();
        }
    }

    /// What the server has said of it up to now.
    fn known_status(&self, service: &Name) -> Result<Status> {
        let word = self.status();
        Status::unpack(word).ok_or_else(|| Broken::Status(word).into_error(service.as_str()))
    }

    fn status(&self) -> u64 {
        // SYNC(status): pairs with the server's store.
        self.memory.server.status.load(Ordering::Acquire)
    }

    /// Shows the session under the path of its slot from now on.
    fn in_slot(self, view: &ServiceView) -> Published {
        let slot = self.memory.server.slot.load(Ordering::Relaxed);
        Published {
            place: self
                .place
                .in_slot(view, u32::try_from(slot).unwrap_or(u32::MAX)),
            ..self
        }
    }
}
