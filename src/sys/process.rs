//! Which process it is, and whether it is dead.
//!
//! A pid alone is believed by nobody: it is used again. An [`Identity`] adds when the process started, in which
//! pid namespace its number counts, and in which boot.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use crate::sys::file::{read_from_start, retry};
use crate::sys::fork;
pub(crate) use crate::sys::time_namespace::time_namespace;

/// Ticks a second of the times in `/proc`: part of the kernel's interface on all architectures of this crate.
const TICKS_PER_SEC: u64 = 100;

/// One process, of all that ever ran on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// The kernel's number for this boot.
    pub(crate) boot_id: [u8; 16],
    /// The inode of the pid namespace in which `pid` counts.
    pub(crate) pid_ns: u64,
    /// The process id.
    pub(crate) pid: u32,
    /// When it started, in ticks since boot as the initial time namespace counts; 0 if not known.
    pub(crate) start_time: u64,
}

/// What is known of a process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It runs (or is stopped, or is dumping its core).
    Alive,
    /// It has ended: proven.
    Dead,
    /// Neither can be proven from here, as in another pid namespace.
    Unknown,
}

impl Identity {
    /// This process. Found out once, and again in a forked child.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub(crate) fn current() -> Result<Identity> {
        // 0: empty, odd: being filled, even: the words are of the process with this stamp.
        static FILLED: AtomicU64 = AtomicU64::new(0);
        static WORDS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
        let mark = fork::stamp().value().wrapping_mul(2);
        let filled = FILLED.load(Ordering::Acquire);
        if filled == mark {
            return Ok(Identity::from_words(
                WORDS.each_ref().map(|word| word.load(Ordering::Relaxed)),
            ));
        }
        let identity = Identity::read()?;
        // A child whose parent was just filling it keeps asking `/proc`.
        if filled.is_multiple_of(2)
            && FILLED
                .compare_exchange(filled, mark | 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        {
            for (word, value) in WORDS.iter().zip(identity.to_words()) {
                word.store(value, Ordering::Relaxed);
            }
            FILLED.store(mark, Ordering::Release);
        }
        Ok(identity)
    }

    /// The process that has this number in this process's pid namespace now.
    pub(crate) fn of(pid: u32) -> Result<Identity> {
        Ok(Identity {
            pid,
            start_time: start_time(&format!("/proc/{pid}/stat"))?,
            ..Identity::current()?
        })
    }

    fn read() -> Result<Identity> {
        Ok(Identity {
            boot_id: boot_id()?,
            pid_ns: namespace("/proc/self/ns/pid")?,
            pid: getpid().as_raw_nonzero().get().unsigned_abs(),
            start_time: start_time("/proc/self/stat")?,
        })
    }

    /// As words, for shared memory.
    pub(crate) fn to_words(self) -> [u64; 5] {
        let boot = u128::from_be_bytes(self.boot_id);
        [
            high(boot),
            low(boot),
            self.pid_ns,
            u64::from(self.pid),
            self.start_time,
        ]
    }

    /// From words that a peer may have written: any of them gives an identity, if not one that exists.
    pub(crate) fn from_words(words: [u64; 5]) -> Identity {
        let [boot_high, boot_low, pid_ns, pid, start_time] = words;
        Identity {
            boot_id: (u128::from(boot_high) << 64 | u128::from(boot_low)).to_be_bytes(),
            pid_ns,
            pid: u32::try_from(pid).unwrap_or(0),
            start_time,
        }
    }

    /// Whether the process is alive. `Dead` is said only of what is proven: another boot, a pid that nobody has, a
    /// pid that another process has by now, or a process all of whose threads have ended.
    pub(crate) fn liveness(&self) -> Liveness {
        let Ok(here) = Identity::current() else {
            return Liveness::Unknown;
        };
        if self.boot_id != here.boot_id {
            return Liveness::Dead;
        }
        if self.pid_ns != here.pid_ns {
            return Liveness::Unknown;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Liveness::Unknown;
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Some(pidfd),
            Err(Errno::SRCH) => return Liveness::Dead,
            // The number is a thread's, or the kernel has no pidfds: the start time tells.
            Err(_) => None,
        };
        // Readable: whoever has this number has ended. That is the process in question or one after it. State Z in
        // /proc would prove nothing: a leader is a zombie while its other threads run on.
        let ended = || pidfd.as_ref().is_some_and(is_readable);
        if ended() {
            return Liveness::Dead;
        }
        if self.start_time == 0 || here.start_time == 0 || !proc_is_ours(here.pid) {
            return Liveness::Unknown;
        }
        match start_time(&format!("/proc/{}/stat", self.pid)) {
            // One tick is lost where the clocks of two time namespaces differ by part of a tick.
            Ok(start) if start.abs_diff(self.start_time) > 1 => Liveness::Dead,
            Ok(_) => Liveness::Alive,
            Err(_) if ended() => Liveness::Dead,
            Err(_) => Liveness::Unknown,
        }
    }

