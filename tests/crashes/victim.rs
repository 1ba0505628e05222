//! A process that is followed from call to call, and ended or stopped at one of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process};

use crate::common;
use crate::hosts::until;
use crate::trace::{Stop, Tracee};

/// The role that a victim plays, and where.
const ROLE: &str = "OSPS_IPC_TEST_ROLE";
const PLACE: &str = "OSPS_IPC_TEST_DIRECTORY";
/// What a victim's lines begin with.
const MARK: &str = "@ ";
/// No process has these numbers: asking for one is a system call that does nothing but to be seen.
const PHASES: u32 = 0x7000_0000;

/// In a victim: from now on it does this.
pub(crate) fn phase(number: u32) {
    let nobody = Pid::from_raw((PHASES + number).cast_signed());
    assert!(getpgid(nobody).is_err());
}

/// The last phase, in which nothing is tried.
pub(crate) const OVER: u32 = 0xff;

/// In a victim: lets the tracer attach, and waits until it has.
pub(crate) fn await_tracer() {
    let thread = rustix::thread::gettid().as_raw_nonzero();
    common::tell(&thread.to_string());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Where a victim was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) phase: u32,
    /// Of the system call, and whether it was still to be made.
    pub(crate) number: i64,
    pub(crate) is_entry: bool,
}

/// What was seen of a victim.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The points in each phase, as far as it came.
    pub(crate) counts: BTreeMap<u32, usize>,
    /// The point at which it was to be stopped; none if it ended before.
    pub(crate) reached: Option<Point>,
    /// How long it took until others went on.
    pub(crate) recovery: Duration,
}

impl Walk {
    pub(crate) fn points(&self) -> usize {
        self.counts.values().sum()
    }
}

/// A process that is killed with this, if not before.
pub(crate) struct Victim {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    tracee: Option<Tracee>,
}

impl Victim {
    /// This test binary in a role of [`roles`](crate::roles). It waits to be [followed](Victim::follow).
    pub(crate) fn start(role: &str, at: &Path) -> Victim {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "roles::victim",
                "--nocapture",
                "--include-ignored",
            ])
            .env(ROLE, role)
            .env(PLACE, at);
        Victim::spawn(command)
    }

    fn spawn(mut command: Command) -> Victim {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Victim {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            tracee: None,
        }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "it has ended");
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return said.to_owned();
            }
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Lets it go on to the point of this number, or to its end, and leaves it there.
    pub(crate) fn follow(&mut self, to: Option<usize>) -> Walk {
        let thread = self.line().parse().unwrap();
        let mut tracee = Tracee::attach(self.pid(), thread);
        self.say("go");
        let mut walk = Walk::default();
        let mut phase = 0;
        let mut points = 0;
        loop {
            let stop = tracee.next_system_call();
            let (number, is_entry) = match stop {
                Stop::Entry { number, argument } if number == libc::SYS_getpgid => {
                    phase = u32::try_from(argument).unwrap() - PHASES;
                    continue;
                }
                Stop::Exit { number } if number == libc::SYS_getpgid => continue,
                Stop::Entry { number, .. } => (number, true),
                Stop::Exit { number } => (number, false),
                Stop::Ended => return walk,
            };
            if phase == 0 || phase == OVER {
                continue;
            }
            points += 1;
            *walk.counts.entry(phase).or_default() += 1;
            if to == Some(points) {
                walk.reached = Some(Point {
                    phase,
                    number,
                    is_entry,
                });
                self.tracee = Some(tracee);
                return walk;
            }
        }
    }

    /// Lets it go on by itself.
    pub(crate) fn let_go(&mut self) {
        self.line();
        self.say("go");
    }

    /// Ends it where it is.
    pub(crate) fn kill(&mut self) {
        match self.tracee.take() {
            Some(tracee) => tracee.kill(),
            None => kill_process(self.pid(), Signal::KILL).unwrap(),
        }
        self.child.wait().unwrap();
    }

    /// Stops it where it is: by SIGSTOP after a system call, which a wait in it does not outlast; by its tracer before one,
    /// which is then still to be made.
    pub(crate) fn hold(&mut self, at: Point) {
        if at.is_entry {
            return;
        }
        let tracee = self.tracee.take().unwrap();
        let stat = format!("/proc/{}/task/{}/stat", self.child.id(), tracee.thread());
        tracee.stop();
        until("it does not stop", || {
            fs::read_to_string(&stat).unwrap().contains(") T ")
        });
    }

    /// Lets it run on by itself, to its end.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        match self.tracee.take() {
            Some(tracee) => tracee.let_go(),
            None => drop(kill_process(self.pid(), Signal::CONT)),
        }
        self.stdin = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(tracee) = self.tracee.take() {
            tracee.kill();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
