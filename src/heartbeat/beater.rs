//! The side that beats.

use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};

use rustix::io::Errno;

use super::layout::{self, PID, Page, WORDS};
use crate::detector::Phase;
use crate::directory::{Directory, Name, is_errno};
use crate::error::{Error, Result};
use crate::sys::clock;
use crate::sys::file;
use crate::sys::fork::{self, Stamp};
use crate::sys::lock::OfdLock;
use crate::sys::map::View;
use crate::sys::process::Identity;
use crate::sys::thread;

/// How often making one starts over when its name is removed at the same time.
const TRIES: u32 = 100;

/// What became of a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a beat that was not published is not seen"]
pub enum Beat {
    /// It can be seen.
    Published,
    /// It can be seen, but somebody else has written into this heartbeat since the last beat.
    Disturbed,
    /// Nothing was written: this is a forked child of the process whose heartbeat it is.
    Forked,
}

/// The heartbeat of this process, or of one loop in it.
///
/// The loop that does the work calls [`beat`](Heartbeat::beat) each time it comes round; a thread of its own for
/// that would hide a hang. What it owes, it says by its phase: a [`Working`](Phase::Working) loop beats within its
/// budget, an [`Idle`](Phase::Idle) one need not beat until something wakes it, and so uses no CPU time.
///
/// One process beats at a time: a lock sees to it that goes with the process, so that the name of one that was
/// killed is free at once.
///
/// # Examples
///
/// ```
/// # let dir = osps_ipc::Directory::create(std::env::temp_dir().join(format!("osps-doc-beat-{}", std::process::id())))?;
/// use std::time::Duration;
/// use osps_ipc::{Beat, Heartbeat, HeartbeatView, Name, detector::Phase};
///
/// let name = Name::new("worker-0")?;
/// let mut heart = Heartbeat::create(&dir, &name)?;
/// assert_eq!(heart.enter(Phase::Working { budget: Duration::from_millis(500) }), Beat::Published);
/// for step in 0..3 {
///     heart.set_progress(step);
///     assert_eq!(heart.beat(), Beat::Published);
/// }
///
/// let view = HeartbeatView::open(&dir, &name)?;
/// assert_eq!(view.read().expect("nobody resets it now").sample.progress, 2);
/// heart.farewell();
/// # std::fs::remove_dir(dir.path()).ok();
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Heartbeat {
    page: View<Page>,
    /// Held for life on the segment's file, through a descriptor that is not the mapped one's.
    lock: OfdLock,
    directory: Directory,
    name: String,
    stamp: Stamp,
    /// What was published last. The segment's own words are never read back but for `count`.
    count: u64,
    phase: u64,
    progress: u64,
    running: Running,
}

/// The intervals so far.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    at: u64,
    intervals: u64,
    sum: u64,
    squares: u64,
    longest: u64,
}

impl Running {
    /// A beat at `now`. The coarse clock is good enough: an interval is off by up to a tick (1 to 10 ms), their sum
    /// by no more, and it costs a third of the exact one (8 against 29 ns).
    #[inline]
    fn add(&mut self, now: u64) {
        let interval = now.saturating_sub(self.at);
        let micros = interval / 1000;
        self.at = now;
        self.intervals = self.intervals.wrapping_add(1);
        self.sum = self.sum.saturating_add(interval);
        self.squares = self.squares.saturating_add(micros.saturating_mul(micros));
        self.longest = self.longest.max(interval);
    }
}