    /// Whether the process has ended: proven.
    pub(crate) fn is_dead(&self) -> bool {
        self.liveness() == Liveness::Dead
    }
}

/// The text form of lock files: `pid=12 start=345 pidns=4026531836 boot=00112233-…`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextForm(pub(crate) Identity);

impl fmt::Display for TextForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity {
            boot_id,
            pid_ns,
            pid,
            start_time,
        } = self.0;
        let boot = u128::from_be_bytes(boot_id);
        write!(
            f,
            "pid={pid} start={start_time} pidns={pid_ns} boot={boot:032x}"
        )
    }
}

impl FromStr for TextForm {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<TextForm, ()> {
        let mut words = text.split(' ');
        let mut value = |key: &str| {
            words
                .next()
                .and_then(|word| word.strip_prefix(key))
                .and_then(|word| word.strip_prefix('='))
                .ok_or(())
        };
        let pid = value("pid")?.parse().map_err(|_| ())?;
        let start_time = value("start")?.parse().map_err(|_| ())?;
        let pid_ns = value("pidns")?.parse().map_err(|_| ())?;
        let boot = parse_boot_id(value("boot")?).ok_or(())?;
        if words.next().is_some() {
            return Err(());
        }
        Ok(TextForm(Identity {
            boot_id: boot,
            pid_ns,
            pid,
            start_time,
        }))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        if self.start_time != 0 {
            let secs = self.start_time / TICKS_PER_SEC;
            let rest = self.start_time % TICKS_PER_SEC;
            write!(f, " (started {secs}.{rest:02} s after boot)")?;
        }
        match Identity::current() {
            Ok(here) if here.boot_id != self.boot_id => f.write_str(" in an earlier boot"),
            Ok(here) if here.pid_ns != self.pid_ns => {
                write!(f, " in pid namespace {}", self.pid_ns)
            }
            _ => Ok(()),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the halves are meant")]
fn low(word: u128) -> u64 {
    word as u64
}

fn high(word: u128) -> u64 {
    low(word >> 64)
}

fn is_readable(fd: &impl std::os::fd::AsFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    retry(|| poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&now))).is_ok_and(|ready| ready > 0)
}

fn read_proc(path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = retry(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let bytes = read_from_start(&fd, 4096)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn boot_id() -> Result<[u8; 16]> {
    let text = read_proc("/proc/sys/kernel/random/boot_id")?;
    parse_boot_id(&text.trim_end().replace('-', "")).ok_or(Errno::IO)
}

fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let boot = digits
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()?;
    Some(boot.to_be_bytes())
}

pub(super) fn namespace(path: &str) -> Result<u64> {
    rustix::fs::statat(CWD, path, AtFlags::empty()).map(|stat| stat.st_ino)
}

/// When a process started, in ticks since boot as the initial time namespace counts; 0 if that cannot be told.
fn start_time(stat: &str) -> Result<u64> {
    let ticks = parse_start_time(&read_proc(stat)?).ok_or(Errno::IO)?;
    Ok(boottime_offset().map_or(0, |offset| {
        ticks.saturating_add_signed(offset.saturating_neg())
    }))
}

/// Field 22 of a `stat` file. The name in field 2 may contain anything, blanks and parentheses too.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The ticks by which this process's time namespace shifts the times in `/proc`. `None`: not to be known, as this
/// process has made another namespace for its children, and the file tells of that one.
fn boottime_offset() -> Option<i64> {
    let Ok(offsets) = read_proc("/proc/self/timens_offsets") else {
        // A kernel without time namespaces.
        return Some(0);
    };
    let for_children = namespace("/proc/self/ns/time_for_children");
    if for_children.ok()? != time_namespace() {
        return None;
    }
    parse_boottime_offset(&offsets)
}

fn parse_boottime_offset(offsets: &str) -> Option<i64> {
    let line = offsets
        .lines()
        .find(|line| line.starts_with("boottime") || line.starts_with('7'))?;
    let mut words = line.split_ascii_whitespace().skip(1);
    let secs: i64 = words.next()?.parse().ok()?;
    let nanos: i64 = words.next()?.parse().ok()?;
    let per_sec = TICKS_PER_SEC.cast_signed();
    Some(secs.saturating_mul(per_sec) + nanos / (1_000_000_000 / per_sec))
}

/// Whether the `/proc` that is mounted here shows the pid namespace of this process.
fn proc_is_ours(pid: u32) -> bool {
    rustix::fs::readlinkat(CWD, "/proc/self", Vec::new())
        .is_ok_and(|target| target.to_bytes() == pid.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::{fork_for_test, wait_for_test};
    use crate::sys::testing::alone;
    use std::process::Command;

    fn identity_of(pid: u32) -> Identity {
        Identity {
            pid,
            start_time: start_time(&format!("/proc/{pid}/stat")).unwrap(),
            ..Identity::current().unwrap()
        }
    }

    #[test]
    fn this_process_is_alive_and_known_by_its_words_and_its_text() {
        let me = Identity::current().unwrap();
        assert_eq!(me, Identity::current().unwrap());
        assert_eq!(me.pid, std::process::id());
        assert_eq!(me.liveness(), Liveness::Alive);
        assert_eq!(Identity::from_words(me.to_words()), me);
        let text = TextForm(me).to_string();
        assert_eq!(text.parse::<TextForm>().unwrap().0, me);
        assert!(
            me.to_string()
                .starts_with(&format!("pid {} (started ", me.pid))
        );
        for bad in [
            "",
            "pid=1",
            "pid=x start=1 pidns=1 boot=1",
            &format!("{text} more"),
        ] {
            assert!(bad.parse::<TextForm>().is_err(), "{bad}");
        }
    }

    #[test]
    fn death_is_claimed_only_when_proven() {
        let me = Identity::current().unwrap();
        let other_boot = Identity {
            boot_id: [7; 16],
            ..me
        };
        assert_eq!(other_boot.liveness(), Liveness::Dead);
        let other_namespace = Identity { pid_ns: 1, ..me };
        assert_eq!(other_namespace.liveness(), Liveness::Unknown);
        let earlier_owner_of_the_pid = Identity {
            start_time: me.start_time - 2,
            ..me
        };
        assert_eq!(earlier_owner_of_the_pid.liveness(), Liveness::Dead);
        let start_not_known = Identity {
            start_time: 0,
            ..me
        };
        assert_eq!(start_not_known.liveness(), Liveness::Unknown);
        assert_eq!(Identity { pid: 0, ..me }.liveness(), Liveness::Unknown);
        assert_eq!(
            Identity {
                pid: u32::MAX,
                ..me
            }
            .liveness(),
            Liveness::Unknown
        );
    }

    #[test]
    fn a_killed_child_is_dead_before_and_after_it_is_reaped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = identity_of(child.id());
        assert_eq!(identity.liveness(), Liveness::Alive);
        child.kill().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let limit = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let zombie = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit));
        assert_eq!(zombie, Ok(1));
        assert_eq!(identity.liveness(), Liveness::Dead);
        child.wait().unwrap();
        assert_eq!(identity.liveness(), Liveness::Dead);
    }

