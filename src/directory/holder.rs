//! Lock files, and who holds a service's, as it says.

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result};

use crate::directory::Directory;
use crate::sys::file::{self, FileKind};
use crate::sys::lock::OfdLock;
use crate::sys::process::{Identity, TextForm};

/// The name of a lock file, in a service and in a session.
pub(crate) const LOCK: &str = "lock";

/// What a holder does with what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves: it will be there for long.
    Server,
    /// Removes: the name will be free soon.
    Cleaner,
}

/// A line of a lock file. It is believed only together with the lock: who died left it behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) role: Role,
    pub(crate) identity: Identity,
}

impl Holder {
    /// This process in a role.
    pub(super) fn here(role: Role) -> Result<Holder> {
        Ok(Holder {
            role,
            identity: Identity::current()?,
        })
    }

    /// Writes this line into a lock file that this process holds, and shows that it has.
    pub(super) fn record(self, lock: &OfdLock) -> Result<()> {
        file::write_whole(lock, self.to_string().as_bytes())?;
        lock.mark_recorded()
    }

    /// What stands in a lock file. `None`: nothing that can be read, as when its holder is just writing.
    pub(super) fn read(lock: &OwnedFd) -> Result<Option<Holder>> {
        // A line is written by one call, and read by one.
        let mut line = [0; 256];
        let line = file::read_once(lock, &mut line)?;
        Ok(Holder::parse(&String::from_utf8_lossy(line)))
    }

    fn parse(text: &str) -> Option<Holder> {
        // What may stand behind the first line is the end of a longer one before it.
        let (line, _) = text.split_once('\n')?;
        let (role, identity) = line.split_once(' ')?;
        let role = match role {
            "server" => Role::Server,
            "cleaner" => Role::Cleaner,
            _ => return None,
        };
        let TextForm(identity) = identity.parse().ok()?;
        Some(Holder { role, identity })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Server => "server",
            Role::Cleaner => "cleaner",
        };
        writeln!(f, "{role} {}", TextForm(self.identity))
    }
}

/// Makes the lock file of a new service, which nobody else knows: held and with its holder recorded.
pub(super) fn create_locked(directory: &Directory, role: Role) -> Result<OfdLock> {
    let line = Holder::here(role)?.to_string();
    OfdLock::make_recorded(
        || file::create_file_at(directory, LOCK),
        |file| file::write_from_start(file, line.as_bytes()),
    )
}

/// Makes the lock file of a new session, which nobody else knows: held, and empty, as the segment beside it says whose it
/// is.
pub(super) fn create_lock(directory: &Directory) -> Result<OfdLock> {
    OfdLock::try_open(|| file::create_file_at(directory, LOCK))?.ok_or(Errno::AGAIN)
}

/// Opens a lock file to look at it: for reading, so that the look cannot become a lock.
pub(super) fn open_to_look(directory: &Directory) -> Result<OwnedFd> {
    check(file::open_file_read_only_at(directory, LOCK)?)
}

/// Opens a lock file to take it.
pub(super) fn open_to_take(directory: &Directory) -> Result<OwnedFd> {
    check(file::open_file_at(directory, LOCK)?)
}

fn check(fd: OwnedFd) -> Result<OwnedFd> {
    match file::status(&fd)?.kind {
        FileKind::Regular => Ok(fd),
        _ => Err(Errno::INVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_as_it_was_written() {
        for role in [Role::Server, Role::Cleaner] {
            let holder = Holder::here(role).unwrap();
            let text = holder.to_string();
            assert_eq!(Holder::parse(&text), Some(holder));
            assert_eq!(
                Holder::parse(&format!("{text}rest of a longer line")),
                Some(holder)
            );
        }
        for bad in [
            "",
            "server",
            "server pid=1\n",
            "judge pid=1 start=1 pidns=1 boot=0\n",
        ] {
            assert_eq!(Holder::parse(bad), None, "{bad}");
        }
    }
}
