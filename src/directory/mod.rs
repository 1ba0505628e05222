//! Directories that are safe to keep segments, pipes and services in.
//!
//! A [`Directory`] is opened once and checked: owned by the caller, closed to everybody else, and no symbolic
//! link. Everything in it is then reached from its descriptor, so that renaming what lies above it changes
//! nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::sys::file::{self, FileKind, FileStatus};

mod claim;
pub(crate) mod holder;
mod name;
mod runtime;
mod scratch;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod view;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod trials;

pub use name::Name;
pub(crate) use runtime::Missing;

/// The environment variable that names the runtime directory.
const VARIABLE: &str = "OSPS_IPC_DIR";

/// How often making the default runtime directory starts over when others remove it at the same time.
const TRIES: u32 = 1000;

/// An open directory of the caller's own.
///
/// It is checked when it is opened: it belongs to the effective user, has mode 0700 (nothing for group and
/// others), and its path does not end in a symbolic link. The descriptor is close-on-exec.
///
/// # Examples
/// ```no_run
/// use osps_ipc::Directory;
///
/// let runtime = Directory::runtime()?;
/// println!("services stand in {}", runtime.path().display());
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    /// Shared by its clones, like the open file description under two descriptors.
    fd: Arc<OwnedFd>,
    path: PathBuf,
    /// Its device and inode.
    identity: (u64, u64),
    /// Made by this crate under a path of its own choice, so that whoever leaves last removes it.
    is_default: bool,
}

