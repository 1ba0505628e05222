//! Sessions on their way through a service's directory: built and published by clients, given slots and removed by
//! the server.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::directory::holder::{self, LOCK};
use crate::directory::scratch::{self, HalfMade, Maker};
use crate::directory::service::{NEW, SLOTS, ServiceDir, TMP};
use crate::directory::view::ServiceView;
use crate::directory::{Directory, is_errno};
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::file;
use crate::sys::lock::{self, OfdLock};

/// So many sessions that are being built, or removed, or that the dead have left, are no reason for a client to look at who
/// serves.
const SPARED: u64 = 8;

impl ServiceView {
    /// Begins a session: a directory that nobody else sees. `None`: the service has just been removed; it is to be looked
    /// for again.
    pub(crate) fn build(&self, deadline: Deadline) -> Result<Option<SessionBuilder<'_>>> {
        // A server that runs removes what the dead leave as soon as it has nothing better to do.
        let ours_to_clean = || self.is_held().map(|held| !held);
        let begin = || {
            let new = self.directory().open_at(NEW)?;
            let maker = Maker::enter(self.directory(), TMP, deadline, SPARED, ours_to_clean)?;
            let (view, half) = (self, HalfMade::create(maker)?);
            Ok(SessionBuilder { view, new, half })
        };
        begin()
            .map(Some)
            .or_else(|error| self.unless_removed(error).map(|()| None))
    }

    /// An error, unless it is explained by the removal of the service.
    pub(crate) fn unless_removed(&self, error: Error) -> Result<()> {
        if is_errno(&error, Errno::NOENT) && !self.is_named()? {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// A session that is being built. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct SessionBuilder<'v> {
    view: &'v ServiceView,
    new: Directory,
    half: HalfMade,
}

impl SessionBuilder<'_> {
    /// The session's directory, to make its segment and FIFOs in.
    pub(crate) fn directory(&self) -> &Directory {
        self.half.directory()
    }

    /// A number that nobody else draws.
    pub(crate) fn number(&self) -> u64 {
        self.half.number()
    }

    /// Takes the session's lock, above its `fifo` (see [`ServiceDir::keep_lock_above`]; taken last, it seldom has to be
    /// moved there), and puts the complete session where the server, or the next one, looks for it. Then `tell` is
    /// called, so that a server has begun with it when this ends. `None`: the service was removed
    /// before; nothing is left of the session, and the service is to be looked for again.
    ///
    /// A server that removes the service afterwards finds the session and says in it that it is closed.
    pub(crate) fn publish(
        self,
        fifo: BorrowedFd<'_>,
        tell: impl FnOnce() -> Result<()>,
    ) -> Result<Option<SessionDir>> {
        let SessionBuilder { view, new, half } = self;
        let path = half.directory().path().join(LOCK);
        let locked = holder::create_lock(half.directory());
        let lock = locked.and_then(|mut lock| {
            lock.keep_above(fifo)?;
            Ok(lock)
        });
        let lock = match lock.map_err(Error::os("create", path)) {
            Ok(lock) => lock,
            Err(error) => return view.unless_removed(error).map(|()| None),
        };
        let name = half.name().to_owned();
        let (directory, making) = match half.publish(&new, &name) {
            Ok(published) => published,
            Err(error) => return view.unless_removed(error).map(|()| None),
        };
        let session = SessionDir {
            directory,
            name,
            _lock: lock,
        };
        let told = tell();
        // Where descriptors are short, a withdrawal needs these.
        drop((making, new));
        if let Err(error) = told {
            let _ = session.withdraw(view);
            return Err(error);
        }
        // What is published before the service loses its name is seen by its server's last look: see
        // `ServiceDir::retire`. What comes later sees here that the name is lost.
        if !view.is_named()? {
            return Ok(None);
        }
        Ok(Some(session))
    }
}

/// A session's directory, as its client has it. Dropping it ends the session: the server removes it.
#[derive(Debug)]
pub(crate) struct SessionDir {
    directory: Directory,
    name: CString,
    /// Held as long as the session is to live.
    _lock: OfdLock,
}

impl SessionDir {
    /// The directory, wherever the server has moved it.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Shows the session under the path of its slot from now on.
    pub(crate) fn in_slot(self, view: &ServiceView, slot: u32) -> SessionDir {
        let path = view.directory().path().join(SLOTS).join(slot.to_string());
        SessionDir {
            directory: self.directory.at(path),
            ..self
        }
    }

    /// Takes a session back that no server has taken up, and removes it. `false`: one has, or the service is gone;
    /// the session then ends like any other.
    pub(crate) fn withdraw(self, view: &ServiceView) -> Result<bool> {
        let path = self.directory.path().to_owned();
        // Where descriptors are short, this is one of the three that are needed; the lock is held until the end.
        drop(self.directory);
        let parts = [TMP, NEW].map(|part| view.directory().open_at(part));
        let [tmp, new] = match parts {
            [Ok(tmp), Ok(new)] => [tmp, new],
            [Err(error), _] | [_, Err(error)] => return view.unless_removed(error).map(|()| false),
        };
        let buried = scratch::bury(&new, &self.name, &tmp);
        drop(new);
        match buried {
            Ok(tombstone) => scratch::remove(&tmp, &tombstone, &[]).map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::os("withdraw", path)(errno)),
        }
    }
}

