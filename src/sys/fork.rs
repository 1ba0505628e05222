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
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Result;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::thread::futex;

/// What is wiped in a child.
struct Page {
    /// The current stamp; 0 until somebody asks.
    stamp: AtomicU64,
    /// The fork lock: 0 free, 1 held, 2 held and waited for.
    lock: AtomicU32,
    /// The thread that holds it.
    owner: AtomicU32,
    /// How many times that thread has entered again, from a signal handler.
    nested: AtomicU32,
}

impl Page {
    const fn new() -> Page {
        Page {
            stamp: AtomicU64::new(0),
            lock: AtomicU32::new(0),
            owner: AtomicU32::new(0),
            nested: AtomicU32::new(0),
        }
    }

    fn wipe(&self) {
        self.stamp.store(0, Ordering::Relaxed);
        self.nested.store(0, Ordering::Relaxed);
        self.owner.store(0, Ordering::Relaxed);
        self.lock.store(0, Ordering::Release);
    }
}

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
        acquire(page);
        NoFork(page)
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        release(self.0);
    }
}

fn this_thread() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

fn acquire(page: &Page) {
    let thread = this_thread();
    if page.owner.load(Ordering::Relaxed) == thread {
        page.nested.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // SYNC(fork-lock): pairs with the store in `release`.
    if page
        .lock
        .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        while page.lock.swap(2, Ordering::Acquire) != 0 {
            // Woken, interrupted, or not asleep at all: the loop looks again.
            let _ = futex::wait(&page.lock, futex::Flags::PRIVATE, 2, None);
        }
    }
    page.owner.store(thread, Ordering::Relaxed);
}

fn release(page: &Page) {
    // Another owner: this is a child that was forked in between, in which the page was wiped.
    if page.owner.load(Ordering::Relaxed) != this_thread() {
        return;
    }
    let nested = page.nested.load(Ordering::Relaxed);
    if nested > 0 {
        page.nested.store(nested - 1, Ordering::Relaxed);
        return;
    }
    page.owner.store(0, Ordering::Relaxed);
    // SYNC(fork-lock): pairs with the exchanges in `acquire`.
    if page.lock.swap(0, Ordering::Release) == 2 {
        let _ = futex::wake(&page.lock, futex::Flags::PRIVATE, 1);
    }
}

/// Installs the handlers once. Under the fork lock rather than a `Once`: a child that is forked meanwhile finds
/// the lock free.
fn install(page: &'static Page) {
    if INSTALLED.load(Ordering::Acquire) {
        return;
    }
    acquire(page);
    if !INSTALLED.load(Ordering::Relaxed) {
        // SAFETY: the three functions live as long as the program, and only do what is allowed after a fork:
        // atomics and system calls.
        let failed =
            unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        INSTALLED.store(failed == 0, Ordering::Release);
    }
    release(page);
}

extern "C" fn before_fork() {
    acquire(page());
}

extern "C" fn in_parent() {
    release(page());
}

extern "C" fn in_child() {
    let page = page();
    if ptr::eq(page, &raw const STAND_IN) {
        page.wipe();
    }
    REGISTRY.replace_all();
}

/// Which descriptors are registered: a bit for each number.
struct Registry {
    bits: [AtomicU64; 64],
    next: OnceLock<Box<Registry>>,
}

static REGISTRY: Registry = Registry::new();

impl Registry {
    const SPAN: usize = 64 * 64;

    const fn new() -> Registry {
        Registry {
            bits: [const { AtomicU64::new(0) }; 64],
            next: OnceLock::new(),
        }
    }

    fn mark(&self, fd: RawFd, registered: bool) {
        let mut number = usize::try_from(fd).unwrap_or(0);
        let mut part = self;
        while number >= Registry::SPAN {
            number -= Registry::SPAN;
            part = part.next.get_or_init(|| Box::new(Registry::new()));
        }
        let bit = 1_u64 << (number % 64);
        if let Some(word) = part.bits.get(number / 64) {
            if registered {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn for_each(&self, mut visit: impl FnMut(RawFd)) {
        let mut base = 0;
        let mut part = Some(self);
        while let Some(registry) = part {
            for word in &registry.bits {
                let mut bits = word.load(Ordering::Relaxed);
                while bits != 0 {
                    visit(base + bits.trailing_zeros().cast_signed());
                    bits &= bits - 1;
                }
                base += 64;
            }
            part = registry.next.get().map(|next| &**next);
        }
    }

    /// Replaces every registered descriptor. Runs in the child, which has this one thread.
    fn replace_all(&self) {
        let mut spare = None;
        self.for_each(|fd| {
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

/// Registers a descriptor that is open already: a child that was forked before has it.
pub(crate) fn register(fd: OwnedFd) -> Registered {
    let _no_fork = NoFork::enter();
    REGISTRY.mark(fd.as_raw_fd(), true);
    Registered {
        fd: ManuallyDrop::new(fd),
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
    fn the_registry_has_room_for_high_numbers() {
        let registry = Registry::new();
        for fd in [0, 63, 64, 4095, 4096, 20_000] {
            registry.mark(fd, true);
        }
        registry.mark(64, false);
        let mut seen = Vec::new();
        registry.for_each(|fd| seen.push(fd));
        assert_eq!(seen, [0, 63, 4095, 4096, 20_000]);
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
            assert_eq!(outer.0.owner.load(Ordering::Relaxed), this_thread());
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
