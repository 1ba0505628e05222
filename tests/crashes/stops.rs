//! The example programs, stopped at the system calls of their lives: who looks after one that serves replaces it, and one
//! that goes on does so as if nothing had been.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use osps_ipc::restart::EXIT_ALREADY_RUNNING;
use rustix::process::{Pid, Signal};

use crate::common::Scratch;
use crate::hosts::{Holdings, connect, until};
use crate::programs::{
    PHASES, PRIMARY, Role, Running, SECONDARY, Stage, Sweeper, WATCHDOG, await_one_of_each, count,
    is_served, name_of, processes, wind_up,
};
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::{Point, Victim};

/// Longer than anything that a watchdog waits for.
const LONG: Duration = Duration::from_secs(3);

/// A primary with a watchdog that adopts it.
const WATCHED: Role = Role {
    above: Some(("watchdog", WATCHDOG.arguments)),
    all: WATCHDOG.all,
    ..PRIMARY
};

/// Holds a watchdog: what it has brought up serves, and lives on when it goes on.
fn hold_watchdog(stage: &Stage, at: &Path, is_long: bool) {
    let mut team = processes(at);
    team.retain(|pid| name_of(*pid) != "watchdog");
    let killed = *stage.killed();
    let serves = team
        .iter()
        .any(|pid| name_of(*pid) == "primary" && Some(*pid) != killed);
    if stage.phase() == 2 {
        stage.unharmed.lock().unwrap().extend(team);
        if serves && killed.is_some() {
            count(&mut connect(at, "primary"), "seven\n");
        }
    }
    if is_long {
        // Nobody does anything that could be waited for.
        thread::sleep(LONG);
    }
}

/// How often a process has gone to sleep.
fn sleeps_of(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// Holds a program that has somebody above it, until that one is there.
fn hold_supervised(stage: &Stage, at: &Path, above: &str) {
    if stage.phase() == 1 {
        let own = match above {
            "watchdog" => "primary.watchdog",
            other => other,
        };
        until("nobody comes", || at.join(own).exists());
    }
}

/// Whether one that is stopped there is left so, until it is replaced. Starting and ending it may take its time.
fn is_replaced(role: &Role, point: Point) -> bool {
    role.above.is_some() && point.phase == 2 && !point.is_entry
}

fn is_well(status: ExitStatus, point: Point) -> bool {
    // Somebody else has come meanwhile.
    status.success() || point.phase == 1 && status.code() == Some(EXIT_ALREADY_RUNNING)
}

fn stopped(role: &Role, tries: Tries) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    let _sweeper = Sweeper(at);
    let before = Holdings::of(at);
    tour(role.name, Deed::Stop, tries, PHASES, |to| {
        let stage = Stage::of(role);
        let mut victim = Victim::program(role.name, role.arguments, at);
        *stage.victim() = Some(victim.pid());
        thread::scope(|scope| {
            let stage = &stage;
            let calling = scope.spawn(move || {
                let above = role.above.map(|(name, arguments)| {
                    until("it does not serve", || {
                        stage.is_held.load(Ordering::Relaxed) || is_served(at, role.service)
                    });
                    Running::start(name, arguments, at)
                });
                stage.calls(at);
                above
            });
            let mut walk = victim.follow_program(to, || stage.phase());
            let begun = Instant::now();
            let ended = match walk.reached {
                Some(point) if is_replaced(role, point) => {
                    *stage.victim() = None;
                    victim.hold(point);
                    until("it is not replaced", || victim.has_ended());
                    let ended = victim.finish();
                    assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{ended}");
                    None
                }
                Some(point) => {
                    stage.is_held.store(true, Ordering::Relaxed);
                    victim.hold(point);
                    match role.above {
                        Some((above, _)) => hold_supervised(stage, at, above),
                        None => hold_watchdog(stage, at, to.is_some_and(|to| to % 8 == 0)),
                    }
                    let slept = sleeps_of(victim.pid());
                    victim.release();
                    if role.above.is_none() {
                        // It has had its looks by then, or has been asked to end just before it was held.
                        until("it does not go on", || {
                            stage.phase() == 3 || sleeps_of(victim.pid()) >= slept + 5
                        });
                    }
                    stage.is_held.store(false, Ordering::Relaxed);
                    Some(point)
                }
                None => None,
            };
            let mut above = calling.join().unwrap();
            if let Some(point) = ended {
                let status = victim.finish();
                assert!(is_well(status, point), "{status}");
            } else if walk.reached.is_none() {
                let status = victim.finish();
                assert!(status.success(), "{status}");
            }
            if let Some(running) = &mut above {
                // Whoever saw a primary end that was asked to, ends with it.
                let mut is_over = false;
                until("nobody serves", || {
                    is_over = running.has_ended();
                    is_over || is_served(at, "primary")
                });
                if is_over {
                    above = None;
                } else {
                    count(&mut connect(at, "primary"), "six\n");
                    walk.recovery = begun.elapsed();
                    await_one_of_each(at, role.all);
                }
            }
            wind_up(at, above.into_iter(), victim, &before);
            walk
        })
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_watchdog_stopped_at_any_system_call_kills_nobody_and_goes_on() {
    stopped(&WATCHDOG, Tries::few(3).at_most(30));
}

#[test]
fn a_primary_stopped_at_any_system_call_is_replaced_or_goes_on() {
    stopped(&WATCHED, Tries::few(3).at_most(30));
}

#[test]
fn a_secondary_stopped_at_any_system_call_is_replaced_or_goes_on() {
    stopped(&SECONDARY, Tries::few(3).at_most(30));
}
