//! Waiting for descriptors, until a deadline and no longer.
//!
//! A wait never ends early as if its deadline had passed, a signal does not change its length, and it is not
//! rounded up to milliseconds. rustix calls `epoll_pwait` with rounded milliseconds unless its feature
//! `linux_5_11` is on, and `epoll_pwait2` without a way back if it is on. So a wait goes here in two legs: whole
//! milliseconds, rounded down, by `epoll_wait`; the rest by `ppoll` on the epoll descriptor, which takes
//! nanoseconds on every kernel. A wait that ends by an event, the common case, costs one system call.
//!
//! A timeout given to `epoll_wait` has the kernel set a timer and take it back, which is an eighth of what a sleep and its
//! wake cost on one core. So a wait whose deadline is far leaves that to a timer of the set ([`Alarm`]), which stays set
//! over many waits.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};

use crate::sys::clock::{self, Deadline};
use crate::sys::fork::Registered;
use crate::sys::timer::Timer;

/// The longest single leg of a wait: a timeout in milliseconds must fit in an `int`.
const LONGEST_LEG: Duration = Duration::from_secs(24 * 60 * 60);

/// From how far away on a deadline is left to the alarm, which wakes a waiter needlessly once in such a time at most.
const FAR_NS: u64 = 200_000_000;

/// What to be told of about a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(EventFlags);

impl Interest {
    /// There is something to read, told for as long as there is. Right for the `O_RDWR` end of a FIFO, a pidfd,
    /// an inotify descriptor, and another epoll.
    pub(crate) const READ: Interest = Interest(EventFlags::IN);
    /// The reader of a write end has died, told once for each death; also at once if there is none when the end
    /// is added. A new reader heals the end, and its death is told again.
    pub(crate) const DEATH: Interest = Interest(EventFlags::ERR.union(EventFlags::ET));
    /// There is room to write, or the reader has died, told for as long as it is so.
    pub(crate) const ROOM: Interest = Interest(EventFlags::OUT.union(EventFlags::ERR));
}

/// One descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The number under which it was added.
    pub(crate) token: u64,
    flags: EventFlags,
}

impl Ready {
    /// There is something to read.
    #[cfg(test)]
    pub(crate) fn is_readable(self) -> bool {
        self.flags.contains(EventFlags::IN)
    }

    /// There is room to write.
    #[cfg(test)]
    pub(crate) fn is_writable(self) -> bool {
        self.flags.contains(EventFlags::OUT)
    }

    /// A write end has no reader, or the descriptor is otherwise dead.
    pub(crate) fn is_dead(self) -> bool {
        self.flags.intersects(EventFlags::ERR | EventFlags::HUP)
    }
}

/// How many events one wait takes at most; the others come with the next.
const BATCH: usize = 64;

/// What was ready when the last wait ended.
#[derive(Default)]
pub(crate) struct Events {
    ready: Vec<Ready>,
}

impl Events {
    /// Nothing yet.
    pub(crate) const fn new() -> Events {
        Events { ready: Vec::new() }
    }

    /// What was ready.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Ready> {
        self.ready.iter().copied()
    }

    /// How many were ready.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether nothing was ready.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A set of descriptors that the kernel keeps the ready ones of.
///
/// Its own descriptor is readable when one of them is ready, and never shows a hang-up.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: Registered,
    alarm: Alarm,
}

/// A timer in a set, set to a time no later than the deadline of the wait that goes on: where it is earlier, as it was set for
/// a wait before, the waiter sets it anew and goes on.
#[derive(Debug, Default)]
struct Alarm {
    /// Made when it is first needed; `None` inside if it cannot be had.
    timer: OnceLock<Option<Timer>>,
    /// What it is set to, in nanoseconds of the monotonic clock; 0 if it is not.
    at: AtomicU64,
}

impl Alarm {
    /// Of all tokens only this one is not for users of the set.
    const TOKEN: u64 = u64::MAX;

    /// Whether it will ring by then, as it was set for a wait before.
    fn rings_by(&self, at: u64) -> bool {
        let set = self.at.load(Ordering::Relaxed);
        set != 0 && set <= at
    }

