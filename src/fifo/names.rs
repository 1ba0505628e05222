//! The two names of a FIFO pair, and which files they must lead to.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::fork::{self, Stamp};
use crate::sys::{fifo, file};

/// Which end of a pair a handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Made the pair, or took it over: reads `NAME.up` and writes `NAME.down`.
    Creator,
    /// Opened it: reads `NAME.down` and writes `NAME.up`.
    Opener,
}

/// One FIFO of the pair.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name in the directory.
    pub(super) name: String,
    /// Device and inode that it must lead to.
    identity: (u64, u64),
}

/// The pair's place in the file system.
#[derive(Debug)]
pub(super) struct Names {
    directory: Directory,
    base: Name,
    /// Read by the creator.
    up: Entry,
    /// Read by the opener.
    down: Entry,
    /// They are removed when this is dropped.
    owned: bool,
    stamp: Stamp,
}

impl Names {
    /// Makes both FIFOs; neither name may exist. Nothing is left behind if that fails.
    pub(super) fn create(directory: &Directory, base: &Name) -> Result<Names> {
        let directory = directory.try_clone()?;
        let mut made: Vec<String> = Vec::new();
        for name in file_names(base) {
            if let Err(errno) = fifo::make_fifo(&directory, name.as_str()) {
                for name in &made {
                    let _ = file::unlink_at(&directory, name.as_str());
                }
                return Err(Error::os("create FIFO", directory.path().join(name))(errno));
            }
            made.push(name);
        }
        let mut names = Names::find(directory, base)?;
        names.owned = true;
        Ok(names)
    }

    /// Finds both FIFOs, which must exist.
    pub(super) fn open(directory: &Directory, base: &Name) -> Result<Names> {
        Names::find(directory.try_clone()?, base)
    }

    fn find(directory: Directory, base: &Name) -> Result<Names> {
        let find = |name: String| match file::status_at(&directory, name.as_str()) {
            Ok(status) => Ok(Entry {
                name,
                identity: status.identity,
            }),
            Err(errno) => Err(Error::os("open FIFO", directory.path().join(name))(errno)),
        };
        let [up, down] = file_names(base);
        Ok(Names {
            up: find(up)?,
            down: find(down)?,
            base: base.clone(),
            directory,
            owned: false,
            stamp: fork::stamp(),
        })
    }

    /// Says whether the names are removed when this is dropped.
    pub(super) fn set_owned(&mut self, owned: bool) {
        self.owned = owned;
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The FIFO that this side reads.
    pub(super) fn incoming(&self, side: Side) -> &Entry {
        match side {
            Side::Creator => &self.up,
            Side::Opener => &self.down,
        }
    }

    /// The FIFO that this side writes.
    pub(super) fn outgoing(&self, side: Side) -> &Entry {
        match side {
            Side::Creator => &self.down,
            Side::Opener => &self.up,
        }
    }

    /// The path of one of the FIFOs, for messages.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        self.directory.path().join(&entry.name)
    }

    /// The pair's path without the ending of either FIFO, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join(self.base.as_str())
    }

    /// Whether both names still lead to the files that they led to when the pair was opened.
    pub(super) fn lead_here(&self) -> bool {
        [&self.up, &self.down]
            .into_iter()
            .all(|entry| self.status(entry) == Ok(entry.identity))
    }

    /// Removes both names, unless they lead to other files by now.
    pub(super) fn unlink(&self) -> Result<()> {
        for entry in [&self.up, &self.down] {
            let unlinked = match self.status(entry) {
                Ok(identity) if identity == entry.identity => {
                    file::unlink_at(&self.directory, entry.name.as_str())
                }
                Ok(_) => Ok(()),
                Err(errno) => Err(errno),
            };
            match unlinked {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::os("unlink", self.path_of(entry))(errno)),
            }
        }
        Ok(())
    }

    fn status(&self, entry: &Entry) -> rustix::io::Result<(u64, u64)> {
        file::status_at(&self.directory, entry.name.as_str()).map(|status| status.identity)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // A forked child's copy is not the owner.
        if self.owned && self.stamp.is_current() {
            let _ = self.unlink();
        }
    }
}

/// The names of the FIFO up and the FIFO down.
fn file_names(base: &Name) -> [String; 2] {
    [format!("{base}.up"), format!("{base}.down")]
}
