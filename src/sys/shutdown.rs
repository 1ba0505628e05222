//! SIGINT and SIGTERM as a descriptor.
//!
//! Unsafe is needed for `sigaction`, which rustix has not. What the blocks rely on:
//!
//! * **H1** The handler does nothing but a store to an atomic and a `write`, both safe in a signal handler.
//! * **H2** The descriptor that it writes to is never closed: it belongs to the process.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Whether one of the signals has come.
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The eventfd that the handler makes readable, for good.
static EVENT: AtomicI32 = AtomicI32::new(-1);
/// That descriptor once both handlers are in place.
static INSTALLED: OnceLock<RawFd> = OnceLock::new();

/// Catches both signals from now on, and gives the descriptor that becomes readable with the first. To do so again
/// changes nothing.
pub(crate) fn install() -> io::Result<BorrowedFd<'static>> {
    let fd = match INSTALLED.get() {
        Some(fd) => *fd,
        None => {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?.into_raw_fd();
            // Of two threads that come here at once, both leave a descriptor that works.
            EVENT.store(event, Ordering::Release);
            catch(libc::SIGINT)?;
            catch(libc::SIGTERM)?;
            *INSTALLED.get_or_init(|| event)
        }
    };
    // SAFETY: H2.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Whether one of the signals has come since [`install`].
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Acquire)
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
    let one = 1_u64.to_ne_bytes();
    // SAFETY: H1: the address of this thread's errno, which the interrupted code may be about to read.
    let errno = unsafe { &mut *libc::__errno_location() };
    let saved = *errno;
    // SAFETY: H1: eight bytes of the stack. An eventfd that is full is readable, which is what is wanted.
    unsafe {
        libc::write(
            EVENT.load(Ordering::Acquire),
            one.as_ptr().cast(),
            one.len(),
        )
    };
    *errno = saved;
}