impl Directory {
    /// Opens an existing directory.
    ///
    /// # Errors
    /// [`Error::BadDirectory`] says what is wrong with it and how to mend that; [`Error::Os`] if there is none
    /// or it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Directory> {
        let path = clean(path.as_ref())?;
        match file::open_directory_path(&path) {
            Ok(fd) => Directory::look(fd, path),
            Err(errno) => Err(refusal(&path, file::status_of_path(&path).ok(), errno)),
        }
    }

    /// Makes a directory of mode 0700, whatever the umask. The directory above it must exist, it itself must not.
    ///
    /// # Errors
    /// [`Error::Os`] if it cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Directory> {
        let path = clean(path.as_ref())?;
        let made = file::create_directory_path(&path).map_err(Error::os("create", &path))?;
        Directory::check(made, path)
    }

    /// Opens the directory of this name in this one, and makes it if it does not exist.
    ///
    /// # Errors
    /// As [`Directory::open`] and [`Directory::create`].
    pub fn subdirectory(&self, name: &Name) -> Result<Directory> {
        self.subdirectory_at(name.as_str())
    }

    /// The path under which it was opened, made absolute; for messages. It is not followed when it is renamed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle to the same directory, with the same descriptor.
    ///
    /// # Errors
    /// None: it takes no descriptor.
    pub fn try_clone(&self) -> Result<Directory> {
        Ok(Directory {
            fd: Arc::clone(&self.fd),
            path: self.path.clone(),
            identity: self.identity,
            is_default: self.is_default,
        })
    }

    /// Opens a directory in this one by a name that may be the crate's own, such as `.tmp`.
    pub(crate) fn open_at(&self, name: &str) -> Result<Directory> {
        let open = |name: &str| file::open_directory_at(&self.fd, name);
        let (fd, status, path) = self.open_checked(name, open)?;
        Ok(Directory::new(fd, &status, path))
    }

    /// Opens a directory in this one by `open`, and checks it like any other.
    fn open_checked<T: AsFd>(
        &self,
        name: &str,
        open: impl FnOnce(&str) -> rustix::io::Result<T>,
    ) -> Result<(T, FileStatus, PathBuf)> {
        let path = self.path.join(name);
        let fd = match open(name) {
            Ok(fd) => fd,
            Err(errno) => return Err(refusal(&path, file::status_at(&self.fd, name).ok(), errno)),
        };
        let status = file::status(&fd).map_err(Error::os("look at", &path))?;
        match fault(&path, &status, file::effective_uid()) {
            Some(reason) => Err(Error::BadDirectory { path, reason }),
            None => Ok((fd, status, path)),
        }
    }

    /// [`Directory::subdirectory`] by a name that may be the crate's own.
    pub(crate) fn subdirectory_at(&self, name: &str) -> Result<Directory> {
        for _ in 0..TRIES {
            match self.open_at(name) {
                Err(error) if is_errno(&error, Errno::NOENT) => {}
                opened => return opened,
            }
            match self.create_at(name) {
                Err(error) if is_errno(&error, Errno::EXIST) => {}
                // It was removed again before it was open, unless this directory itself is gone.
                Err(error) if is_errno(&error, Errno::NOENT) && self.has_name()? => {}
                created => return created,
            }
        }
        Err(Error::os("create", self.path.join(name))(Errno::EXIST))
    }

    /// Makes a directory in this one.
    pub(crate) fn create_at(&self, name: &str) -> Result<Directory> {
        let path = self.path.join(name);
        let made = file::create_directory_at(&self.fd, name).map_err(Error::os("create", &path))?;
        Directory::check(made, path)
    }

    /// The same directory, shown under another path after it was renamed.
    pub(crate) fn at(self, path: PathBuf) -> Directory {
        Directory { path, ..self }
    }

    /// Its device and inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether it has not been removed.
    fn has_name(&self) -> Result<bool> {
        file::status(&self.fd)
            .map(|status| status.links > 0)
            .map_err(Error::os("look at", &self.path))
    }

    fn look(fd: OwnedFd, path: PathBuf) -> Result<Directory> {
        let status = file::status(&fd).map_err(Error::os("look at", &path))?;
        Directory::check((fd, status), path)
    }

    fn check((fd, status): (OwnedFd, FileStatus), path: PathBuf) -> Result<Directory> {
        match fault(&path, &status, file::effective_uid()) {
            Some(reason) => Err(Error::BadDirectory { path, reason }),
            None => Ok(Directory::new(fd, &status, path)),
        }
    }

    fn new(fd: OwnedFd, status: &FileStatus, path: PathBuf) -> Directory {
        Directory {
            fd: Arc::new(fd),
            path,
            identity: status.identity,
            is_default: false,
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether this is the operating system's error of that number.
pub(crate) fn is_errno(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::Os { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
}

/// What is wrong with a directory, and how to mend it.
fn fault(path: &Path, status: &FileStatus, uid: u32) -> Option<String> {
    let shown = path.display();
    if status.kind != FileKind::Directory {
        Some("it is not a directory".to_owned())
    } else if status.owner != uid {
        Some(format!(
            "it belongs to uid {}, and this process runs as uid {uid}; run both ends as one user, or set \
             {VARIABLE} to a directory of uid {uid}",
            status.owner
        ))
    } else if status.mode & 0o777 != 0o700 {
        Some(format!(
            "its mode is {:04o} and must be 0700, so that no other user can reach what is in it; run: chmod 0700 '{shown}'",
            status.mode
        ))
    } else {
        None
    }
}

/// The error for a directory that could not be opened: what stands there may say more than the number does.
fn refusal(path: &Path, status: Option<FileStatus>, errno: Errno) -> Error {
    let reason = match (errno, status.map(|status| status.kind)) {
        (Errno::NOTDIR | Errno::LOOP, Some(FileKind::Link)) => {
            "it is a symbolic link, which is not followed; name the directory itself".to_owned()
        }
        (Errno::NOTDIR, Some(kind)) if kind != FileKind::Directory => {
            "it is not a directory".to_owned()
        }
        (Errno::ACCESS, Some(_)) => {
            match status.and_then(|status| fault(path, &status, file::effective_uid())) {
                Some(reason) => reason,
                None => return Error::os("open", path)(errno),
            }
        }
        _ => return Error::os("open", path)(errno),
    };
    Error::BadDirectory {
        path: path.to_owned(),
        reason,
    }
}

/// The absolute path without `.` and trailing slashes (a slash at the end would follow a link).
fn clean(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|source| Error::Os {
        doing: "find",
        path: path.to_owned(),
        source,
    })?;
    Ok(absolute
        .components()
        .filter(|component| *component != Component::CurDir)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(mode: u32) -> FileStatus {
        FileStatus {
            identity: (1, 2),
            kind: FileKind::Directory,
            mode,
            owner: 7,
            links: 2,
            len: 0,
            reserved: 0,
        }
    }

    #[test]
    fn a_fault_says_what_is_wrong_and_how_to_mend_it() {
        let path = Path::new("/x/y");
        assert_eq!(fault(path, &status(0o700), 7), None);
        assert_eq!(fault(path, &status(0o2700), 7), None);
        for mode in [0o755, 0o710, 0o701, 0o600, 0o500, 0o777] {
            let reason = fault(path, &status(mode), 7).unwrap();
            assert!(reason.contains("chmod 0700 '/x/y'"), "{reason}");
            assert!(reason.contains(&format!("{mode:04o}")), "{reason}");
        }
        let foreign = fault(path, &status(0o700), 8).unwrap();
        assert!(
            foreign.contains("uid 7") && foreign.contains("uid 8"),
            "{foreign}"
        );
    }

    #[test]
    fn a_path_is_made_absolute_and_loses_what_would_follow_a_link() {
        assert_eq!(clean(Path::new("/a/b/")).unwrap(), Path::new("/a/b"));
        assert_eq!(clean(Path::new("/a/./b/.")).unwrap(), Path::new("/a/b"));
        assert!(clean(Path::new("a")).unwrap().is_absolute());
        assert!(clean(Path::new("")).is_err());
    }
}
