//! The runtime directory: found by the environment, made when it is missing, removed by whoever leaves last.

use std::env;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::directory::{Directory, TRIES, VARIABLE, clean, is_errno};
use crate::error::{Error, Result};
use crate::sys::file;

impl Directory {
    /// Opens the runtime directory, in which services stand, and makes it if it does not exist.
    ///
    /// It is `$OSPS_IPC_DIR`, else `$XDG_RUNTIME_DIR/osps-ipc`, else `/dev/shm/osps-ipc-UID`. As the XDG
    /// specification asks, an `XDG_RUNTIME_DIR` that is not absolute is ignored; so is one that is not a
    /// directory of the effective user (as after `su`), for what this user made there would be in the way of
    /// its owner. A variable that is empty counts as not set.
    ///
    /// Programs find each other only if they agree on this directory: a service that was started with another
    /// environment or as another user is not seen.
    ///
    /// # Errors
    /// [`Error::BadDirectory`] if it is not safe to use, [`Error::Os`] if it cannot be made or opened.
    pub fn runtime() -> Result<Directory> {
        let (path, is_default) = runtime_path()?;
        let mut tries = 0;
        loop {
            let opened = match Directory::open(&path) {
                Err(error) if is_errno(&error, Errno::NOENT) => match Directory::create(&path) {
                    Err(error) if is_errno(&error, Errno::EXIST) => Err(error),
                    created => created,
                },
                opened => opened,
            };
            tries += 1;
            match opened {
                Ok(directory) => {
                    return Ok(Directory {
                        is_default,
                        ..directory
                    });
                }
                // Another has made it or removed it between our two looks.
                Err(error)
                    if tries < TRIES
                        && (is_errno(&error, Errno::EXIST)
                            || (is_errno(&error, Errno::NOENT) && parent_exists(&path))) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The directory that stands under this one's path now: this one, or another that was made in its place.
    /// `None` if there is none, and none is made.
    pub(crate) fn current(&self, missing: Missing) -> Result<Option<Directory>> {
        for _ in 0..TRIES {
            match file::status_of_path(&self.path) {
                Ok(status) if status.identity == self.identity() => {
                    return self.try_clone().map(Some);
                }
                _ => {}
            }
            let opened = Directory::open(&self.path);
            let opened = match (opened, missing) {
                (Err(error), Missing::Make)
                    if is_errno(&error, Errno::NOENT) && parent_exists(&self.path) =>
                {
                    Directory::create(&self.path)
                }
                (Err(error), Missing::Leave) if is_errno(&error, Errno::NOENT) => return Ok(None),
                (opened, _) => opened,
            };
            match opened {
                Ok(directory) => {
                    return Ok(Some(Directory {
                        is_default: self.is_default,
                        ..directory
                    }));
                }
                // Another has made it or removed it between our two looks.
                Err(error) if is_errno(&error, Errno::EXIST) => {}
                Err(error)
                    if missing == Missing::Make
                        && is_errno(&error, Errno::NOENT)
                        && parent_exists(&self.path) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::os("open", &self.path)(Errno::NOENT))
    }

    /// Removes it if it is empty and of this crate's choice. Whoever is about to use it starts over.
    pub(crate) fn leave(&self) {
        let is_named =
            file::status_of_path(&self.path).is_ok_and(|status| status.identity == self.identity());
        if self.is_default && is_named {
            // Not empty, or removed by another: both are fine.
            let _ = file::remove_directory_path(&self.path);
        }
    }
}

/// What [`Directory::current`] does where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Makes one.
    Make,
    /// Leaves it so.
    Leave,
}

fn parent_exists(path: &Path) -> bool {
    path.parent()
        .is_some_and(|parent| file::status_of_path(parent).is_ok())
}

/// The path of the runtime directory, and whether it is of this crate's choice.
fn runtime_path() -> Result<(PathBuf, bool)> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok((clean(Path::new(&path))?, false));
    }
    let uid = file::effective_uid();
    if let Some(base) = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && base.is_absolute()
        && file::open_directory_path(&clean(&base)?)
            .and_then(file::status)
            .is_ok_and(|status| status.owner == uid)
    {
        return Ok((clean(&base.join("osps-ipc"))?, true));
    }
    Ok((PathBuf::from(format!("/dev/shm/osps-ipc-{uid}")), true))
}
