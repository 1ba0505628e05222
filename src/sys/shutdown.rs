//! SIGINT and SIGTERM as a descriptor.
//!
//! Unsafe is needed for `sigaction`, which rustix has not, and for naming a descriptor that belongs to the process.
//! What the blocks rely on:
//!
//! * **H1** The handler does nothing but load and store atomics and `write`, all of it safe in a signal handler, and
//!   leaves `errno` as it was.
//! * **H2** Once `EVENT` holds a number, that number is this module's for the life of the process.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::sys::fork::{self, Registered};

/// Whether one of the signals has come.
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The eventfd that the handler makes readable; -1 before there is one.
static EVENT: AtomicI32 = AtomicI32::new(-1);
/// The stamp of the process that the eventfd belongs to.
static OWNER: AtomicU64 = AtomicU64::new(0);
/// Whether both handlers are in place.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Catches both signals from now on, and gives the descriptor that becomes readable with the first. To do so again
/// changes nothing.
pub(crate) fn install() -> io::Result<BorrowedFd<'static>> {
    let mut fd = EVENT.load(Ordering::Acquire);
    if fd < 0 {
        // A forked child does not get it: a signal to the child would seem one to its parent.
        let event = Registered::open(new_event)?;
        let stamp = fork::stamp().value();
        fd = match EVENT.compare_exchange(
            -1,
            event.as_raw_fd(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => {
                OWNER.store(stamp, Ordering::Release);
                let fd = event.as_raw_fd();
                std::mem::forget(event);
                fd
            }
            Err(first) => first,
        };
    }
    if !CAUGHT.load(Ordering::Acquire) {
        catch(libc::SIGINT)?;
        catch(libc::SIGTERM)?;
        CAUGHT.store(true, Ordering::Release);
    }
    renew()?;
    // SAFETY: H2.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Whether one of the signals has come since [`install`], be it to a process that this one was forked from.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Acquire)
}

/// Gives a forked child an eventfd of its own, under the number that it knows from its parent.
pub(crate) fn renew() -> io::Result<()> {
    let here = fork::stamp().value();
    let owner = OWNER.load(Ordering::Acquire);
    if owner == 0 || owner == here {
        return Ok(());
    }
    let fresh = new_event()?;
    if OWNER
        .compare_exchange(owner, here, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
    {
        // Another thread does it.
        return Ok(());
    }
    let number = EVENT.load(Ordering::Acquire);
    // SAFETY: H2: nobody else's file is closed.
    match unsafe { libc::dup3(fresh.as_raw_fd(), number, libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn new_event() -> rustix::io::Result<std::os::fd::OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}

fn catch(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: H1: the handler is one that may run at any time.
    match unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn handle(_signal: libc::c_int) {
    REQUESTED.store(true, Ordering::Release);
    let event: RawFd = EVENT.load(Ordering::Acquire);
    let one = 1_u64.to_ne_bytes();
    // SAFETY: H1: always the address of this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: H1: it is an initialised integer, which no other thread knows.
    let saved = unsafe { errno.read() };
    // SAFETY: H1: eight bytes of the stack. An eventfd that is full is readable, which is what is wanted; in a forked
    // child that has not renewed it, the write fails.
    unsafe { libc::write(event, one.as_ptr().cast(), one.len()) };
    // SAFETY: as for the read.
    unsafe { errno.write(saved) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::Deadline;
    use crate::sys::fork::{fork_for_test, wait_for_test};
    use crate::sys::poll::any_readable;
    use crate::sys::testing::alone;
    use std::sync::Barrier;
    use std::time::Duration;

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        any_readable(&[fd], Deadline::after(Duration::from_millis(1))).unwrap()
    }

    fn send_to_self() {
        // SAFETY: the handler is in place.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
    }

    #[test]
    fn all_who_install_at_once_get_a_descriptor_that_tells() {
        alone!(
            "all_who_install_at_once_get_a_descriptor_that_tells",
            || {
                let together = Barrier::new(4);
                let fds: Vec<_> = std::thread::scope(|scope| {
                    let threads = [(); 4].map(|()| {
                        scope.spawn(|| {
                            together.wait();
                            install().unwrap()
                        })
                    });
                    threads.map(|thread| thread.join().unwrap()).into()
                });
                assert!(!requested() && fds.iter().all(|fd| !is_readable(*fd)));
                send_to_self();
                assert!(requested() && fds.iter().all(|fd| is_readable(*fd)));
            }
        );
    }

    #[test]
    fn a_signal_to_a_forked_child_is_none_to_its_parent() {
        alone!("a_signal_to_a_forked_child_is_none_to_its_parent", || {
            let fd = install().unwrap();
            let pid = fork_for_test(false, || {
                send_to_self();
                let told = requested();
                renew().unwrap();
                let fresh = !is_readable(fd);
                send_to_self();
                i32::from(!(told && fresh && is_readable(fd)))
            });
            assert_eq!(wait_for_test(pid), 0);
            assert!(!requested() && !is_readable(fd));
            send_to_self();
            assert!(requested() && is_readable(fd));
        });
    }
}
