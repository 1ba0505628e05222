//! What `/proc` says of a process and its threads.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, Result};

use crate::detector::{Thread, ThreadFacts, ThreadState};
use crate::sys::file::{read_from_start, retry};

/// The directory of a process in `/proc`. It does not come to show another one that gets the same number.
#[derive(Debug)]
pub(crate) struct ProcDir {
    dir: OwnedFd,
}

/// What was found of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) thread: Thread,
    /// The process is writing its core dump.
    pub(crate) dumping: bool,
}

impl ProcDir {
    /// The process that has this number now. To be opened while a pidfd of it says that it lives.
    pub(crate) fn open(pid: u32) -> Result<ProcDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry(|| openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()))?;
        Ok(ProcDir { dir })
    }

    /// Looks at a thread: three small files, and those of its control group.
    pub(crate) fn look(&self, tid: u32) -> Found {
        let task = |file: &str| self.read(&format!("task/{tid}/{file}"));
        let status = match task("status") {
            Ok(status) => status,
            Err(errno) => {
                let gone = matches!(errno, Errno::NOENT | Errno::SRCH);
                let thread = match gone && self.read("stat").is_ok() {
                    true => Thread::Gone,
                    // The whole process has ended, or may not be looked at.
                    false => Thread::Unread,
                };
                return Found {
                    thread,
                    dumping: false,
                };
            }
        };
        let dumping = field(&status, "CoreDumping:") == Some(1);
        let state = status
            .lines()
            .find_map(|line| line.strip_prefix("State:"))
            .and_then(|rest| rest.trim_start().bytes().next());
        // Where the kernel keeps no statistics of waiting, `stat` has the time in ticks.
        let clocks = task("schedstat")
            .ok()
            .and_then(|text| schedstat(&text))
            .or_else(|| task("stat").ok().and_then(|text| ticks(&text)));
        let (Some(state), Some((cpu, waited))) = (state, clocks) else {
            return Found {
                thread: Thread::Unread,
                dumping,
            };
        };
        let facts = ThreadFacts {
            tid,
            state: ThreadState::from_letter(state),
            tracer: field(&status, "TracerPid:").unwrap_or(0),
            frozen: self.is_frozen(),
            cpu,
            waited,
        };
        Found {
            thread: Thread::Seen(facts),
            dumping,
        }
    }

    /// Whether a control group of the process is frozen. What cannot be read is not.
    fn is_frozen(&self) -> bool {
        let groups = self.read("cgroup").unwrap_or_default();
        groups.lines().any(|line| {
            let Some((controllers, path)) = line
                .split_once(':')
                .and_then(|(_, rest)| rest.split_once(':'))
            else {
                return false;
            };
            let says = |file: String, word: &str| {
                read_at(CWD, &file).is_ok_and(|text| text.lines().any(|line| line == word))
            };
            let path = path.trim_end_matches('/');
            match controllers {
                // The root of the hierarchy cannot be frozen.
                _ if path.is_empty() => false,
                "" => ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
                    .iter()
                    .any(|mount| says(format!("{mount}{path}/cgroup.events"), "frozen 1")),
                "freezer" => says(
                    format!("/sys/fs/cgroup/freezer{path}/freezer.state"),
                    "FROZEN",
                ),
                _ => false,
            }
        })
    }

    fn read(&self, name: &str) -> Result<String> {
        read_at(&self.dir, name)
    }
}

fn read_at(dir: impl std::os::fd::AsFd, name: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = retry(|| openat(dir.as_fd(), name, flags, Mode::empty()))?;
    let bytes = read_from_start(&fd, 4096)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number behind a key of `status`.
fn field(status: &str, key: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().parse().ok()
}

/// Time on a CPU and time of waiting for one, in nanoseconds.
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The same from `stat`, which does not tell of waiting: fields 14 and 15, in ticks of 10 ms.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut words = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some((user.saturating_add(system).saturating_mul(10_000_000), 0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sys::testing::Killed;

    #[test]
    fn this_thread_runs_and_its_cpu_time_grows() {
        let proc = ProcDir::open(std::process::id()).unwrap();
        let tid = crate::sys::thread::id(1);
        let look = || match proc.look(tid) {
            Found {
                thread: Thread::Seen(facts),
                dumping: false,
            } => facts,
            other => panic!("{other:?}"),
        };
        let first = look();
        assert_eq!((first.state, first.frozen), (ThreadState::Runnable, false));
        let start = std::time::Instant::now();
        while look().cpu == first.cpu {
            assert!(start.elapsed().as_secs() < 20, "no CPU time is counted");
        }
    }

    #[test]
    fn a_thread_that_is_not_there_is_gone_and_a_process_that_is_not_there_unread() {
        let here = ProcDir::open(std::process::id()).unwrap();
        assert_eq!(here.look(u32::MAX).thread, Thread::Gone);
        let mut child = Killed(Command::new("sleep").arg("60").spawn().unwrap());
        let pid = child.0.id();
        let there = ProcDir::open(pid).unwrap();
        let Thread::Seen(facts) = there.look(pid).thread else {
            panic!("it is there");
        };
        assert_eq!((facts.tid, facts.tracer), (pid, 0));
        child.kill();
        assert_eq!(there.look(pid).thread, Thread::Unread);
    }

    #[test]
    fn any_text_gives_numbers_or_none() {
        assert_eq!(schedstat("12 34 5\n"), Some((12, 34)));
        assert_eq!(
            ticks("1 (a) b) S 0 0 0 0 0 0 0 0 0 0 3 4 0"),
            Some((70_000_000, 0))
        );
        assert_eq!(field("A:\t1\nTracerPid:\t77\n", "TracerPid:"), Some(77));
        for bad in ["", "x", "1", "1 (a", "-1 -2", "1 (a) S 1 2 3"] {
            assert_eq!((schedstat(bad), ticks(bad)), (None, None), "{bad}");
            assert_eq!(field(bad, "TracerPid:"), None);
        }
    }
}
