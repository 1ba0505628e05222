//! Processes that are watched, hang, die, and are started again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/served.rs"]
mod served;

use std::time::{Duration, Instant};

use common::{SOON, Scratch};
use osps_ipc::detector::{Cause, Death, Phase, Verdict};
use osps_ipc::restart::{Decision, ExitCause, Policy};
use osps_ipc::supervisor::{self, Rung};
use osps_ipc::{
    ClientOptions, Directory, Error, Event, HeartbeatView, MonitorOptions, Name, Probed, Reading,
    Request, RequestKind, Server, ServerOptions, SupervisorOptions,
};
use served::{
    BLOCK, BUDGET, ECHO, EXIT, HOLD, SPIN, Supervised, client, command, config, is_alive, is_hung,
    monitor, signal, start, until, until_verdict,
};

#[test]
fn serve() {
    served::serve();
}

fn beating(place: &Scratch) -> (Server, HeartbeatView) {
    let server = ServerOptions::new()
        .directory(place.path())
        .heartbeat(Duration::from_millis(250))
        .bind("svc")
        .unwrap();
    let name = Name::new("heartbeat").unwrap();
    let view = HeartbeatView::open(server.directory(), &name).unwrap();
    (server, view)
}

fn read(view: &HeartbeatView) -> Reading {
    view.read().unwrap()
}

#[test]
fn a_server_beats_as_it_works_owes_nothing_as_it_sleeps_and_answers_a_ring() {
    let place = Scratch::new();
    let (mut server, view) = beating(&place);
    assert_eq!(read(&view).sample.phase, Phase::Starting);
    let working = Phase::Working {
        budget: Duration::from_millis(250),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut asked = 0;
            while asked < 3 {
                if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
                    assert_eq!(read(&view).sample.phase, working);
                    request.reply("").unwrap();
                    asked += 1;
                }
            }
        });
        let mut client = ClientOptions::new()
            .directory(place.path())
            .connect("svc", SOON)
            .unwrap();
        for _ in 0..2 {
            until(|| (read(&view).sample.phase == Phase::Idle).then_some(()));
            let before = read(&view).sample.count;
            client.call(Request::new(ECHO, ""), SOON).unwrap();
            assert!(read(&view).sample.count > before);
        }
        let before = until(|| {
            let sample = read(&view).sample;
            (sample.phase == Phase::Idle).then_some(sample.count)
        });
        // What a watcher does to see whether the loop is there.
        let door = place.path().join("svc/door");
        std::fs::write(door, "!").unwrap();
        until(|| (read(&view).sample.count > before).then_some(()));
        client.call(Request::new(ECHO, ""), SOON).unwrap();
    });
    server.drain(Duration::ZERO);
    assert_eq!(read(&view).sample.phase, Phase::Stopping);
    drop(server);
    assert!(read(&view).sample.farewell);
}

#[test]
fn a_server_that_sleeps_outside_is_idle_until_it_is_asked_again() {
    let place = Scratch::new();
    let (mut server, view) = beating(&place);
    assert!(server.arm().unwrap());
    assert_eq!(read(&view).sample.phase, Phase::Idle);
    assert!(server.try_next().unwrap().is_none());
    assert!(matches!(read(&view).sample.phase, Phase::Working { .. }));
    let heart = server.heartbeat().unwrap();
    heart.set_progress(42);
    let _ = heart.beat();
    assert_eq!(read(&view).sample.progress, 42);
    assert_eq!(read(&view).pid, std::process::id());
}

#[test]
fn a_monitor_tells_why_a_process_hangs_and_that_it_is_well_again() {
    let place = Scratch::new();
    let mut monitor = monitor(&place);
    assert_eq!(monitor.look().unwrap().verdict(), Verdict::NoPeer);
    for (fault, cause) in [(SPIN, Cause::Spinning), (BLOCK, Cause::Blocked)] {
        let mut server = start(&place);
        let (report, _) = until_verdict(&mut monitor, is_alive);
        assert_eq!(report.pid, Some(server.pid()));
        let mut client = client(&place);
        client.submit(Request::new(fault, ""), SOON).unwrap();
        let (report, after) = until_verdict(&mut monitor, is_hung(cause));
        assert!(report.judgement.actionable, "{report}");
        assert!(after >= BUDGET / 2, "{after:?}");
        println!("{fault}: {after:?}: {report}");
        drop(client);
        server.kill();
        let (report, _) = until_verdict(&mut monitor, |verdict| {
            matches!(verdict, Verdict::Dead { .. })
        });
        let killed = Death::Killed {
            signal: 9,
            dumped: false,
        };
        // Reaped by this very process before the monitor looked: then only the kernel may know.
        let how = [Death::Unknown, killed].map(|how| Verdict::Dead { how });
        assert!(how.contains(&report.verdict()), "{report}");
        // What the dead server had begun is asked again of the next.
        std::fs::remove_dir_all(place.path().join("svc")).unwrap();
    }
}

