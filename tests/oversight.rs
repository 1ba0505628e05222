//! What a monitor and a supervisor must not overlook, however they are asked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/served.rs"]
mod served;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Helper, SOON, Scratch, role, tell};
use osps_ipc::detector::Verdict;
use osps_ipc::restart::ExitCause;
use osps_ipc::supervisor::{self, Event, stop_all};
use osps_ipc::{Directory, HeartbeatView, MonitorOptions, Name, Supervisor, SupervisorOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use served::{Supervised, command, config, is_alive, monitor, signal, start, until, until_verdict};

#[test]
fn serve() {
    served::serve();
}

/// Supervises what this command starts; it may take as long to stop as it likes.
fn supervise(command: Command, service: &str, place: &Path) -> Supervisor {
    let options = SupervisorOptions::new(command).directory(place);
    let options = options.config(config()).grace(SOON);
    options.supervise(service).unwrap()
}

/// Takes events until the supervisor is over.
fn until_over(supervisor: &mut Supervisor) {
    let start = Instant::now();
    while !supervisor.is_over() {
        assert!(start.elapsed() < SOON, "{supervisor:?}");
        let _ = supervisor.next_timeout(SOON).unwrap();
    }
}

#[test]
fn an_end_that_a_look_has_told_is_told_as_a_change_too() {
    let place = Scratch::new();
    let mut server = start(&place);
    let mut monitor = monitor(&place);
    until_verdict(&mut monitor, is_alive);
    server.kill();
    let is_dead = |verdict| matches!(verdict, Verdict::Dead { .. });
    until(|| is_dead(monitor.look().unwrap().verdict()).then_some(()));
    let report = monitor.next_timeout(SOON).unwrap().unwrap();
    assert!(is_dead(report.verdict()), "{report}");
    assert!(monitor.try_next().unwrap().is_none());
}

/// In a process of its own, as it takes all descriptors: a watcher that lacks them when it is to ring.
#[test]
fn be_short() {
    let Some((_, place)) = role() else {
        return;
    };
    let mut config = config();
    // If it is called hung, that is long after its beat was waited for.
    config.challenge_within = SOON;
    let options = MonitorOptions::new().directory(place.path()).config(config);
    let mut monitor = options.watch("svc").unwrap();
    until_verdict(&mut monitor, is_alive);
    let service = Directory::open(place.path().join("svc")).unwrap();
    let view = HeartbeatView::open(&service, &Name::new("heartbeat").unwrap()).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(64),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        all.push(file);
    }
    // Longer than it is left alone.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(600) {
        let _ = monitor.next_timeout(Duration::from_millis(50));
    }
    drop(all);
    let before = view.read().unwrap().sample.count;
    let start = Instant::now();
    while view.read().unwrap().sample.count == before {
        assert!(start.elapsed() < SOON / 2, "it is not rung any more");
        let _ = monitor.next_timeout(Duration::from_millis(50)).unwrap();
    }
    tell("rung");
}

#[test]
fn who_lacked_descriptors_when_it_was_to_ring_rings_later() {
    let place = Scratch::new();
    let _server = start(&place);
    Helper::start("be_short", "be_short", place.path()).expect("rung");
}

#[test]
fn a_service_that_cannot_be_looked_at_is_tried_again() {
    let place = Scratch::new();
    let mut command = Command::new("sh");
    // "Another one serves", which nobody can find out.
    command.args(["-c", "mkdir -p svc; chmod 755 svc; exit 121"]);
    command.current_dir(place.path());
    let mut supervisor = supervise(command, "svc", place.path());
    for _ in 0..2 {
        until(|| supervisor.next_timeout(SOON).err());
        let service = place.path().join("svc");
        fs::set_permissions(&service, fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir(service).unwrap();
        until(|| match supervisor.next_timeout(SOON).unwrap() {
            Some(Event::Started { .. }) => Some(()),
            _ => None,
        });
    }
    supervisor.stop();
    until(|| {
        let _ = supervisor.next_timeout(Duration::from_millis(20));
        supervisor.is_over().then_some(())
    });
}

#[test]
fn a_stop_before_the_first_event_ends_what_runs_already() {
    let place = Scratch::new();
    let mut server = start(&place);
    let mut client = served::client(&place);
    let request = osps_ipc::Request::new(served::ECHO, "");
    client.call(request, SOON).unwrap();
    let mut supervisor = supervise(command("serve", place.path()), "svc", place.path());
    supervisor.stop();
    until_over(&mut supervisor);
    assert!(server.has_ended(SOON));
}

#[test]
fn of_several_that_are_stopped_none_waits_for_another() {
    let place = Scratch::new();
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' TERM; : > trapped; exec sleep 1000"]);
    deaf.current_dir(place.path());
    let mut deaf = supervise(deaf, "deaf", place.path());
    until(|| {
        let _ = deaf.next_timeout(Duration::from_millis(20)).unwrap();
        place.path().join("trapped").exists().then_some(())
    });
    let mut serving = supervise(command("serve", place.path()), "svc", place.path());
    until(|| {
        let _ = serving.next_timeout(SOON).unwrap();
        serving.is_ready().then_some(())
    });
    let [deaf_pid, serving_pid] = [&deaf, &serving].map(|it| it.pid().unwrap());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| stop_all(&mut [&mut deaf, &mut serving], SOON));
        let is_gone = || !Path::new(&format!("/proc/{serving_pid}")).exists();
        until(|| is_gone().then_some(()));
        assert!(!stopping.is_finished());
        signal("-KILL", deaf_pid);
        assert!(stopping.join().unwrap().unwrap());
    });
}

#[test]
fn a_process_that_the_next_supervisor_adopts_is_reaped() {
    let place = Scratch::new();
    let mut first = supervise(command("serve", place.path()), "svc", place.path());
    let pid = until(|| match first.next_timeout(SOON).unwrap() {
        Some(Event::Ready { pid, .. }) => Some(pid),
        _ => None,
    });
    drop(first);
    let mut supervised = Supervised::serving(&place);
    assert_eq!(supervised.until_ready(), pid);
    supervised.0.stop();
    let cause = supervised.until(|event| match event {
        supervisor::Event::Ended { report, .. } => Some(report.end.cause),
        _ => None,
    });
    assert_eq!(cause, ExitCause::Stopped);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "a zombie");
}
