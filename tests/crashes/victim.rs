//! A process that is followed from call to call, and ended or stopped at one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
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

/// In a victim: from now on it does this. In one place of the program, by which who steps through it knows it.
#[inline(never)]
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
    /// Where bytes of the segment were changed.
    pub(crate) changed: BTreeSet<usize>,
    /// Instructions that were stepped through.
    pub(crate) steps: usize,
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
    /// Set once nobody has this number any more.
    ended: Option<ExitStatus>,
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
            ended: None,
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

    /// The lines that it says until it has ended.
    pub(crate) fn last_lines(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        let rest = String::from_utf8_lossy(&rest);
        let said = rest.lines().filter_map(|line| line.split_once(MARK));
        said.map(|(_, said)| said.to_owned()).collect()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// An example program, with a runtime directory of its own.
    pub(crate) fn program(name: &str, arguments: &[&str], at: &Path) -> Victim {
        const SCRIPT: &str =
            "echo \"@ $$\"; read go; exec \"$0\" \"$@\" </dev/null >/dev/null 2>&1";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT])
            .arg(program(name))
            .args(arguments)
            .env("OSPS_IPC_DIR", at);
        Victim::spawn(command)
    }

    /// Lets it go on to the point of this number, or to its end, and leaves it there.
    pub(crate) fn follow(&mut self, to: Option<usize>) -> Walk {
        let mut phase = 0;
        self.follow_in(to, |stop| match stop {
            Stop::Entry { number, argument } if number == libc::SYS_getpgid => {
                phase = u32::try_from(argument).unwrap() - PHASES;
                None
            }
            Stop::Exit { number, .. } if number == libc::SYS_getpgid => None,
            _ => Some(phase).filter(|phase| !matches!(*phase, 0 | OVER)),
        })
    }

    /// The same for a [program](Victim::program), from its first instruction. `phase` tells in which phase it is.
    pub(crate) fn follow_program(&mut self, to: Option<usize>, phase: impl Fn() -> u32) -> Walk {
        let mut is_program = false;
        self.follow_in(to, |stop| {
            let is_begun = is_program;
            is_program |= matches!(stop, Stop::Exit { number, .. } if number == libc::SYS_execve);
            is_begun.then(&phase)
        })
    }

    fn follow_in(&mut self, to: Option<usize>, mut phase: impl FnMut(Stop) -> Option<u32>) -> Walk {
        let thread = self.line().parse().unwrap();
        let mut tracee = Tracee::attach(self.pid(), thread);
        self.say("go");
        let mut walk = Walk::default();
        let mut points = 0;
        loop {
            let stop = tracee.next_system_call();
            let (number, is_entry) = match stop {
                Stop::Entry { number, .. } => (number, true),
                Stop::Exit { number, .. } => (number, false),
                Stop::Step { .. } => continue,
                Stop::Ended => {
                    self.ended = tracee.status();
                    return walk;
                }
            };
            let Some(phase) = phase(stop) else { continue };
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

    /// Lets it go from the first phase to the next one in steps of one instruction, to the change of this number in the
    /// segment that `open` opens, whoever made that, or to the end of the phase.
    pub(crate) fn step_to(&mut self, to: Option<usize>, open: impl FnOnce() -> File) -> Walk {
        let thread = self.line().parse().unwrap();
        let mut tracee = Tracee::attach(self.pid(), thread);
        self.say("go");
        let mut walk = Walk::default();
        let mark = loop {
            match tracee.next_system_call() {
                Stop::Exit { number, next } if number == libc::SYS_getpgid => break next,
                Stop::Ended => panic!("it has ended"),
                _ => {}
            }
        };
        let _core = tracee.share_core();
        let segment = open();
        let mut before = whole(&segment);
        let mut points = 0;
        loop {
            match tracee.step() {
                Stop::Step { next } if next == mark => break,
                Stop::Ended => panic!("it has ended"),
                _ => {}
            }
            walk.steps += 1;
            let now = whole(&segment);
            if now == before {
                continue;
            }
            for (at, (now, before)) in now.iter().zip(&before).enumerate() {
                if now != before {
                    walk.changed.insert(at);
                }
            }
            before = now;
            points += 1;
            walk.counts.insert(1, points);
            if to == Some(points) {
                walk.reached = Some(Point {
                    phase: 1,
                    number: 0,
                    is_entry: false,
                });
                break;
            }
        }
        self.tracee = Some(tracee);
        walk
    }

    /// Lets it go on by itself.
    pub(crate) fn let_go(&mut self) {
        self.line();
        self.say("go");
    }

    /// Ends it where it is.
    pub(crate) fn kill(&mut self) {
        if let Some(tracee) = self.tracee.take() {
            self.ended = tracee.kill();
        }
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.wait();
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    fn wait(&mut self) -> ExitStatus {
        match self.ended {
            Some(status) => status,
            None => {
                let status = self.child.wait().unwrap();
                *self.ended.insert(status)
            }
        }
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

    /// Lets it run on by itself.
    pub(crate) fn release(&mut self) {
        match self.tracee.take() {
            Some(tracee) => tracee.let_go(),
            None if self.ended.is_none() => drop(kill_process(self.pid(), Signal::CONT)),
            None => {}
        }
    }

    /// Lets it run on by itself, to its end.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        self.release();
        self.stdin = None;
        self.wait()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.kill();
        }
    }
}

/// All that is in a file.
fn whole(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Where an example program is.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not there: cargo build --profile test --examples builds it",
        program.display()
    );
    program
}