/// A session that waits for a server to take it up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewSession(CString);

impl NewSession {
    fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Sessions in the hand of the server. No descriptor is kept for any of them: a [`Directory`] that is given out is to
/// be dropped after use.
impl ServiceDir {
    /// The sessions that wait, in no order.
    pub(crate) fn new_sessions(&self) -> Result<Vec<NewSession>> {
        let names = file::names_in_own(&self.new).map_err(Error::os("list", self.new.path()))?;
        let ours = names.into_iter().filter(|name| file::is_random_name(name));
        Ok(ours.map(NewSession).collect())
    }

    /// The slots in which a session stands, in order.
    pub(crate) fn taken_slots(&self) -> Result<Vec<u32>> {
        let names = file::names_in(&self.slots).map_err(Error::os("list", self.slots.path()))?;
        let mut slots: Vec<u32> = names.iter().filter_map(|name| slot_of(name)).collect();
        slots.sort_unstable();
        Ok(slots)
    }

    /// Opens a session that waits; `None` if its client has withdrawn it.
    pub(crate) fn open_new(&self, session: &NewSession) -> Result<Option<Directory>> {
        unless_missing(self.new.open_at(session.text()))
    }

    /// Moves a session that waits into a free slot; `false` if its client has withdrawn it.
    ///
    /// # Errors
    /// [`Error::Os`] with `EEXIST` if the slot is not free.
    pub(crate) fn take_up(&self, session: &NewSession, slot: u32) -> Result<bool> {
        let name = slot.to_string();
        let moved = file::rename_at(&self.new, &*session.0, &self.slots, &*name);
        match moved {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::os("move a session to", self.slots.path().join(name))(errno)),
        }
    }

    /// Opens the session in a slot; `None` if there is none.
    pub(crate) fn open_slot(&self, slot: u32) -> Result<Option<Directory>> {
        unless_missing(self.slots.open_at(&slot.to_string()))
    }

    /// Whether the client of the session in a slot holds the session's lock. One that has died does not.
    pub(crate) fn is_owner_alive(&self, slot: u32) -> Result<bool> {
        self.open_slot(slot)?
            .map_or(Ok(false), |session| is_owner_alive(&session))
    }

    /// Takes the session in a slot out, whoever holds it, so that the slot is free. What it was is to be
    /// [removed](ServiceDir::remove_tombstone).
    pub(crate) fn clear_slot(&self, slot: u32) -> Result<Option<Tombstone>> {
        let name = CString::new(slot.to_string()).unwrap_or_default();
        self.bury(&self.slots, &name)
    }

    /// [`ServiceDir::clear_slot`] for a session that waits.
    pub(crate) fn clear_new(&self, session: &NewSession) -> Result<Option<Tombstone>> {
        self.bury(&self.new, &session.0)
    }

    /// Removes what a session was that has been taken out. `names` are those of its files that it is sure to have had.
    pub(crate) fn remove_tombstone(
        &self,
        Tombstone(name): &Tombstone,
        names: &[&str],
    ) -> Result<()> {
        scratch::remove(&self.tmp, name, names)
    }

    /// Removes what clients have left behind that died while they built a session.
    pub(crate) fn clean(&self) -> Result<()> {
        scratch::clean(&self.tmp)
    }

    fn bury(&self, parent: &Directory, name: &CStr) -> Result<Option<Tombstone>> {
        match scratch::bury(parent, name, &self.tmp) {
            Ok(tombstone) => Ok(Some(Tombstone(tombstone))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let path = parent.path().join(&*name.to_string_lossy());
                Err(Error::os("remove", path)(errno))
            }
        }
    }
}

/// A session that has lost its name and is to be removed.
#[derive(Debug)]
pub(crate) struct Tombstone(CString);

/// Whether the client of a session holds its lock.
pub(crate) fn is_owner_alive(session: &Directory) -> Result<bool> {
    match holder::open_to_look(session) {
        Ok(look) => lock::is_held(&look),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
    .map_err(Error::os("look at", session.path().join(LOCK)))
}

fn unless_missing(opened: Result<Directory>) -> Result<Option<Directory>> {
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if is_errno(&error, Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The slot of this name, in the one way in which it is written.
fn slot_of(name: &CStr) -> Option<u32> {
    let text = name.to_str().ok()?;
    text.parse()
        .ok()
        .filter(|slot: &u32| slot.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_name() {
        assert_eq!(slot_of(c"0"), Some(0));
        assert_eq!(slot_of(c"4294967295"), Some(u32::MAX));
        for other in [c"", c"00", c"+1", c"1 ", c"4294967296", c"x"] {
            assert_eq!(slot_of(other), None, "{other:?}");
        }
    }
}
