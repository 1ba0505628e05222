//! Processes that are watched, hang, die, and are started again.

mod common;

use std::time::{Duration, Instant};

use common::{SOON, Scratch};
use osps_ipc::detector::Phase;
use osps_ipc::{
    ClientOptions, Event, HeartbeatView, Name, Reading, Request, RequestKind, Server, ServerOptions,
};

const ECHO: RequestKind = RequestKind::new("echo");

/// Looks again and again until it sees what it waits for.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < SOON, "it does not come");
        std::thread::yield_now();
    }
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
