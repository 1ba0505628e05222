//! How a process becomes the server of a service.
//!
//! One process at a time holds the write lock of `lock`, for its life, and only the holder renames or removes.
//! How a claim comes out, whatever others do at the same time:
//!
//! 1. No directory stands under the name: one is built under a random name, its lock held and its holder
//!    recorded, and renamed to its name in one step. Whoever comes second in that step finds the name taken and
//!    goes on with 2.
//! 2. A directory stands there and its lock is free: the lock is taken. Between opening and taking, the one before may
//!    have removed it: unless the name leads to this directory and this lock file, the claim starts over.
//! 3. The lock is held by a server: that one serves. By a cleaner: it is waited for.
//! 4. The lock is held and nobody has recorded it yet, which the lock itself tells by its length: that holder is waited
//!    for, however long it is kept from writing who it is.
//! 5. The lock is held and its recorded holder is proven dead: either the old one is not yet wholly gone, or a child of it
//!    has inherited the lock. The first passes.

use std::time::Duration;

use rustix::io::Errno;

use crate::directory::holder::{self, Holder, LOCK, Role};
use crate::directory::scratch::{self, HalfMade, Maker};
use crate::directory::service::{
    DOOR, NEW, Origin, RUNTIME_TMP, SLOTS, ServiceDir, TMP, bad_lock, c_name, is_named, is_same,
};
use crate::directory::{Directory, Missing, Name, is_errno};
use crate::error::{Error, Result};
use crate::sys::clock::{Backoff, Deadline};
use crate::sys::lock::{self, OfdLock};
use crate::sys::process::Identity;
use crate::sys::{fifo, file};

/// How long a lock may outlast the proof that its holder is dead before it counts as inherited: the kernel frees
/// the two in either order, and a child that is about to `exec` keeps it until then.
const GRACE: Duration = Duration::from_millis(250);

enum Step {
    Claimed(Box<ServiceDir>),
    StartOver,
    /// Held by somebody whose end, or whose record, is to be waited for.
    Held(Option<Holder>),
}

impl ServiceDir {
    /// Becomes the server of a service: builds its directory, or takes over the one that is there. `build` adds to a
    /// new directory what belongs to the layers above, before anybody sees it; it may be called more than once.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if another serves; [`Error::LockInherited`] if the lock outlives its dead holder;
    /// [`Error::TimedOut`] if a cleaner does not end before the deadline.
    pub(crate) fn claim(
        runtime: &Directory,
        service: &Name,
        deadline: Deadline,
        mut build: impl FnMut(&Directory) -> Result<()>,
    ) -> Result<ServiceDir> {
        let mut backoff = Backoff::new();
        let name = service.as_str();
        let mut tries_at_once = 16_u32;
        let mut dead: Option<(Identity, Deadline)> = None;
        loop {
            let step = ServiceDir::try_claim(runtime, service, deadline, &mut build)?;
            let waiting_for = match step {
                Step::Claimed(claimed) => return Ok(*claimed),
                Step::StartOver if tries_at_once > 0 => {
                    tries_at_once -= 1;
                    continue;
                }
                Step::StartOver => format!("service {name:?} to come to rest"),
                Step::Held(None) => format!("the holder of service {name:?} to say who it is"),
                Step::Held(Some(holder)) if holder.identity.is_dead() => {
                    let since = dead.take().filter(|(known, _)| *known == holder.identity);
                    let (_, grace) =
                        *dead.insert(since.unwrap_or((holder.identity, Deadline::after(GRACE))));
                    if grace.has_passed() {
                        return Err(Error::LockInherited {
                            service: service.to_string(),
                            owner: holder.identity.to_string(),
                        });
                    }
                    format!(
                        "the lock of service {name:?} after the end of {}",
                        holder.identity
                    )
                }
                Step::Held(Some(holder)) if holder.role == Role::Cleaner => {
                    format!("{} to remove service {name:?}", holder.identity)
                }
                Step::Held(Some(holder)) => {
                    return Err(Error::AlreadyRunning {
                        service: service.to_string(),
                        holder: holder.identity.to_string(),
                    });
                }
            };
            if !backoff.wait(deadline) {
                return Err(deadline.timed_out(waiting_for));
            }
        }
    }

    fn try_claim(
        runtime: &Directory,
        service: &Name,
        deadline: Deadline,
        build: &mut impl FnMut(&Directory) -> Result<()>,
    ) -> Result<Step> {
        let Some(runtime) = runtime.current(Missing::Make)? else {
            return Ok(Step::StartOver);
        };
        match runtime.open_at(service.as_str()) {
            Ok(directory) => take_over(runtime, service, directory),
            Err(error) if is_errno(&error, Errno::NOENT) => {
                build_new(runtime, service, deadline, build)
            }
            Err(error) => Err(error),
        }
    }
}

