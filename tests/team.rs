//! The primary and its secondaries, as processes of their own: who dies, hangs or is stopped is replaced.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/programs.rs"]
mod programs;

use std::path::Path;
use std::time::Instant;

use common::{Helper, SOON, Scratch};
use osps_ipc::{Event, ServerOptions};
use programs::{Service, err, example, finish, kill};
use rustix::process::Signal;

/// Serves as a secondary that dies of its first request, which is the game.
#[test]
fn a_bad_player() {
    let Some((name, place)) = common::role() else {
        return;
    };
    let options = ServerOptions::new().directory(place.path()).heartbeat(SOON);
    let mut server = options.bind(&name).unwrap();
    common::tell("serves");
    while let Some(event) = server.next_timeout(SOON).unwrap() {
        if let Event::Request(request) = event {
            kill(std::process::id(), Signal::KILL);
            drop(request);
        }
    }
}

#[test]
fn a_secondary_that_dies_before_a_game_begins_keeps_the_primary_from_nothing() {
    let place = Scratch::new();
    let player = Helper::start("a_bad_player", "primary-1", place.path());
    player.expect("serves");
    let mut command = example("primary", place.path());
    command.args(["--rounds", "1", "--secondaries", "1"]);
    let (child, lines) = Service::spawn(&mut command);
    let mut primary = Service {
        child: Some(child),
        lines,
        place,
    };
    let said = primary.wait_for("secondary primary-1: no rounds: ").pop();
    let said = said.unwrap();
    assert!(said.ends_with("it ended without a farewell"), "{said}");
    wait_for(&primary, "primary-1", "is ready");
    primary.digest(file());
    primary.end(Signal::TERM);
}

/// A file that every machine has.
const FILE: &str = "/proc/version";

fn file() -> &'static Path {
    Path::new(FILE)
}

/// Waits for the line of an event of one secondary.
fn wait_for(primary: &Service, secondary: &str, event: &str) {
    let start = format!("secondary {secondary}: ");
    let mut seen = Vec::new();
    loop {
        let line = primary.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|error| panic!("{error} after {seen:#?}"));
        if line.starts_with(&start) && line.contains(event) {
            return;
        }
        seen.push(line);
    }
}

/// The process that serves as this secondary.
fn serving(primary: &Service, secondary: &str) -> u32 {
    let named = |number: &u32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|word| word == secondary.as_bytes())
    };
    primary.secondaries().into_iter().find(named).unwrap()
}

#[test]
fn a_secondary_that_is_stopped_by_a_signal_hangs_and_is_replaced() {
    let mut primary = Service::start();
    let hung = serving(&primary, "primary-2");
    kill(hung, Signal::STOP);
    // Clients go to the other one meanwhile, after a moment at most.
    primary.digest(file());
    wait_for(&primary, "primary-2", "is hung (stopped)");
    wait_for(&primary, "primary-2", "it hangs (stopped)");
    wait_for(&primary, "primary-2", "is ready");
    assert_ne!(serving(&primary, "primary-2"), hung);
    primary.digest(file());
    primary.end(Signal::TERM);
}

#[test]
fn a_secondary_that_somebody_ends_is_missed_and_started_again() {
    let mut primary = Service::start();
    let ended = serving(&primary, "primary-1");
    kill(ended, Signal::TERM);
    wait_for(&primary, "primary-1", "restart now");
    wait_for(&primary, "primary-1", "is ready");
    assert_ne!(serving(&primary, "primary-1"), ended);
    primary.end(Signal::TERM);
}

#[test]
fn clients_go_to_those_that_are_left_and_are_told_when_none_is() {
    let mut primary = Service::start();
    for (secondary, other) in [("primary-1", true), ("primary-2", false)] {
        for _ in 0..5 {
            kill(serving(&primary, secondary), Signal::KILL);
            wait_for(&primary, secondary, "is ready");
        }
        kill(serving(&primary, secondary), Signal::KILL);
        wait_for(&primary, secondary, "given up: its clients are told");
        assert!(!primary.place.path().join(secondary).exists());
        if other {
            primary.digest(file());
        }
    }
    let refused = primary.ask(&["digest".as_ref(), FILE.as_ref()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(err(&refused).contains("given up"), "{refused:?}");
    primary.end(Signal::TERM);
}

#[test]
fn an_adopted_secondary_is_supervised_like_a_child() {
    let mut primary = Service::start();
    let before = primary.secondaries();
    kill(primary.number(), Signal::KILL);
    finish(primary.child.take().unwrap());
    let place = std::mem::replace(&mut primary.place, Scratch::new());
    let mut next = Service::start_in(place);
    assert_eq!(next.secondaries(), before);
    for signal in [Signal::KILL, Signal::STOP] {
        kill(serving(&next, "primary-1"), signal);
        wait_for(&next, "primary-1", "restart");
        wait_for(&next, "primary-1", "is ready");
        next.digest(file());
    }
    next.end(Signal::TERM);
}

#[test]
fn secondaries_without_primary_and_clients_end_by_themselves() {
    let place = Scratch::new();
    let mut command = example("primary", place.path());
    command.args(["--rounds", "0", "--idle", "1"]);
    let mut primary = Service::run(command, place);
    assert_eq!(primary.secondaries().len(), 2);
    kill(primary.number(), Signal::KILL);
    finish(primary.child.take().unwrap());
    let start = Instant::now();
    while !primary.secondaries().is_empty() {
        assert!(start.elapsed() < SOON, "they are still there");
        std::thread::yield_now();
    }
    for secondary in ["primary-1", "primary-2"] {
        assert!(!primary.place.path().join(secondary).exists());
    }
}