    /// Sets it; whether that could be done.
    fn set(&self, epoll: &Registered, at: u64) -> bool {
        let make = || {
            let timer = Timer::new().ok()?;
            let token = EventData::new_u64(Alarm::TOKEN);
            epoll::add(epoll, &timer, token, EventFlags::IN).ok()?;
            Some(timer)
        };
        let timer = self.timer.get_or_init(make).as_ref();
        let is_set = timer.is_some_and(|timer| timer.set(Some(at)).is_ok());
        if is_set {
            self.at.store(at, Ordering::Relaxed);
        }
        is_set
    }

    fn quiet(&self) {
        if let Some(Some(timer)) = self.timer.get()
            && self.at.swap(0, Ordering::Relaxed) != 0
        {
            let _ = timer.set(None);
        }
    }
}

impl Epoll {
    /// An empty set, close-on-exec, and out of reach for a forked child: what it took away, this process would miss.
    pub(crate) fn new() -> Result<Epoll> {
        let fd = Registered::open(|| epoll::create(CreateFlags::CLOEXEC))?;
        let alarm = Alarm::default();
        Ok(Epoll { fd, alarm })
    }

    /// For who goes on to wait for the set's own descriptor: the deadline of the last wait does not show there.
    pub(crate) fn forget_deadline(&self) {
        self.alarm.quiet();
    }

    /// Adds a descriptor. Closing its last copy takes it out again.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::add(&self.fd, fd, EventData::new_u64(token), interest.0)
    }

    /// Changes what is told about a descriptor; what holds already is told at the next wait, also where an edge
    /// was consumed before.
    pub(crate) fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::modify(&self.fd, fd, EventData::new_u64(token), interest.0)
    }

    /// Takes a descriptor out.
    pub(crate) fn remove(&self, fd: impl AsFd) -> Result<()> {
        epoll::delete(&self.fd, fd)
    }

    /// What is ready now, without waiting and without a look at the clock.
    pub(crate) fn wait_not(&self, events: &mut Events) -> Result<usize> {
        self.fetch(events, Some(Duration::ZERO))
    }

    /// Waits until at least one descriptor is ready, or the deadline has passed: then the result is 0.
    pub(crate) fn wait(&self, events: &mut Events, deadline: Deadline) -> Result<usize> {
        loop {
            let alarmed = deadline.as_ns().is_some_and(|at| {
                // The coarse clock is behind at times, which only decides to whom this leg is left.
                let is_far = || at.saturating_sub(clock::coarse_ns()) >= FAR_NS;
                self.alarm.rings_by(at) || (is_far() && self.alarm.set(&self.fd, at))
            });
            let left = if alarmed { None } else { deadline.remaining() };
            let leg = left.map(whole_milliseconds);
            if leg == Some(Duration::ZERO) && left != leg {
                poll_once(&mut [PollFd::new(&self.fd, PollFlags::IN)], left)?;
            }
            let count = self.fetch(events, leg)?;
            if count > 0 || left == Some(Duration::ZERO) {
                return Ok(count);
            }
        }
    }

    /// One `epoll_wait`; 0 when it timed out or a signal ended it. `timeout` is in whole milliseconds.
    fn fetch(&self, events: &mut Events, timeout: Option<Duration>) -> Result<usize> {
        events.ready.clear();
        let timeout = timeout.map(timespec);
        // Not kept between waits: the kernel's type is not `Send`.
        let mut buffer = [MaybeUninit::uninit(); BATCH];
        match epoll::wait(&self.fd, &mut buffer[..], timeout.as_ref()) {
            Err(Errno::INTR) => Ok(0),
            Err(errno) => Err(errno),
            Ok((found, _)) => {
                events.ready.extend(found.iter().map(|event| Ready {
                    token: event.data.u64(),
                    flags: event.flags,
                }));
                let found = events.ready.len();
                events.ready.retain(|ready| ready.token != Alarm::TOKEN);
                if events.ready.len() < found {
                    self.alarm.quiet();
                }
                Ok(events.ready.len())
            }
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Waits for one descriptor; `None` if the deadline has passed first. The token of what it shows is 0, and nothing
/// is told only once: a dead descriptor shows at every call, asked for or not.
pub(crate) fn wait_one(
    fd: impl AsFd,
    interest: Interest,
    deadline: Deadline,
) -> Result<Option<Ready>> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.0.contains(EventFlags::IN));
    flags.set(PollFlags::OUT, interest.0.contains(EventFlags::OUT));
    let shown = poll_one(fd, flags, deadline)?;
    let mut flags = EventFlags::empty();
    for (of_poll, of_epoll) in [
        (PollFlags::IN, EventFlags::IN),
        (PollFlags::OUT, EventFlags::OUT),
        (PollFlags::ERR, EventFlags::ERR),
        (PollFlags::HUP, EventFlags::HUP),
    ] {
        flags.set(of_epoll, shown.contains(of_poll));
    }
    Ok((!shown.is_empty()).then_some(Ready { token: 0, flags }))
}