impl Heartbeat {
    /// Makes the heartbeat of this name, or takes over one whose process has ended. It begins in
    /// [`Phase::Starting`].
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyBeating`] if a process that lives has it; [`Error::NoSpace`]; [`Error::Os`].
    pub fn create(directory: &Directory, name: &Name) -> Result<Heartbeat> {
        Heartbeat::create_at(directory, name.as_str())
    }

    /// [`Heartbeat::create`] for a name of the crate's own.
    pub(crate) fn create_at(directory: &Directory, name: &str) -> Result<Heartbeat> {
        let path = || directory.path().join(name);
        for _ in 0..TRIES {
            match layout::options().create_at(directory, name) {
                Ok(_) => {}
                Err(error) if is_errno(&error, Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let lock = match OfdLock::try_open(|| file::open_file_at(directory, name)) {
                Ok(Some(lock)) => lock,
                Ok(None) => return Err(taken(directory, name)),
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(Error::os("lock", path())(errno)),
            };
            if !leads_to(directory, name, &lock)? {
                continue;
            }
            match layout::options().open_at(directory, name) {
                // It is held, so that only a hand from outside could have changed it since the look.
                Ok(segment) => {
                    let page = segment.region().words(0).ok_or_else(|| Error::BadFile {
                        path: path(),
                        reason: "it is too small".to_owned(),
                    })?;
                    return Heartbeat::begin(page, lock, directory.try_clone()?, name);
                }
                // What a broken predecessor has left.
                Err(Error::BadSegment { .. }) => {
                    file::unlink_at(directory, name).map_err(Error::os("unlink", path()))?;
                }
                Err(error) if is_errno(&error, Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::os("create", path())(Errno::EXIST))
    }

    /// Resets the words, which a reader of the one before may still look at, and says who beats from now on.
    fn begin(
        page: View<Page>,
        lock: OfdLock,
        directory: Directory,
        name: &str,
    ) -> Result<Heartbeat> {
        let identity = Identity::current().map_err(Error::os("read", "/proc/self"))?;
        let owner = &page.owner.identity;
        owner[PID].store(0, Ordering::Relaxed);
        // SYNC(heartbeat-owner): who reads a word of the reset reads the pid of 0 after it, or the new one.
        fence(Ordering::Release);
        page.line.farewell.store(0, Ordering::Relaxed);
        page.line.count.store(0, Ordering::Relaxed);
        let phase = Phase::Starting.to_word();
        for words in &page.words {
            for (word, value) in words.of.iter().zip([phase, 0, 0, 0, 0, 0, 0, 0]) {
                word.store(value, Ordering::Relaxed);
            }
        }
        for (n, (word, value)) in owner.iter().zip(identity.to_words()).enumerate() {
            if n != PID {
                word.store(value, Ordering::Relaxed);
            }
        }
        // SYNC(heartbeat-owner): pairs with the first load of `HeartbeatView::read`.
        owner[PID].store(identity.to_words()[PID], Ordering::Release);
        let mut heart = Heartbeat {
            page,
            lock,
            directory,
            name: name.to_owned(),
            stamp: fork::stamp(),
            count: 0,
            phase,
            progress: 0,
            running: Running {
                at: clock::coarse_ns(),
                ..Running::default()
            },
        };
        let _ = heart.publish();
        Ok(heart)
    }

    /// Says that this loop has come round.
    ///
    /// In the middle of normal work it makes no system call and takes no lock: a read of the coarse clock and ten
    /// stores to memory that is this process's own but for readers. (A thread's first beat asks for the thread's number.)
    #[inline]
    pub fn beat(&mut self) -> Beat {
        if !self.stamp.is_current() {
            return Beat::Forked;
        }
        self.running.add(clock::coarse_ns());
        self.publish()
    }

    /// Goes over to another phase, and beats. To beat in the same one this is as good as [`beat`](Heartbeat::beat).
    #[inline]
    pub fn enter(&mut self, phase: Phase) -> Beat {
        self.phase = phase.to_word();
        self.beat()
    }

    /// The phase that was entered last.
    pub fn phase(&self) -> Phase {
        Phase::from_word(self.phase)
    }

    /// Sets the progress number that beats publish from now on: of the program's own choice, for reports.
    #[inline]
    pub fn set_progress(&mut self, progress: u64) {
        self.progress = progress;
    }

    /// How often it has beaten.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Looks whether others can still find this heartbeat: whether its name leads to it. Costs two system calls.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if it cannot be looked at.
    pub fn is_orphaned(&self) -> Result<bool> {
        leads_to(&self.directory, &self.name, &self.lock).map(|leads| !leads)
    }

    /// Says that the process ends in good order, and removes the name. A watcher that has it open still sees it.
    ///
    /// A heartbeat that is dropped without this counts as one whose process crashed.
    pub fn farewell(mut self) {
        if !self.stamp.is_current() {
            return;
        }
        let _ = self.enter(Phase::Stopping);
        self.page.line.farewell.store(1, Ordering::Release);
        if self.is_orphaned().is_ok_and(|orphaned| !orphaned) {
            // What cannot be removed is taken over by the next.
            let _ = file::unlink_at(&self.directory, &*self.name);
        }
    }

    #[cfg(test)]
    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    #[inline]
    fn publish(&mut self) -> Beat {
        let found = self.page.line.count.load(Ordering::Relaxed);
        let beat = if found == self.count {
            Beat::Published
        } else {
            Beat::Disturbed
        };
        // Beyond what another has written, so that the beat can be seen.
        let next = self.count.max(found).wrapping_add(1);
        let running = &self.running;
        let values: [u64; WORDS] = [
            self.phase,
            self.progress,
            u64::from(thread::id(self.stamp.value())),
            running.at,
            running.intervals,
            running.sum,
            running.squares,
            running.longest,
        ];
        // SYNC(heartbeat-words): who reads one of the words below, and then the count, reads at least the last one.
        fence(Ordering::Release);
        let words = &self.page.words[usize::from(next % 2 == 1)];
        for (word, value) in words.of.iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        // SYNC(heartbeat-count): pairs with the first load of the count in `HeartbeatView::read`.
        self.page.line.count.store(next, Ordering::Release);
        self.count = next;
        beat
    }
}

/// Whether the name still leads to this very file.
fn leads_to(directory: &Directory, name: &str, lock: &OfdLock) -> Result<bool> {
    let path = || -> PathBuf { directory.path().join(name) };
    let own = file::status(lock).map_err(Error::os("look at", path()))?;
    match file::status_at(directory, name) {
        Ok(named) => Ok(named.identity == own.identity),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::os("look at", path())(errno)),
    }
}

fn taken(directory: &Directory, name: &str) -> Error {
    let by = super::HeartbeatView::open_at(directory, name)
        .ok()
        .and_then(|view| view.owner());
    Error::AlreadyBeating {
        path: directory.path().join(name),
        by: by.map_or_else(
            || "another process".to_owned(),
            |identity| identity.to_string(),
        ),
    }
}