fn take_over(runtime: Directory, service: &Name, directory: Directory) -> Result<Step> {
    let path = directory.path().join(LOCK);
    let lock = match OfdLock::try_open(|| holder::open_to_take(&directory)) {
        Ok(Some(lock)) => lock,
        Ok(None) => return look_at_holder(&directory),
        Err(Errno::NOENT) if !is_named(&runtime, service, &directory)? => {
            return Ok(Step::StartOver);
        }
        Err(errno) => return Err(bad_lock(&directory, errno)),
    };
    if !is_named(&runtime, service, &directory)? || !is_lock_of(&directory, &lock)? {
        return Ok(Step::StartOver);
    }
    Holder::here(Role::Server)
        .and_then(|holder| holder.record(&lock))
        .map_err(Error::os("write", &path))?;
    let held = assemble(runtime, service, directory, lock, Origin::TakenOver)?;
    scratch::clean(&held.tmp)?;
    if let Ok(graveyard) = held.runtime.open_at(RUNTIME_TMP) {
        let _ = scratch::clean(&graveyard);
    }
    Ok(Step::Claimed(Box::new(held)))
}

/// Opens what a service's directory consists of, and makes what is missing.
fn assemble(
    runtime: Directory,
    service: &Name,
    directory: Directory,
    lock: OfdLock,
    origin: Origin,
) -> Result<ServiceDir> {
    match fifo::make_fifo(&directory, DOOR) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::os("create", directory.path().join(DOOR))(errno)),
    }
    // Programs that delete old files in temporary directories leave alone what is below a directory that is locked so.
    let _ = lock::try_flock_shared(&directory);
    Ok(ServiceDir {
        tmp: directory.subdirectory_at(TMP)?,
        new: directory.subdirectory_at(NEW)?,
        slots: directory.subdirectory_at(SLOTS)?,
        runtime,
        service: service.clone(),
        directory,
        lock,
        origin,
    })
}

fn look_at_holder(directory: &Directory) -> Result<Step> {
    let look = match holder::open_to_look(directory) {
        Err(Errno::NOENT) => return Ok(Step::StartOver),
        look => look.map_err(|errno| bad_lock(directory, errno))?,
    };
    let os = |errno| Error::os("read", directory.path().join(LOCK))(errno);
    // What stands there may be its predecessor's line, for as long as the new one is kept from writing.
    let is_new = lock::is_held_by_a_stranger(&look).map_err(os)?;
    // Read before the look, so that a holder that is just leaving is not taken for one that stays.
    let holder = Holder::read(&look).map_err(os)?;
    match lock::is_held(&look).map_err(os)? {
        true => Ok(Step::Held(holder.filter(|_| !is_new))),
        false => Ok(Step::StartOver),
    }
}

fn build_new(
    runtime: Directory,
    service: &Name,
    deadline: Deadline,
    build: &mut impl FnMut(&Directory) -> Result<()>,
) -> Result<Step> {
    let begun = runtime
        .subdirectory_at(RUNTIME_TMP)
        .and_then(|_| Maker::enter(&runtime, RUNTIME_TMP, deadline, 0, || Ok(true)))
        .and_then(HalfMade::create);
    let half = match begun {
        // The runtime directory, or the scratch directory in it, was just removed as it was empty.
        Err(error) if is_errno(&error, Errno::NOENT) => return Ok(Step::StartOver),
        begun => begun?,
    };
    let path = half.directory().path();
    let lock = holder::create_locked(half.directory(), Role::Server)
        .map_err(Error::os("create", path.join(LOCK)))?;
    let made = half.directory().try_clone()?;
    let held = assemble(runtime, service, made, lock, Origin::New)?;
    build(&held.directory)?;
    let (directory, _) = match half.publish(&held.runtime, &c_name(service)?) {
        Err(error) if is_errno(&error, Errno::EXIST) => return Ok(Step::StartOver),
        published => published?,
    };
    let held = ServiceDir {
        tmp: held.tmp.at(directory.path().join(TMP)),
        new: held.new.at(directory.path().join(NEW)),
        slots: held.slots.at(directory.path().join(SLOTS)),
        directory,
        ..held
    };
    Ok(Step::Claimed(Box::new(held)))
}

fn is_lock_of(directory: &Directory, lock: &OfdLock) -> Result<bool> {
    let path = directory.path().join(LOCK);
    let own = file::status(lock).map_err(Error::os("look at", path))?;
    is_same(directory, LOCK, own.identity)
}
