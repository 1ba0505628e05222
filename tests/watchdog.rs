//! The watchdog and all that it brings up, as processes of their own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/programs.rs"]
mod programs;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use common::{SOON, Scratch};
use programs::{Service, err, example, files, finish, kill, out, processes, run, told};
use rustix::process::Signal;

/// A watchdog whose primary is given these arguments.
fn watchdog(place: &Path, arguments: &[&str]) -> Command {
    let mut command = example("watchdog", place);
    command.arg("--").args(arguments);
    command
}

/// The line of the service that contains these words, and what stood before it.
fn line_with(service: &Service, words: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let line = service.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|error| panic!("{error} after {seen:#?}"));
        if line.contains(words) {
            return line;
        }
        seen.push(line);
    }
}

/// Waits for lines with each of these words, in any order.
fn lines_with(service: &Service, words: &[&str]) {
    let mut missing = words.to_vec();
    while !missing.is_empty() {
        let line = service.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|error| panic!("{error}: {missing:?} did not come"));
        missing.retain(|words| !line.contains(words));
    }
}

/// Whether these stand in the text, one after the other.
fn in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn a_primary_that_exits_at_once_is_started_on_schedule_and_given_up_with_a_report() {
    let place = Scratch::new();
    let output = run(watchdog(place.path(), &["--no-such-option"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = out(&output);
    let schedule = [
        "exited with code 2: restart now, 4 of 5 restarts left in 60.0s",
        "restart after ",
        "3 of 5",
        "restart after ",
        "2 of 5",
        "restart after ",
        "1 of 5",
        "restart after ",
        "0 of 5",
        "exited with code 2: given up after 6 crashes in a row, 0 of 5 restarts left in 60.0s",
        "given up: its clients are told",
        "started 6 times, ended 6 times, 0 restarts left",
    ];
    assert!(in_order(&said, &schedule), "{said}");
    // 100 ms, doubled each time, and up to a quarter more or less.
    let delays: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split_once("restart after ")?.1.split_once("ms"))
        .map(|(number, _)| number.parse().unwrap())
        .collect();
    assert_eq!(delays.len(), 4, "{said}");
    for (delay, meant) in delays.iter().zip([100.0, 200.0, 400.0, 800.0]) {
        assert!((delay - meant).abs() <= meant / 4.0, "{delays:?}");
    }
    assert_eq!(files(place.path()).len(), 0);
}

#[test]
fn a_primary_that_has_done_its_work_is_not_started_again() {
    let place = Scratch::new();
    let output = run(watchdog(place.path(), &["--rounds", "1", "--exit"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = out(&output);
    let wanted = ["a clean end, no restart", "started 1 times, ended 1 times"];
    assert!(in_order(&said, &wanted), "{said}");
    assert_eq!(files(place.path()).len(), 0);
}

#[test]
fn of_two_watchdogs_the_second_says_who_the_first_is() {
    let place = Scratch::new();
    let mut first = Service::run(watchdog(place.path(), &["--rounds", "1"]), place);
    let second = run(watchdog(first.place.path(), &[]));
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let holder = format!("pid {}", first.number());
    assert!(err(&second).contains(&holder), "{second:?}");
    first.end(Signal::TERM);
}

#[test]
fn a_watchdog_that_is_told_to_end_ends_the_primary_and_that_one_its_secondaries() {
    let place = Scratch::new();
    let service = Service::run(watchdog(place.path(), &["--rounds", "1"]), place);
    let mut service = service;
    let number = told(&service, "] process ");
    kill(service.number(), Signal::TERM);
    line_with(&service, "asked to end");
    let sent = format!("sent SIGTERM to process {number}: it is to stop");
    let stopped = format!("process {number}: stopped as asked");
    // The primary's word that it ends may come before the watchdog's that it was told to.
    lines_with(&service, &[&sent, "ending", &stopped]);
    let output = finish(service.child.take().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(processes(service.place.path()), [] as [u32; 0]);
    assert_eq!(files(service.place.path()).len(), 0);
}

#[test]
fn a_primary_that_is_stopped_is_killed_and_replaced_and_its_secondaries_stay() {
    let place = Scratch::new();
    let mut service = Service::run(watchdog(place.path(), &["--rounds", "1"]), place);
    let secondaries = service.secondaries();
    let number = told(&service, "] process ");
    kill(number, Signal::STOP);
    line_with(&service, &format!("process {number} is hung (stopped)"));
    line_with(&service, &format!("sent SIGKILL to process {number}"));
    assert_ne!(told(&service, "] started process "), number);
    line_with(&service, "serving ");
    assert_eq!(service.secondaries(), secondaries);
    service.digest(Path::new("/proc/version"));
    service.end(Signal::TERM);
}

/// What a service manager hears.
struct Manager(Receiver<String>);

impl Manager {
    /// Listens, for as long as anything comes.
    fn new(address: &SocketAddr) -> Manager {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let (sender, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(len) = socket.recv(&mut message) {
                let message = String::from_utf8_lossy(&message[..len]).into_owned();
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Manager(heard)
    }

    /// Waits for a message; the others until then.
    fn until(&self, wanted: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut others = Vec::new();
        loop {
            let message = self.0.recv_timeout(SOON).unwrap();
            if message == wanted {
                return others;
            }
            others.push(message);
            assert!(begun.elapsed() < SOON, "no {wanted} after {others:#?}");
        }
    }
}

#[test]
fn a_service_manager_is_told_of_the_start_the_state_the_end_and_signs_of_life() {
    let place = Scratch::new();
    let folder = Scratch::new();
    let path = folder.path().join("notify");
    let name = format!("osps-ipc-test-{}", std::process::id());
    let addresses = [
        (
            path.display().to_string(),
            SocketAddr::from_pathname(&path).unwrap(),
        ),
        (
            format!("@{name}"),
            SocketAddr::from_abstract_name(&name).unwrap(),
        ),
    ];
    let mut place = Some(place);
    for (variable, address) in addresses {
        let manager = Manager::new(&address);
        let here = place.take().unwrap();
        let mut command = watchdog(here.path(), &["--rounds", "1"]);
        command
            .env("NOTIFY_SOCKET", variable)
            .env("WATCHDOG_USEC", "100000");
        let mut service = Service::run(command, here);
        let before = manager.until("READY=1");
        let is_status = |message: &String| message.starts_with("STATUS=");
        assert!(before.iter().any(is_status), "{before:?}");
        for _ in 0..3 {
            manager.until("WATCHDOG=1");
        }
        kill(service.number(), Signal::TERM);
        manager.until("STOPPING=1");
        let output = finish(service.child.take().unwrap());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        place = Some(std::mem::replace(&mut service.place, Scratch::new()));
    }
}

#[test]
fn signs_of_life_that_another_process_is_to_give_are_left_to_it() {
    let place = Scratch::new();
    let folder = Scratch::new();
    let path = folder.path().join("notify");
    let manager = Manager::new(&SocketAddr::from_pathname(&path).unwrap());
    let mut command = watchdog(place.path(), &["--rounds", "1"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", std::process::id().to_string());
    let mut service = Service::run(command, place);
    let before = manager.until("READY=1");
    kill(service.number(), Signal::TERM);
    let after = manager.until("STOPPING=1");
    let gave = before
        .iter()
        .chain(&after)
        .any(|message| message == "WATCHDOG=1");
    assert!(!gave, "{before:?} {after:?}");
    let output = finish(service.child.take().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
