//! The directory of a service, as its clients have it.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::io::Errno;

use crate::directory::holder::{self, Holder, LOCK};
use crate::directory::service::{bad_lock, is_named, leave_runtime};
use crate::directory::{Directory, Missing, Name, is_errno};
use crate::error::{Error, Result};
use crate::sys::clock::{Backoff, Deadline};
use crate::sys::lock;
use crate::sys::watch::Watch;

/// A service that was found: its server may be dead, and its name may be taken away at any time.
#[derive(Debug)]
pub(crate) struct ServiceView {
    runtime: Directory,
    service: Name,
    directory: Directory,
    /// The lock file, once it was looked at: a client that is let in at once need not.
    lock: OnceLock<OwnedFd>,
}

impl ServiceView {
    /// Looks for a service; `None` if there is none of this name.
    pub(crate) fn find(runtime: &Directory, service: &Name) -> Result<Option<ServiceView>> {
        match runtime.current(Missing::Leave)? {
            Some(runtime) => ServiceView::find_in(runtime, service),
            None => Ok(None),
        }
    }

    /// [`find`](ServiceView::find) in a runtime directory of which it is known that it stands under its path: one that was
    /// just opened.
    pub(crate) fn find_in(runtime: Directory, service: &Name) -> Result<Option<ServiceView>> {
        match runtime.open_at(service.as_str()) {
            Err(error) if is_errno(&error, Errno::NOENT) => Ok(None),
            opened => Ok(Some(ServiceView {
                directory: opened?,
                runtime,
                service: service.clone(),
                lock: OnceLock::new(),
            })),
        }
    }

    /// Waits until there is a service of this name; `None` if there is none when the deadline passes. The runtime
    /// directory may be removed and made again meanwhile.
    pub(crate) fn wait_for(
        runtime: &Directory,
        service: &Name,
        deadline: Deadline,
    ) -> Result<Option<ServiceView>> {
        if let Some(view) = ServiceView::find(runtime, service)? {
            return Ok(Some(view));
        }
        let mut backoff = Backoff::new();
        loop {
            // Watched first and looked for then, so that nothing is missed in between.
            let watch = watch_for(runtime, service);
            if let Some(view) = ServiceView::find(runtime, service)? {
                return Ok(Some(view));
            }
            let in_time = match watch {
                Ok(watch) => watch
                    .wait(deadline)
                    .map_err(Error::os("watch", runtime.path()))?,
                // All the watches of this user are used up, or what lies above may not be read.
                Err(_) => backoff.wait(deadline),
            };
            if !in_time {
                let view = ServiceView::find(runtime, service)?;
                if view.is_none() {
                    leave_runtime(runtime);
                }
                return Ok(view);
            }
        }
    }

    /// The name under which it was found.
    pub(crate) fn service(&self) -> &Name {
        &self.service
    }

    /// Tells when [`is_named`](Self::is_named) is to be asked again, after a first time.
    pub(crate) fn watch(&self) -> rustix::io::Result<Watch> {
        watch_for(&self.runtime, &self.service)
    }

    /// The service's directory.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether the name still leads to this directory. If not, there is another service by now, or none.
    pub(crate) fn is_named(&self) -> Result<bool> {
        is_named(&self.runtime, &self.service, &self.directory)
    }

    /// Whether the lock is held: by a server, by one that is just ending, or by what a dead one has left behind.
    pub(crate) fn is_held(&self) -> Result<bool> {
        self.look_at_lock("look at", |lock| lock::is_held(lock))
            .map(|held| held.unwrap_or(false))
    }

    /// Who recorded itself as the holder last; it may be dead. `None` too for a service that was removed.
    pub(crate) fn holder(&self) -> Result<Option<Holder>> {
        self.look_at_lock("read", Holder::read).map(Option::flatten)
    }

    /// What `look` finds in the lock file; `None` if it is gone with the service.
    fn look_at_lock<T>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&OwnedFd) -> rustix::io::Result<T>,
    ) -> Result<Option<T>> {
        let lock = match self.lock.get() {
            Some(lock) => lock,
            None => match holder::open_to_look(&self.directory) {
                Ok(lock) => self.lock.get_or_init(|| lock),
                Err(Errno::NOENT) if !self.is_named()? => return Ok(None),
                Err(errno) => return Err(bad_lock(&self.directory, errno)),
            },
        };
        look(lock)
            .map(Some)
            .map_err(Error::os(doing, self.directory.path().join(LOCK)))
    }
}

fn watch_for(runtime: &Directory, service: &Name) -> rustix::io::Result<Watch> {
    let path = runtime.path();
    let mut watch = Watch::new()?;
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        watch.add(parent, name.as_encoded_bytes())?;
    }
    match watch.add(path, service.as_str()) {
        // The watch above tells when it is there.
        Ok(()) | Err(Errno::NOENT) => Ok(watch),
        Err(errno) => Err(errno),
    }
}
