//! The pages of a file, taken before they are used.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{self, FallocateFlags};
use rustix::io::{Errno, Result};

use crate::error::{self, Error};

/// The largest piece of pages that is reserved by one call.
const LARGEST: u64 = 64 << 20;

/// Makes a file `len` bytes long with all its pages reserved, so that no store to them can fail later.
/// `path` is for the message.
///
/// # Errors
/// [`Error::NoSpace`] when the file system has no room; the file's length is then anything up to `len`.
pub(crate) fn reserve(fd: BorrowedFd<'_>, path: &Path, len: u64) -> error::Result<()> {
    // What is reserved in one piece is given back if it fails, so that there is time to ask then.
    let free = (len > LARGEST).then(|| free_bytes(fd));
    let reserved = in_pieces(len, |offset, piece| {
        fs::fallocate(fd, FallocateFlags::empty(), offset, piece)
    });
    reserved.map_err(|errno| match errno {
        Errno::NOSPC | Errno::DQUOT => Error::NoSpace {
            path: path.to_owned(),
            wanted: len,
            free: free
                .unwrap_or_else(|| free_bytes(fd))
                .min(len.saturating_sub(1)),
        },
        errno => Error::os("reserve the pages of", path)(errno),
    })
}

/// Goes over `len` bytes. Where `reserve` is interrupted by a signal, it has given back all that it had of that piece
/// (tmpfs does so in many kernels): smaller pieces follow, of which one fits between two signals, however often they
/// come.
fn in_pieces(len: u64, mut reserve: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    const SMALLEST: u64 = 64 << 10;
    let mut offset = 0;
    let mut piece = LARGEST;
    while offset < len {
        let now = piece.min(len - offset);
        match reserve(offset, now) {
            Ok(()) => offset += now,
            Err(Errno::INTR) => piece = (now / 2).max(SMALLEST),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The bytes that are free on the file system of `fd`; 0 if it does not say.
fn free_bytes(fd: impl AsFd) -> u64 {
    fs::fstatvfs(fd).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_reserved_in_a_storm_of_signals() {
        const LEN: u64 = (200 << 20) + 13;
        let mut reserved = 0;
        let mut calls = 0;
        let done = in_pieces(LEN, |offset, piece| {
            calls += 1;
            assert!(calls < 10_000);
            assert_eq!(offset, reserved);
            // A signal comes before more than this can be done.
            if piece > 100_000 {
                return Err(Errno::INTR);
            }
            reserved += piece;
            Ok(())
        });
        assert_eq!((done, reserved), (Ok(()), LEN));
    }
}
