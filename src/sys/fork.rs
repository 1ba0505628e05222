//! What a forked child must not have: descriptors that keep a dead parent alive, and handles that it takes for
//! its own.
//!
//! A child that is forked without `exec` shares every open file description with its parent, and with it the
//! parent's locks and FIFO ends: the parent dies, and both go on as if it lived. A [`Registered`] descriptor is
//! therefore replaced in the child, by a handler of `pthread_atfork`, with one that refuses every operation
//! (`O_PATH`). Its number stays taken, so that the child's copy of the handle closes nothing that is not its
//! own. A child that is made past the handlers, by a raw `clone`, keeps the descriptors: what can be seen of it
//! is told where it matters (a lock that outlives its owner).
//!
//! A [`Stamp`] tells whether the process that took it is the one that looks at it. It lies on a page that the
//! kernel wipes in the child (`MADV_WIPEONFORK`), so that it works for a raw `clone` too.
//!
//! Unsafe is needed to map that page, to install the handlers, and to replace descriptors by number.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Result;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::sys::fork_state::{Page, Registry};

/// INVARIANT(page): null, or a `Page` that is never unmapped or moved.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// Stands in where the kernel cannot wipe a page; the handler wipes it.
static STAND_IN: Page = Page::new();

/// The last stamp given out. A fork copies it, so that along a line of descent no stamp comes twice.
static LAST_STAMP: AtomicU64 = AtomicU64::new(0);

static INSTALLED: AtomicBool = AtomicBool::new(false);

fn page() -> &'static Page {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: INVARIANT(page); all of a Page is atomics, so that shared references to it are always valid.
    match unsafe { page.as_ref() } {
        Some(page) => page,
        None => make_page(),
    }
}

#[cold]
fn make_page() -> &'static Page {
    const LEN: usize = size_of::<Page>();
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that is in use.
    let mapped = unsafe {
        rustix::mm::mmap_anonymous(
            ptr::null_mut(),
            LEN,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    };
    let fresh = match mapped {
        // SAFETY: the range was just mapped and nobody else knows it; the advice changes no byte of it here.
        Ok(start) => match unsafe { rustix::mm::madvise(start, LEN, Advice::LinuxWipeOnFork) } {
            Ok(()) => start.cast::<Page>(),
            Err(_) => ptr::from_ref(&STAND_IN).cast_mut(),
        },
        Err(_) => ptr::from_ref(&STAND_IN).cast_mut(),
    };
    // Whoever comes second uses the first one's page and leaves its own: a page in a race that happens once.
    // INVARIANT(page): both a mapping that is never unmapped and a static stay; zeroed bytes are a valid Page.
    let current =
        match PAGE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(first) => first,
        };
    // SAFETY: INVARIANT(page), and not null by the exchange above.
    unsafe { &*current }
}

/// Names the process that took it; see [`stamp`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    word: &'static AtomicU64,
    value: u64,
}

impl Stamp {
    /// Whether this is still the process that took the stamp, and not a forked child of it. One relaxed load.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.value
    }
}

impl Stamp {
    /// Its number: never 0, and never twice along a line of descent.
    pub(crate) fn value(self) -> u64 {
        self.value
    }
}

/// The stamp of this process.
pub(crate) fn stamp() -> Stamp {
    let page = page();
    if ptr::eq(page, &raw const STAND_IN) {
        install(page);
    }
    let word = &page.stamp;
    let mut value = word.load(Ordering::Acquire);
    if value == 0 {
        let fresh = LAST_STAMP.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        value = match word.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(first) => first,
        };
    }
    Stamp { word, value }
}

