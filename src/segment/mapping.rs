//! A segment's file, opened and mapped.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::header;
use crate::error::{Error, Result};
use crate::sys::map::{Map, Region, WORD};

/// How much of a file is mapped for a payload: whole words, of which the last may reach beyond the file's end into
/// its last page.
pub(super) fn mapped(len: usize) -> usize {
    (header::LEN + len).next_multiple_of(WORD)
}

/// The words of the payload.
pub(super) fn payload(map: &Arc<Map>, len: usize, path: &Path) -> Result<Region> {
    let words = len.next_multiple_of(WORD);
    // It is always inside: the map was made as long.
    map.region(header::LEN, words)
        .ok_or_else(|| Error::os("map", path)(Errno::INVAL))
}

/// What was opened, or the error that says why it was not.
pub(super) fn opened(fd: rustix::io::Result<OwnedFd>, path: &Path) -> Result<OwnedFd> {
    fd.map_err(|errno| match errno {
        Errno::LOOP => Error::BadFile {
            path: path.to_owned(),
            reason: "it is a symbolic link, which is not followed".to_owned(),
        },
        _ => Error::os("open", path)(errno),
    })
}