#[test]
fn a_process_that_is_stopped_while_it_is_idle_is_found_by_the_challenge() {
    let place = Scratch::new();
    let server = start(&place);
    let mut monitor = monitor(&place);
    until_verdict(&mut monitor, is_alive);
    for _ in 0..2 {
        signal("-STOP", server.pid());
        let (report, after) = until_verdict(&mut monitor, is_hung(Cause::Stopped));
        assert!(report.judgement.actionable, "{report}");
        println!("{after:?}: {report}");
        signal("-CONT", server.pid());
        until_verdict(&mut monitor, is_alive);
    }
    let before = monitor.last().cloned();
    assert_eq!(
        monitor.next_timeout(Duration::from_millis(500)).unwrap(),
        None,
        "{before:?}"
    );
}

#[test]
fn a_probe_proves_the_path_and_its_loss() {
    let place = Scratch::new();
    let mut server = start(&place);
    let every = Duration::from_millis(20);
    let mut monitor = MonitorOptions::new()
        .directory(place.path())
        .config(config())
        .probe(every, every * 5)
        .watch("svc")
        .unwrap();
    let mut until_probed = |wanted: fn(&Probed) -> bool| {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < SOON);
            let report = monitor.next_timeout(SOON).unwrap().unwrap();
            if wanted(&report.probed) {
                return report;
            }
        }
    };
    until_probed(|probed| matches!(probed, Probed::Works { .. }));
    signal("-STOP", server.pid());
    let report = until_probed(|probed| matches!(probed, Probed::Fails { .. }));
    assert!(report.to_string().contains("no answer"), "{report}");
    signal("-CONT", server.pid());
    until_probed(|probed| matches!(probed, Probed::Works { .. }));
    server.kill();
    let _next = start(&place);
    until_probed(|probed| matches!(probed, Probed::Unknown));
    until_probed(|probed| matches!(probed, Probed::Works { .. }));
}

#[test]
fn a_killed_server_is_replaced_and_its_client_notices_a_delay_at_most() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    let mut pid = supervised.until_ready();
    let mut client = client(&place);
    for _ in 0..5 {
        client.call(Request::new(ECHO, ""), SOON).unwrap();
        let killed = Instant::now();
        signal("-KILL", pid);
        let cause = supervised.until_ended();
        let noticed = killed.elapsed();
        assert_eq!(
            cause,
            ExitCause::Died(Death::Killed {
                signal: 9,
                dumped: false
            })
        );
        let next = supervised.until_ready();
        client.call(Request::new(ECHO, ""), SOON).unwrap();
        println!(
            "told after {noticed:?}, served after {:?}",
            killed.elapsed()
        );
        assert_ne!(next, pid);
        pid = next;
    }
    assert_eq!(supervised.0.history().len(), 5);
}

#[test]
fn a_server_that_hangs_is_killed_for_its_cause_and_replaced() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    for (fault, cause) in [
        (Some(SPIN), Cause::Spinning),
        (Some(BLOCK), Cause::Blocked),
        (None, Cause::Stopped),
    ] {
        let pid = supervised.until_ready();
        match fault {
            Some(kind) => {
                let mut client = client(&place);
                client.submit(Request::new(kind, ""), SOON).unwrap();
                // Gone before its request could be given to the next server.
                supervised.until(|event| match event {
                    supervisor::Event::Verdict(report) if is_hung(cause)(report.verdict()) => {
                        Some(())
                    }
                    _ => None,
                });
            }
            None => signal("-STOP", pid),
        }
        let rung = supervised.until(|event| match event {
            supervisor::Event::Ending { rung, .. } => Some(*rung),
            _ => None,
        });
        assert_eq!(rung, Rung::Killed);
        assert_eq!(supervised.until_ended(), ExitCause::KilledAsHung(cause));
    }
    supervised.until_ready();
}