/// While it lives, this process does not fork (but from a signal handler of this very thread).
struct NoFork(&'static Page);

impl NoFork {
    fn enter() -> NoFork {
        let page = page();
        install(page);
        page.acquire();
        NoFork(page)
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Installs the handlers once. Under the fork lock rather than a `Once`: a child that is forked meanwhile finds
/// the lock free.
fn install(page: &'static Page) {
    if INSTALLED.load(Ordering::Acquire) {
        return;
    }
    page.acquire();
    if !INSTALLED.load(Ordering::Relaxed) {
        // SAFETY: the three functions live as long as the program, and only do what is allowed after a fork:
        // atomics and system calls.
        let failed =
            unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        INSTALLED.store(failed == 0, Ordering::Release);
    }
    page.release();
}

extern "C" fn before_fork() {
    page().acquire();
}

extern "C" fn in_parent() {
    page().release();
}

extern "C" fn in_child() {
    let page = page();
    if ptr::eq(page, &raw const STAND_IN) {
        page.wipe();
    }
    replace_all();
}

static REGISTRY: Registry = Registry::new();

/// Replaces every registered descriptor. Runs in the child, which has this one thread.
fn replace_all() {
    let mut spare = None;
    REGISTRY.for_each(|fd| {
        let refusing = spare.take().or_else(|| {
            refusing_descriptor().or_else(|| {
                // No descriptor left: this one's own number serves.
                // SAFETY: its owner in this process never uses it but to close it, which the next lines
                // make true again for the number.
                unsafe { libc::close(fd) };
                refusing_descriptor()
            })
        });
        let Some(refusing) = refusing else { return };
        if refusing.as_raw_fd() == fd {
            std::mem::forget(refusing);
            return;
        }
        // SAFETY: INVARIANT(registered): the number is this crate's, so nobody else's file is closed.
        if unsafe { libc::dup3(refusing.as_raw_fd(), fd, libc::O_CLOEXEC) } < 0 {
            // Above a limit that was lowered. Rather closed twice than a lock that is held on.
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
        spare = Some(refusing);
    });
}

/// A descriptor with which nothing can be done: reading, writing, locking and polling it fail.
fn refusing_descriptor() -> Option<OwnedFd> {
    rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// A descriptor that a forked child does not inherit; see the module's documentation.
///
/// INVARIANT(registered): while it exists, its number is marked in the registry and belongs to it; both change
/// together while no fork can happen.
#[derive(Debug)]
pub(crate) struct Registered {
    fd: ManuallyDrop<OwnedFd>,
}

impl Registered {
    /// Opens a descriptor such that no child that is forked at the same time inherits it. `open` must not block.
    pub(crate) fn open(open: impl FnOnce() -> Result<OwnedFd>) -> Result<Registered> {
        let _no_fork = NoFork::enter();
        let fd = open()?;
        REGISTRY.mark(fd.as_raw_fd(), true);
        Ok(Registered {
            fd: ManuallyDrop::new(fd),
        })
    }
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _no_fork = NoFork::enter();
        REGISTRY.mark(self.fd.as_raw_fd(), false);
        // SAFETY: this is the only place that drops it, and nothing uses it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.fd) };
    }
}

/// Forks for a test: through the C library, or past its handlers. `child` ends the child by its return.
#[cfg(test)]
pub(crate) fn fork_for_test(past_the_handlers: bool, child: impl FnOnce() -> i32) -> i32 {
    let pid = if past_the_handlers {
        // SAFETY: a clone without shared memory is a fork; the child runs `child` alone, in a helper process that
        // has no other thread in the middle of anything.
        unsafe {
            libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)
                .try_into()
                .unwrap()
        }
    } else {
        // SAFETY: as above.
        unsafe { libc::fork() }
    };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let status = child();
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(status) };
    }
    pid
}

/// Waits for a child of [`fork_for_test`]; its exit status, or minus the signal that ended it.
#[cfg(test)]
pub(crate) fn wait_for_test(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -libc::WTERMSIG(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::alone;
    use std::os::fd::FromRawFd;

    fn is_refusing(fd: BorrowedFd<'_>) -> bool {
        rustix::io::read(fd, &mut [0_u8; 1][..]).is_err()
    }

    fn open_null() -> Result<OwnedFd> {
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    }

    #[test]
    fn a_forked_child_gets_a_refusing_descriptor_under_the_same_number() {
        alone!(
            "a_forked_child_gets_a_refusing_descriptor_under_the_same_number",
            || {
                let registered = Registered::open(open_null).unwrap();
                let plain = open_null().unwrap();
                let pid = fork_for_test(false, || {
                    let gone = is_refusing(registered.as_fd());
                    let kept = !is_refusing(plain.as_fd());
                    i32::from(!(gone && kept))
                });
                assert_eq!(wait_for_test(pid), 0);
                assert!(!is_refusing(registered.as_fd()));
            }
        );
    }

    #[test]
    fn a_number_that_was_given_back_is_not_touched_in_a_child() {
        alone!(
            "a_number_that_was_given_back_is_not_touched_in_a_child",
            || {
                let registered = Registered::open(open_null).unwrap();
                let number = registered.as_raw_fd();
                // The number is taken again in the same step in which it is given back, so that no other test gets it.
                let file = open_null().unwrap();
                drop(registered);
                // SAFETY: as another thread may have taken the number, only a descriptor that this test owns is replaced.
                let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
                // SAFETY: a fresh descriptor that nobody else owns.
                let taken = unsafe { OwnedFd::from_raw_fd(taken) };
                let pid = fork_for_test(false, || i32::from(is_refusing(taken.as_fd())));
                assert_eq!(wait_for_test(pid), 0);
            }
        );
    }

    #[test]
    fn a_stamp_is_current_in_its_process_only() {
        alone!("a_stamp_is_current_in_its_process_only", || {
            let here = stamp();
            assert!(here.is_current() && stamp().is_current());
            for past_the_handlers in [false, true] {
                let pid = fork_for_test(past_the_handlers, || {
                    let before = here.is_current();
                    let there = stamp();
                    let after =
                        here.is_current() || !there.is_current() || there.value == here.value;
                    i32::from(before || after)
                });
                assert_eq!(wait_for_test(pid), 0);
            }
            assert!(here.is_current());
        });
    }

    #[test]
    fn the_fork_lock_may_be_entered_again_by_its_thread() {
        alone!("the_fork_lock_may_be_entered_again_by_its_thread", || {
            let outer = NoFork::enter();
            let inner = NoFork::enter();
            drop(inner);
            assert!(outer.0.is_held_here());
            let pid = fork_for_test(false, || {
                // As if a signal handler had forked: the child goes on, and leaves what it never entered.
                drop(NoFork::enter());
                0
            });
            assert_eq!(wait_for_test(pid), 0);
            drop(outer);
            drop(NoFork::enter());
        });
    }
}