    #[test]
    fn a_forked_child_is_another_process() {
        alone!("a_forked_child_is_another_process", || {
            let parent = Identity::current().unwrap();
            let pid = fork_for_test(true, || {
                let child = Identity::current().unwrap();
                i32::from(child.pid == parent.pid || parent.liveness() != Liveness::Alive)
            });
            assert_eq!(wait_for_test(pid), 0);
        });
    }

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        let after = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["(sleep)", "(a b)", "(x) S (y)", "())"] {
            let stat = format!("77 {name} {after}");
            assert_eq!(parse_start_time(&stat), Some(4711), "{stat}");
        }
        assert_eq!(parse_start_time("77 (short) S 1"), None);
    }

    #[test]
    fn a_time_namespace_shifts_start_times_and_is_reckoned_with() {
        let text = "monotonic         500         0\nboottime       100000 500000000\n";
        assert_eq!(parse_boottime_offset(text), Some(10_000_050));
        let negative = "monotonic           0         0\nboottime        -3 10000000\n";
        assert_eq!(parse_boottime_offset(negative), Some(-299));
        assert_ne!(time_namespace(), 0);
    }

    #[test]
    fn the_same_process_looks_alive_from_another_time_namespace() {
        const VARIABLE: &str = "OSPS_TEST_IDENTITY";
        if let Ok(text) = std::env::var(VARIABLE) {
            let parent = text.parse::<TextForm>().unwrap().0;
            assert_eq!(parent.liveness(), Liveness::Alive);
            assert_eq!(Identity::current().unwrap().liveness(), Liveness::Alive);
            return;
        }
        let name = "sys::process::tests::the_same_process_looks_alive_from_another_time_namespace";
        let output = Command::new("unshare")
            .args(["-T", "--boottime", "100000", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(VARIABLE, TextForm(Identity::current().unwrap()).to_string())
            .output();
        match output {
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare:") => {
                eprintln!("SKIPPED: no time namespace can be made here");
            }
            Err(_) => eprintln!("SKIPPED: no unshare here"),
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            ),
        }
    }
}
