//! Writing to a pipe without a SIGPIPE, whatever the program does with that signal.
//!
//! `unsafe` is needed because no safe wrapper of the calls on a thread's signal mask exists.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

use rustix::io::{Errno, Result};

/// Calls `write` with SIGPIPE blocked in this thread, and takes away the signal that it caused.
///
/// For kernels without `RWF_NOSIGNAL`: it costs four system calls more. A SIGPIPE that was pending before, by
/// somebody else's doing, stays pending.
pub(crate) fn without_sigpipe<T>(write: impl FnOnce() -> Result<T>) -> Result<T> {
    let pipe = sigpipe_only();
    let was_pending = sigpipe_is_pending();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `pipe` is an initialised set, and `old` is writable for one; the mask is this thread's own.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, old.as_mut_ptr()) };
    if failed != 0 {
        return Err(Errno::from_raw_os_error(failed));
    }
    let result = write();
    if matches!(result, Err(Errno::PIPE)) && !was_pending {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // Nothing is pending where the program ignores the signal: EAGAIN, and that is as well.
        // SAFETY: `pipe` and `now` are initialised, and a null pointer says that no details are wanted.
        while unsafe { libc::sigtimedwait(&pipe, ptr::null_mut(), &now) } == -1
            && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
        {}
    }
    // SAFETY: `old` was filled by the call above, which did not fail; a null pointer says that the mask that is
    // replaced is not wanted.
    let _ = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), ptr::null_mut()) };
    result
}

/// The set of SIGPIPE alone.
fn sigpipe_only() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is writable for a set, which the call initialises.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the call above has initialised it.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: `set` is initialised, and SIGPIPE is a signal.
    unsafe { libc::sigaddset(&mut set, libc::SIGPIPE) };
    set
}

fn sigpipe_is_pending() -> bool {
    let mut set = sigpipe_only();
    // SAFETY: `set` is writable for a set, which the call replaces.
    unsafe { libc::sigpending(&mut set) };
    // SAFETY: `set` is initialised, and SIGPIPE is a signal.
    unsafe { libc::sigismember(&set, libc::SIGPIPE) == 1 }
}

/// What tests do to their own process's signals.
#[cfg(test)]
pub(crate) mod test {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    static CAUGHT: AtomicU64 = AtomicU64::new(0);

    extern "C" fn count(_signal: libc::c_int) {
        CAUGHT.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets SIGPIPE kill this process again (the runtime of Rust ignores it).
    pub(crate) fn let_sigpipe_kill() {
        // SAFETY: the default action is a valid one; the caller runs in a process made for the test.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }

    /// The CPU time that this thread has used.
    pub(crate) fn thread_cpu_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let whole = Duration::from_secs(time.tv_sec.try_into().unwrap());
        whole + Duration::from_nanos(time.tv_nsec.try_into().unwrap())
    }

    /// Runs `body` while another thread sends SIGUSR1 to this one every fifth of a millisecond; gives what it gave
    /// and how many signals arrived.
    pub(crate) fn in_a_storm_of_signals<T>(body: impl FnOnce() -> T) -> (T, u64) {
        // SAFETY: all zeros is a valid sigaction: no flags (so no SA_RESTART), an empty mask.
        let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
        action.sa_sigaction = count as *const () as usize;
        // SAFETY: `action` is initialised, and its handler does nothing but count in an atomic.
        unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
        // SAFETY: the call has no precondition.
        let target = unsafe { libc::pthread_self() };
        let before = CAUGHT.load(Ordering::Relaxed);
        let done = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // SAFETY: the thread of that number waits for this scope, so it exists.
                    unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                    std::thread::park_timeout(Duration::from_micros(200));
                }
            });
            let result = body();
            done.store(true, Ordering::Relaxed);
            result
        });
        (result, CAUGHT.load(Ordering::Relaxed) - before)
    }
}
