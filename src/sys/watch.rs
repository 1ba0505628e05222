//! Waiting for names in directories, without polling.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::{Errno, Result};

use crate::sys::clock::Deadline;
use crate::sys::poll::poll_one;

/// Names in directories that are watched for coming and going.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
    names: Vec<(i32, CString)>,
}

impl Watch {
    /// Watches nothing yet. A user has few of them (128 by default): `MFILE` when they are used up.
    pub(crate) fn new() -> Result<Watch> {
        Ok(Watch {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            names: Vec::new(),
        })
    }

    /// Watches a directory for a name in it. What happened before this is not told.
    pub(crate) fn add(&mut self, directory: &Path, name: impl Into<Vec<u8>>) -> Result<()> {
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let what = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        let watch = inotify::add_watch(&self.inotify, directory, what)?;
        self.names.push((watch, name));
        Ok(())
    }

    /// Waits until one of the names has come or gone, or a watch has ended. `false`: the deadline has passed.
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            if poll_one(&self.inotify, PollFlags::IN, deadline)?.is_empty() {
                return Ok(false);
            }
            let mut reader = Reader::new(&self.inotify, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) if self.concerns(event.wd(), event.events(), event.file_name()) => {
                        return Ok(true);
                    }
                    // What others do in the directory must not hold us.
                    Ok(_) if deadline.has_passed() => return Ok(false),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(errno) => return Err(errno),
                }
            }
        }
    }

    fn concerns(&self, watch: i32, events: ReadFlags, name: Option<&CStr>) -> bool {
        let ended = ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::QUEUE_OVERFLOW;
        events.intersects(ended)
            || self
                .names
                .iter()
                .any(|(known, wanted)| *known == watch && name == Some(wanted.as_c_str()))
    }
}

/// Readable when something has happened in a directory that is watched.
impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use crate::sys::testing::Scratch;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn a_flood_of_other_names_does_not_hold_a_wait_beyond_its_deadline() {
        let scratch = Scratch::new();
        let mut watch = Watch::new().unwrap();
        watch.add(scratch.path(), "never").unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for name in [c"one", c"two", c"three"] {
                let (done, scratch) = (&done, &scratch);
                scope.spawn(move || {
                    let end = Instant::now() + Duration::from_secs(3);
                    while !done.load(Ordering::Relaxed) && Instant::now() < end {
                        drop(file::create_file_at(scratch.fd(), name));
                        let _ = file::unlink_at(scratch.fd(), name);
                    }
                });
            }
            let begin = Instant::now();
            let told = watch.wait(Deadline::after(Duration::from_millis(50)));
            let took = begin.elapsed();
            done.store(true, Ordering::Relaxed);
            assert_eq!(told, Ok(false));
            assert!(took < Duration::from_secs(2), "{took:?}");
        });
    }
}
