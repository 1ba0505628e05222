//! The example programs, killed at the system calls of their lives, with a client that goes on with its calls.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use osps_ipc::{Client, ClientOptions, Request, RequestKind};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{SOON, Scratch};
use crate::hosts::{Holdings, LARGE, connect, until};
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::{Victim, program};

const COUNT: RequestKind = RequestKind::new("count");

pub(crate) const PHASES: &[&str] = &["start", "serve", "end"];

/// A program that is asked to end with this, and killed if it does not.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(name: &str, arguments: &[&str], at: &Path) -> Running {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .env("OSPS_IPC_DIR", at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Whether it has ended by itself, in good order.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.0.try_wait().unwrap();
        ended.is_some_and(|status| {
            assert!(status.success(), "{status}");
            true
        })
    }

    pub(crate) fn end(mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        // One that has just been started would die of it instead.
        until("it cannot be asked to end", || catches_sigterm(pid));
        kill_process(pid, Signal::TERM).unwrap();
        until("it does not end", || self.0.try_wait().unwrap().is_some());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn catches_sigterm(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & 1 << (Signal::TERM.as_raw() - 1) != 0
}

/// The processes that were started with this runtime directory and have not ended.
pub(crate) fn processes(at: &Path) -> Vec<Pid> {
    let wanted = format!("OSPS_IPC_DIR={}\0", at.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&wanted)
            && let Ok(number) = entry.file_name().to_string_lossy().parse()
        {
            found.extend(Pid::from_raw(number));
        }
    }
    found
}

pub(crate) fn name_of(pid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    name.unwrap_or_default().trim_end().to_owned()
}

/// The primary that a watchdog has started.
fn primary(at: &Path) -> Pid {
    let all = processes(at);
    let primary = all.iter().find(|pid| name_of(**pid) == "primary");
    *primary.expect("a primary serves")
}

/// Waits until there is one process of each of these names and none besides: of two that were started for the same place,
/// as their supervisor was killed, the one that came second has ended.
pub(crate) fn await_one_of_each(at: &Path, names: &[&str]) {
    until("there is not one of each", || {
        let mut found: Vec<String> = processes(at).into_iter().map(name_of).collect();
        found.sort();
        found == names
    });
}

/// Kills what is left of a test that has failed.
pub(crate) struct Sweeper<'a>(pub(crate) &'a Path);

impl Drop for Sweeper<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            for pid in processes(self.0) {
                eprintln!("left: {}", name_of(pid));
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

pub(crate) fn count(client: &mut Client, text: &str) {
    let reply = client.call(Request::new(COUNT, text), SOON).unwrap();
    let answer = reply.into_answer().unwrap().into_vec();
    let answer = String::from_utf8(answer).unwrap();
    let numbers: Vec<usize> = answer
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let words = text.split_whitespace().count();
    assert_eq!(numbers, [text.lines().count(), words, text.len()]);
}

/// What is killed, with what, and who brings it up again.
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// The service that it serves under, or whose primary it starts.
    pub(crate) service: &'static str,
    /// Started beside it, once it serves: looks after it.
    pub(crate) above: Option<(&'static str, &'static [&'static str])>,
    /// The processes that there are in the end.
    pub(crate) all: &'static [&'static str],
}

const TEAM: &[&str] = &["--secondaries", "1", "--rounds", "1"];

pub(crate) const WATCHDOG: Role = Role {
    name: "watchdog",
    arguments: &["--", "--secondaries", "1", "--rounds", "1"],
    service: "primary",
    above: None,
    all: &["primary", "secondary", "watchdog"],
};

pub(crate) const PRIMARY: Role = Role {
    name: "primary",
    arguments: TEAM,
    service: "primary",
    above: None,
    all: &["primary", "secondary"],
};

pub(crate) const SECONDARY: Role = Role {
    name: "secondary",
    arguments: &["--service", "primary-1"],
    service: "primary-1",
    above: Some(("primary", TEAM)),
    all: &["primary", "secondary"],
};

/// What is shared by who kills and who calls.
#[derive(Default)]
pub(crate) struct Stage {
    phase: AtomicU32,
    pub(crate) is_watched: bool,
    /// The victim, while it lives and is to be asked to end.
    victim: Mutex<Option<Pid>>,
    /// The primary that was killed for the watchdog to see.
    killed: Mutex<Option<Pid>>,
    /// The victim does not run: it is asked to end when it does again.
    pub(crate) is_held: AtomicBool,
    /// Who lived then and is to live until the end is asked for.
    pub(crate) unharmed: Mutex<Vec<Pid>>,
}

impl Stage {
    pub(crate) fn of(role: &Role) -> Stage {
        let stage = Stage {
            is_watched: role.name == "watchdog",
            ..Stage::default()
        };
        stage.enter(1);
        stage
    }