#[test]
fn a_server_that_exits_at_once_again_and_again_is_given_up_and_its_clients_are_told() {
    let place = Scratch::new();
    // A client whose server has been killed.
    let mut server = start(&place);
    let mut client = client(&place);
    server.kill();
    let mut policy = Policy::default();
    policy.first_delay = Duration::from_millis(5);
    let options = SupervisorOptions::new(command("1", place.path())).policy(policy);
    let mut supervised = Supervised::start(options, &place);
    let mut reports = Vec::new();
    while reports.len() < 6 {
        reports.push(supervised.until(|event| match event {
            supervisor::Event::Ended { report, .. } => Some(*report),
            _ => None,
        }));
    }
    let left: Vec<u32> = reports.iter().map(|report| report.left).collect();
    assert_eq!(left, [4, 3, 2, 1, 0, 0]);
    assert!(
        reports
            .iter()
            .all(|report| report.end.cause == ExitCause::Died(Death::Exited(1)))
    );
    assert_eq!(reports[0].decision, Decision::RestartNow);
    assert_eq!(reports[5].decision, Decision::GiveUp);
    assert!(supervised.0.has_given_up());
    let refused = client.call(Request::new(ECHO, ""), SOON).unwrap_err();
    assert!(
        refused.to_string().contains("given the service up"),
        "{refused}"
    );
    assert!(!place.path().join("svc").exists());
}

#[test]
fn a_server_that_exits_in_good_order_is_not_started_again() {
    for (code, cause) in [("0", Death::Exited(0)), ("125", Death::Exited(125))] {
        let place = Scratch::new();
        let mut supervised = Supervised::serving(&place);
        supervised.until_ready();
        let mut client = client(&place);
        client.submit(Request::new(EXIT, code), SOON).unwrap();
        assert_eq!(supervised.until_ended(), ExitCause::Died(cause));
        assert!(supervised.0.is_over() && !supervised.0.has_given_up());
    }
}

#[test]
fn a_running_service_is_adopted_and_outlives_its_supervisor() {
    let place = Scratch::new();
    let mut server = start(&place);
    let mut client = client(&place);
    let adopted = |event: &supervisor::Event| match event {
        supervisor::Event::Adopted { pid } => Some(*pid),
        _ => None,
    };
    let supervise = || {
        SupervisorOptions::new(command("serve", place.path()))
            .directory(place.path())
            .config(config())
            .supervise("svc")
    };
    for _ in 0..2 {
        let mut supervisor = supervise().unwrap();
        let event = supervisor.next_timeout(SOON).unwrap().unwrap();
        assert_eq!(adopted(&event), Some(server.pid()));
        assert!(matches!(supervise(), Err(Error::AlreadyRunning { .. })));
        drop(supervisor);
        client.call(Request::new(ECHO, ""), SOON).unwrap();
    }
    let mut supervised = Supervised::serving(&place);
    assert_eq!(supervised.until_ready(), server.pid());
    // One that starts while another serves ends with the code that says so.
    let mut second = command("serve", place.path()).spawn().unwrap();
    let code = second.wait().unwrap().code();
    assert_eq!(code, Some(osps_ipc::restart::EXIT_ALREADY_RUNNING));
    server.kill();
    supervised.until_ended();
    assert_ne!(supervised.until_ready(), server.pid());
    client.call(Request::new(ECHO, ""), SOON).unwrap();
}

#[test]
fn a_service_that_is_ending_already_when_it_is_adopted_is_started_again() {
    let place = Scratch::new();
    let server = start(&place);
    let mut client = client(&place);
    client.call(Request::new(HOLD, ""), SOON).unwrap();
    let held = Request::new(RequestKind::new("held"), "");
    client.submit(held, SOON).unwrap();
    signal("-TERM", server.pid());
    let at = Directory::open(place.path().join("svc")).unwrap();
    let view = HeartbeatView::open(&at, &Name::new("heartbeat").unwrap()).unwrap();
    until(|| (read(&view).sample.phase == Phase::Stopping).then_some(()));
    let mut supervised = Supervised::serving(&place);
    let event = supervised.0.next_timeout(SOON).unwrap().unwrap();
    assert!(
        matches!(event, supervisor::Event::Adopted { .. }),
        "{event}"
    );
    drop(client);
    assert_eq!(supervised.until_ended(), ExitCause::NotAdopted);
    assert_ne!(supervised.until_ready(), server.pid());
}

#[test]
fn a_stop_asks_first_and_the_service_removes_its_names() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    supervised.until_ready();
    supervised.0.stop();
    let rung = supervised.until(|event| match event {
        supervisor::Event::Ending { rung, .. } => Some(*rung),
        _ => None,
    });
    assert_eq!(rung, Rung::Asked);
    assert_eq!(supervised.until_ended(), ExitCause::Stopped);
    assert!(supervised.0.is_over());
    assert!(!place.path().join("svc").exists());
    drop(supervised);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
