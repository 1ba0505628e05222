//! The directory of a service, as its server has it once it is claimed.

use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::directory::holder::{Holder, LOCK, Role};
use crate::directory::scratch;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::file;
use crate::sys::lock::OfdLock;

/// The FIFO on which a client tells that a session is there.
pub(crate) const DOOR: &str = "door";
/// Sessions that are being built.
pub(super) const TMP: &str = "tmp";
/// Complete sessions that no server has taken up.
pub(super) const NEW: &str = "new";
/// Sessions in their slots.
pub(super) const SLOTS: &str = "s";
/// Services that are being built or removed; a name that no service can have.
pub(super) const RUNTIME_TMP: &str = ".tmp";

/// How a claimed directory came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was built by this claim.
    New,
    /// An earlier server left it: its board and its sessions are to be looked at.
    TakenOver,
}

/// The directory of a service, held. Dropping it lets go of the lock and leaves the directory to a successor.
#[derive(Debug)]
pub(crate) struct ServiceDir {
    pub(super) runtime: Directory,
    pub(super) service: Name,
    pub(super) directory: Directory,
    pub(super) tmp: Directory,
    pub(super) new: Directory,
    pub(super) slots: Directory,
    pub(super) lock: OfdLock,
    pub(super) origin: Origin,
}

impl ServiceDir {
    /// The service's directory.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory in which the slots are.
    pub(crate) fn slots(&self) -> &Directory {
        &self.slots
    }

    /// How this directory came about.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// To be called with every FIFO end that is opened, so that who learns of this process's death from it finds the
    /// lock free: see [`OfdLock::keep_above`].
    pub(crate) fn keep_lock_above(&mut self, fifo: impl AsFd) -> Result<()> {
        self.lock
            .keep_above(fifo)
            .map_err(Error::os("move", self.directory.path().join(LOCK)))
    }

    /// Takes the service's name away, so that it can be claimed anew. What clients publish from now on, they find to
    /// be too late; what they had published before is to be found in the directory.
    pub(crate) fn retire(&self) -> Result<RetiredService<'_>> {
        Holder::here(Role::Cleaner)
            .and_then(|holder| holder.record(&self.lock))
            .map_err(Error::os("write", self.directory.path().join(LOCK)))?;
        let name = c_name(&self.service)?;
        loop {
            let graveyard = self.runtime.subdirectory_at(RUNTIME_TMP)?;
            let is_named = is_named(&self.runtime, &self.service, &self.directory)?;
            let tombstone = match is_named {
                // Removed by hand: its name is not ours to take away.
                false => None,
                true => match scratch::bury(&self.runtime, &name, &graveyard) {
                    Ok(tombstone) => Some(tombstone),
                    // The directory for tombstones has just been removed as it was empty.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => {
                        return Err(Error::os("rename", self.directory.path())(errno));
                    }
                },
            };
            return Ok(RetiredService {
                held: self,
                graveyard,
                tombstone,
            });
        }
    }

    /// Takes the name away and removes the directory with all that is in it.
    pub(crate) fn remove(self) -> Result<()> {
        self.retire()?.delete()
    }

    /// Puts this directory aside, whose content cannot be used, and claims the name anew.
    pub(crate) fn start_afresh(
        self,
        deadline: Deadline,
        build: impl FnMut(&Directory) -> Result<()>,
    ) -> Result<ServiceDir> {
        let runtime = self.runtime.try_clone()?;
        let service = self.service.clone();
        self.remove()?;
        ServiceDir::claim(&runtime, &service, deadline, build)
    }
}

/// The directory of a service without its name: nobody can reach it anew, and its sessions are still there.
#[derive(Debug)]
pub(crate) struct RetiredService<'d> {
    held: &'d ServiceDir,
    graveyard: Directory,
    tombstone: Option<CString>,
}

impl RetiredService<'_> {
    /// The directory, for a last look: sessions that were published after the server last looked.
    pub(crate) fn service(&self) -> &ServiceDir {
        self.held
    }

    /// Removes the directory with all that is in it, and after it what of the runtime directory is empty.
    pub(crate) fn delete(self) -> Result<()> {
        let removed = self
            .tombstone
            .map_or(Ok(()), |name| scratch::remove(&self.graveyard, &name, &[]));
        leave_runtime(&self.held.runtime);
        removed
    }
}

/// Removes what is empty in a runtime directory, and the directory itself if it is the default one.
pub(super) fn leave_runtime(runtime: &Directory) {
    if let Ok(graveyard) = runtime.open_at(RUNTIME_TMP) {
        let _ = scratch::clean(&graveyard);
    }
    let _ = file::remove_directory_at(runtime, RUNTIME_TMP);
    runtime.leave();
}

pub(super) fn c_name(service: &Name) -> Result<CString> {
    CString::new(service.as_str()).map_err(|_| Error::BadName {
        name: service.to_string(),
        reason: "it contains a NUL byte",
    })
}

/// Whether the name still leads to this directory.
pub(super) fn is_named(runtime: &Directory, service: &Name, directory: &Directory) -> Result<bool> {
    is_same(runtime, service.as_str(), directory.identity())
}

pub(super) fn is_same(directory: &Directory, name: &str, identity: (u64, u64)) -> Result<bool> {
    match file::status_at(directory, name) {
        Ok(status) => Ok(status.identity == identity),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::os("look at", directory.path().join(name))(errno)),
    }
}

/// The error for a service whose lock file cannot be used.
pub(super) fn bad_lock(directory: &Directory, errno: Errno) -> Error {
    let path = directory.path().join(LOCK);
    let reason = match errno {
        Errno::NOENT => {
            "it is missing, so that nobody can tell whether a server runs; when none does, remove the directory above it"
        }
        Errno::INVAL | Errno::LOOP | Errno::ISDIR => "a lock file is a regular file",
        errno => return Error::os("open", path)(errno),
    };
    Error::BadFile {
        path,
        reason: reason.to_owned(),
    }
}