/// [`wait_one`] inside of `sys`; what it shows is empty if the deadline has passed first.
pub(crate) fn poll_one(fd: impl AsFd, flags: PollFlags, deadline: Deadline) -> Result<PollFlags> {
    let mut fds = [PollFd::new(&fd, flags)];
    loop {
        let left = deadline.remaining();
        if poll_once(&mut fds, left.map(|left| left.min(LONGEST_LEG)))? > 0
            || left == Some(Duration::ZERO)
        {
            return Ok(fds.first().map_or(PollFlags::empty(), PollFd::revents));
        }
    }
}

/// Waits until something can be read from one of several descriptors, or the deadline has passed: then `false`.
pub(crate) fn any_readable(of: &[BorrowedFd<'_>], deadline: Deadline) -> Result<bool> {
    let mut fds: Vec<PollFd<'_>> = of.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.remaining();
        if poll_once(&mut fds, left.map(|left| left.min(LONGEST_LEG)))? > 0 {
            return Ok(true);
        }
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
    }
}

/// One `ppoll`; 0 when it timed out or a signal ended it.
fn poll_once(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<usize> {
    match poll(fds, timeout.map(timespec).as_ref()) {
        Err(Errno::INTR) => {
            fds.iter_mut().for_each(PollFd::clear_revents);
            Ok(0)
        }
        result => result,
    }
}

/// The whole milliseconds in a time, for one leg of a wait.
fn whole_milliseconds(time: Duration) -> Duration {
    let leg = time.min(LONGEST_LEG);
    leg - Duration::from_nanos(u64::from(leg.subsec_nanos() % 1_000_000))
}

/// `time` is at most [`LONGEST_LEG`], or less than a millisecond.
fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use super::*;

    fn pipe() -> (OwnedFd, OwnedFd) {
        rustix::pipe::pipe_with(
            rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
        )
        .unwrap()
    }

    #[test]
    fn a_wait_lasts_its_time_to_well_below_a_millisecond() {
        let epoll = Epoll::new().unwrap();
        let (read, _write) = pipe();
        epoll.add(&read, 1, Interest::READ).unwrap();
        let mut events = Events::new();
        for micros in [1, 150, 1_000, 1_400, 3_300] {
            let wanted = Duration::from_micros(micros);
            // One in time is enough, as the machine may be busy: a rounded wait would be late each time.
            let (begin, mut best) = (Instant::now(), Duration::MAX);
            while best >= wanted + Duration::from_micros(300) {
                let start = Instant::now();
                assert_eq!(epoll.wait(&mut events, Deadline::after(wanted)), Ok(0));
                let took = start.elapsed();
                assert!(took >= wanted, "{took:?} for {wanted:?}");
                best = best.min(took);
                let start = Instant::now();
                let shown = wait_one(&read, Interest::READ, Deadline::after(wanted));
                assert_eq!(shown, Ok(None));
                let took = start.elapsed();
                assert!(took >= wanted, "{took:?} for {wanted:?}");
                assert!(
                    begin.elapsed() < Duration::from_secs(20),
                    "{best:?} for {wanted:?}"
                );
            }
        }
    }

    #[test]
    fn a_far_deadline_is_kept_whatever_was_waited_for_before() {
        let epoll = Epoll::new().unwrap();
        let (read, write) = pipe();
        epoll.add(&read, 1, Interest::READ).unwrap();
        let mut events = Events::new();
        let ms = |count| Deadline::after(Duration::from_millis(count));
        let is_alarmed = || epoll.alarm.at.load(Ordering::Relaxed) != 0;
        rustix::io::write(&write, b"x").unwrap();
        // Sets the alarm; the waits after it find it set for earlier, or set it for earlier themselves.
        for timeout in [60_000, 3_600_000, 30_000] {
            assert_eq!(epoll.wait(&mut events, ms(timeout)), Ok(1));
            assert!(is_alarmed());
        }
        rustix::io::read(&read, &mut [0; 8]).unwrap();
        for timeout in [450, 250, 210] {
            let start = Instant::now();
            assert_eq!(epoll.wait(&mut events, ms(timeout)), Ok(0));
            assert!(start.elapsed() >= Duration::from_millis(timeout));
        }
        rustix::io::write(&write, b"x").unwrap();
        assert_eq!(epoll.wait(&mut events, ms(250)), Ok(1));
        rustix::io::read(&read, &mut [0; 8]).unwrap();
        epoll.forget_deadline();
        assert_eq!(wait_one(&epoll, Interest::READ, ms(400)), Ok(None));
    }

    #[test]
    fn what_is_ready_is_told_even_when_the_deadline_has_passed() {
        let epoll = Epoll::new().unwrap();
        let (read, write) = pipe();
        epoll.add(&read, 77, Interest::READ).unwrap();
        let mut events = Events::new();
        let passed = Deadline::after(Duration::ZERO);
        assert_eq!(epoll.wait(&mut events, passed), Ok(0));
        assert!(events.is_empty());
        std::fs::File::from(write.try_clone().unwrap())
            .write_all(b"x")
            .unwrap();
        assert_eq!(epoll.wait(&mut events, passed), Ok(1));
        let ready = events.iter().next().unwrap();
        assert_eq!((ready.token, ready.is_readable()), (77, true));
        assert!(!ready.is_dead() && !ready.is_writable());
        assert_eq!(epoll.wait_not(&mut events), Ok(1));
        assert_eq!(epoll.wait(&mut events, Deadline::never()), Ok(1));
        let shown = wait_one(&read, Interest::READ, passed).unwrap();
        assert!(shown.is_some_and(|ready| ready.is_readable() && !ready.is_dead()));
        epoll.remove(&read).unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        assert_eq!(events.len(), 0);
    }

    #[test]
    fn a_reader_that_dies_is_told_once_and_a_full_pipe_that_has_room_again_is_told() {
        let epoll = Epoll::new().unwrap();
        let (read, write) = pipe();
        let mut events = Events::new();
        epoll.add(&write, 5, Interest::DEATH).unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        let page = [0; 4096];
        while rustix::io::write(&write, &page).is_ok() {}
        epoll.modify(&write, 5, Interest::ROOM).unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        rustix::io::read(&read, &mut [0; 4096]).unwrap();
        for _ in 0..2 {
            assert_eq!(epoll.wait_not(&mut events), Ok(1));
            assert!(events.iter().all(|ready| ready.is_writable()));
        }
        epoll.modify(&write, 5, Interest::DEATH).unwrap();
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        drop(read);
        assert_eq!(epoll.wait_not(&mut events), Ok(1));
        assert!(events.iter().all(|ready| ready.is_dead()));
        assert_eq!(epoll.wait_not(&mut events), Ok(0));
        let shown = wait_one(&write, Interest::ROOM, Deadline::passed()).unwrap();
        assert!(shown.is_some_and(Ready::is_dead));
    }

    #[test]
    fn a_leg_is_whole_milliseconds_and_fits() {
        let ms = Duration::from_millis;
        assert_eq!(whole_milliseconds(Duration::MAX), LONGEST_LEG);
        assert_eq!(whole_milliseconds(Duration::from_nanos(999_999)), ms(0));
        assert_eq!(whole_milliseconds(Duration::from_nanos(5_999_999)), ms(5));
    }
}