    pub(crate) fn victim(&self) -> MutexGuard<'_, Option<Pid>> {
        self.victim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn killed(&self) -> MutexGuard<'_, Option<Pid>> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> u32 {
        self.phase.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, phase: u32) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// A client's calls; in the end the victim is asked to end.
    pub(crate) fn calls(&self, at: &Path) {
        let mut client = connect(at, "primary");
        count(&mut client, "one two\n");
        self.enter(2);
        if self.is_watched {
            // The watchdog is to see its end, and to start it again.
            let primary = primary(at);
            *self.killed() = Some(primary);
            kill_process(primary, Signal::KILL).unwrap();
        }
        count(&mut client, "three\n");
        count(&mut client, &"four five\n".repeat(LARGE / 10));
        // The primary, whichever it is, directs another client.
        count(&mut connect(at, "primary"), "six\n");
        until("it is held", || !self.is_held.load(Ordering::Relaxed));
        let living = processes(at);
        let unharmed = self.unharmed.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in unharmed.iter().filter(|pid| Some(**pid) != *self.killed()) {
            assert!(living.contains(pid), "it was killed");
        }
        self.enter(3);
        if let Some(pid) = *self.victim() {
            kill_process(pid, Signal::TERM).unwrap();
        }
    }
}

pub(crate) fn is_served(at: &Path, service: &str) -> bool {
    let options = ClientOptions::new().directory(at);
    options
        .connect(service, std::time::Duration::from_millis(20))
        .is_ok()
}

/// Ends those that are left, and waits until nothing of them is.
pub(crate) fn wind_up(
    at: &Path,
    left: impl Iterator<Item = Running>,
    victim: Victim,
    before: &Holdings,
) {
    left.for_each(Running::end);
    drop(victim);
    until("processes are left", || processes(at).is_empty());
    before.await_again(at);
}

fn killed(role: &Role, tries: Tries) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    let _sweeper = Sweeper(at);
    let before = Holdings::of(at);
    tour(role.name, Deed::Kill, tries, PHASES, |to| {
        let stage = Stage::of(role);
        let mut victim = Victim::program(role.name, role.arguments, at);
        *stage.victim() = Some(victim.pid());
        thread::scope(|scope| {
            let stage = &stage;
            let calling = scope.spawn(move || {
                let above = role.above.map(|(name, arguments)| {
                    until("it does not serve", || {
                        stage.victim().is_none() || is_served(at, role.service)
                    });
                    Running::start(name, arguments, at)
                });
                stage.calls(at);
                above
            });
            let mut walk = victim.follow_program(to, || stage.phase());
            *stage.victim() = None;
            let begun = Instant::now();
            let successor = walk.reached.and_then(|_| {
                victim.kill();
                match role.above {
                    Some(_) => None,
                    None => Some(Running::start(role.name, role.arguments, at)),
                }
            });
            if walk.reached.is_none() {
                let status = victim.finish();
                assert!(status.success(), "{status}");
            }
            let mut successor = successor;
            if stage.is_watched && stage.phase() == 3 {
                // The primary had been asked to end: a watchdog that adopts it before it has begun to ends with it, and is
                // started again.
                until("nobody serves", || {
                    if let Some(running) = &mut successor
                        && running.has_ended()
                    {
                        *running = Running::start(role.name, role.arguments, at);
                    }
                    successor.is_none() || is_served(at, "primary")
                });
            }
            let above = calling.join().unwrap();
            if above.is_some() || successor.is_some() {
                count(&mut connect(at, "primary"), "six\n");
                walk.recovery = begun.elapsed();
                await_one_of_each(at, role.all);
            }
            wind_up(at, above.into_iter().chain(successor), victim, &before);
            walk
        })
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_watchdog_killed_at_any_system_call_is_followed_by_the_next_one() {
    killed(&WATCHDOG, Tries::few(6).at_most(120));
}

#[test]
fn a_primary_killed_at_any_system_call_is_followed_by_one_that_adopts_what_runs() {
    killed(&PRIMARY, Tries::few(6).at_most(120));
}

#[test]
fn a_secondary_killed_at_any_system_call_is_started_again() {
    killed(&SECONDARY, Tries::few(6).at_most(120));
}
