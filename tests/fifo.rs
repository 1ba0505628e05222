//! FIFO pairs between processes that die.

#![allow(clippy::unwrap_used, reason = "what a test does not expect ends it")]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use osps_ipc::{Directory, Error, FifoPair, Name, PairState, Received, Sent};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFlags, Timespec};
use rustix::time::{ClockId, clock_gettime};

use common::{Helper, SOON, Scratch, role, shown, tell, wait_for_end, wait_readable};

fn name() -> Name {
    Name::new("pair").unwrap()
}

fn helper(role: &str, directory: &Directory) -> Helper {
    Helper::start("play_a_role", role, directory.path())
}

/// What helpers do; nothing in the test process itself.
#[test]
fn play_a_role() {
    let Some((role, directory)) = role() else {
        return;
    };
    let mut pair = match role.as_str() {
        "create and echo" => FifoPair::create(&directory, &name()).unwrap(),
        "take over and echo" => FifoPair::take_over(&directory, &name()).unwrap(),
        _ => FifoPair::open(&directory, &name()).unwrap(),
    };
    tell("ready");
    if role == "hold" {
        while pair.refresh().unwrap() != PairState::Open {
            wait_readable(&pair, SOON);
        }
        tell("open");
        return wait_for_end();
    }
    // Until the parent says that it is enough; killed with it at the latest when that does not come.
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        wait_for_end();
        let _ = sender.send(());
    });
    let mut buffer = [0; FifoPair::MAX_FRAME];
    while ended.try_recv().is_err() {
        match pair.recv_timeout(&mut buffer, Duration::from_millis(50)) {
            Ok(len) => match pair.send_timeout(&buffer[..len], SOON) {
                Ok(()) | Err(Error::PeerGone { .. }) => {}
                Err(error) => panic!("{error}"),
            },
            Err(Error::TimedOut { .. } | Error::PeerGone { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn recv(pair: &mut FifoPair) -> Vec<u8> {
    let mut buffer = [0; FifoPair::MAX_FRAME];
    let len = pair.recv_timeout(&mut buffer, SOON).unwrap();
    buffer[..len].to_vec()
}

/// A wait for a frame that is expected to fail.
fn recv_error(pair: &mut FifoPair, timeout: Duration) -> Error {
    pair.recv_timeout(&mut [0; FifoPair::MAX_FRAME], timeout)
        .unwrap_err()
}

fn try_recv(pair: &mut FifoPair) -> Received {
    pair.try_recv(&mut [0; FifoPair::MAX_FRAME]).unwrap()
}

fn exchange(pair: &mut FifoPair, frame: &[u8]) {
    pair.send_timeout(frame, SOON).unwrap();
    assert_eq!(recv(pair), frame);
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

#[test]
fn without_a_peer_nothing_blocks_and_waits_end_at_their_deadline() {
    let dir = Scratch::new();
    let start = Instant::now();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    assert_eq!(pair.try_send(b"x").unwrap(), Sent::NoPeerYet);
    assert_eq!(try_recv(&mut pair), Received::Empty);
    assert_eq!(pair.state(), PairState::NoPeerYet);
    assert!(start.elapsed() < Duration::from_secs(5));
    let wait = Duration::from_millis(30);
    let start = Instant::now();
    let error = recv_error(&mut pair, wait);
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() >= wait);
    let start = Instant::now();
    let error = pair.send_timeout(b"x", wait).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() >= wait);
    assert!(start.elapsed() < SOON);
    drop(pair);
    let error = FifoPair::open(&dir, &name()).unwrap_err();
    assert!(error.to_string().contains("pair.up"), "{error}");
}

#[test]
fn the_death_of_the_peer_ends_a_wait_at_once_and_its_successor_goes_on() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    for round in 0..3_u8 {
        let mut peer = helper("echo", &dir);
        exchange(&mut pair, &[round; 100]);
        assert_eq!(pair.peer_pid(), Some(peer.pid()));
        let (error, late) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                peer.kill();
                Instant::now()
            });
            let error = recv_error(&mut pair, SOON);
            let told = Instant::now();
            (
                error,
                told.saturating_duration_since(killer.join().unwrap()),
            )
        });
        assert!(matches!(error, Error::PeerGone { .. }), "{error}");
        assert!(late < Duration::from_secs(1), "{late:?}");
        assert_eq!(pair.state(), PairState::PeerGone);
        assert_eq!(pair.try_send(b"x").unwrap(), Sent::PeerGone);
    }
}

#[test]
fn the_creators_death_is_survived_by_the_opener() {
    let dir = Scratch::new();
    let mut creator = helper("create and echo", &dir);
    creator.expect("ready");
    let mut pair = FifoPair::open(&dir, &name()).unwrap();
    exchange(&mut pair, b"to the first");
    let error = FifoPair::take_over(&dir, &name()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    creator.kill();
    assert!(matches!(
        recv_error(&mut pair, SOON),
        Error::PeerGone { .. }
    ));
    let successor = helper("take over and echo", &dir);
    exchange(&mut pair, b"to the second");
    successor.finish();
    assert!(matches!(
        recv_error(&mut pair, SOON),
        Error::PeerGone { .. }
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_did_not_read_never_reaches_its_successor() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let mut holder = helper("hold", &dir);
    pair.send_timeout(b"stale", SOON).unwrap();
    holder.expect("ready");
    holder.expect("open");
    while pair.try_send(&[7; 3000]).unwrap() == Sent::Sent {}
    holder.kill();
    assert_eq!(pair.try_send(b"x").unwrap(), Sent::PeerGone);
    let echo = helper("echo", &dir);
    exchange(&mut pair, b"fresh");
    assert_eq!(try_recv(&mut pair), Received::Empty);
    echo.finish();
}

#[test]
fn questions_and_answers_stay_matched_over_kills_at_any_moment() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let mut question = 0_u64;
    for round in 0..8 {
        let mut peer = helper("echo", &dir);
        let end = question + 20 * round + 1;
        let mut answers = 0;
        while answers == 0 || question < end {
            question += 1;
            let frame = question.to_le_bytes();
            match pair.send_timeout(&frame, SOON) {
                Ok(()) => {}
                Err(Error::PeerGone { .. }) => continue,
                Err(error) => panic!("{error}"),
            }
            let mut buffer = [0; FifoPair::MAX_FRAME];
            match pair.recv_timeout(&mut buffer, SOON) {
                Ok(len) => {
                    assert_eq!(&buffer[..len], frame);
                    answers += 1;
                }
                // It died with the question before this one.
                Err(Error::PeerGone { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Dies with a question, or with an answer on the way.
        pair.send_timeout(&u64::MAX.to_le_bytes(), SOON).unwrap();
        peer.kill();
        let mut buffer = [0; FifoPair::MAX_FRAME];
        while pair.try_recv(&mut buffer).unwrap() != Received::PeerGone {}
    }
}

#[test]
fn after_the_peers_death_waiting_costs_no_time_of_the_processor() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let mut peer = helper("echo", &dir);
    exchange(&mut pair, b"x");
    peer.kill();
    assert!(matches!(
        recv_error(&mut pair, SOON),
        Error::PeerGone { .. }
    ));
    let before = thread_cpu_time();
    let half = Duration::from_millis(500);
    let error = recv_error(&mut pair, half);
    assert!(error.is_timeout(), "{error}");
    assert_eq!(try_recv(&mut pair), Received::Empty);
    assert_eq!(shown(&pair, half), PollFlags::empty());
    let used = thread_cpu_time() - before;
    assert!(used < Duration::from_millis(30), "{used:?}");
}

#[test]
fn it_works_in_another_epoll_set_by_level_and_by_edge() {
    for flags in [EventFlags::IN, EventFlags::IN | EventFlags::ET] {
        let dir = Scratch::new();
        let mut pair = FifoPair::create(&dir, &name()).unwrap();
        let outer = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&outer, &pair, EventData::new_u64(9), flags).unwrap();
        let timeout = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        // First use up what there is, then wait; until the condition holds.
        let until = |pair: &mut FifoPair,
                     holds: &mut dyn FnMut(&mut FifoPair, Received) -> bool| loop {
            let received = try_recv(pair);
            if holds(pair, received) {
                break;
            }
            if received == Received::Empty {
                let mut events = Vec::with_capacity(1);
                let spare = rustix::buffer::spare_capacity(&mut events);
                assert_eq!(epoll::wait(&outer, spare, Some(&timeout)), Ok(1));
                let flags = events[0].flags;
                assert_eq!(flags, EventFlags::IN, "no hang-up, no error");
            }
        };
        for _ in 0..2 {
            let mut peer = helper("echo", &dir);
            until(&mut pair, &mut |pair, _| pair.state() == PairState::Open);
            for _ in 0..3 {
                let mut sent = false;
                until(&mut pair, &mut |pair, received| {
                    sent = sent || pair.try_send(&[5; 1000]).unwrap() == Sent::Sent;
                    received == Received::Frame(1000)
                });
            }
            peer.kill();
            until(&mut pair, &mut |_, received| received == Received::PeerGone);
        }
    }
}

#[test]
fn a_program_that_is_executed_holds_no_end() {
    let dir = Scratch::new();
    let _creator = FifoPair::create(&dir, &name()).unwrap();
    let mut opener = FifoPair::open(&dir, &name()).unwrap();
    opener.refresh().unwrap();
    let list = |pid: &str| {
        let ls = Command::new("ls")
            .args(["-l", &format!("/proc/{pid}/fd")])
            .output()
            .unwrap();
        String::from_utf8(ls.stdout).unwrap()
    };
    let place = dir.path().to_str().unwrap();
    let own = list(&std::process::id().to_string());
    assert!(own.contains(place), "the test can see ends: {own}");
    let child = list("self");
    assert!(
        !child.contains(place) && !child.contains("eventpoll"),
        "{child}"
    );
}

#[test]
fn what_stands_in_a_fifos_place_is_refused_and_named() {
    for end in ["pair.up", "pair.down"] {
        let dir = Scratch::new();
        let pair = FifoPair::create(&dir, &name()).unwrap();
        pair.leave();
        let path = dir.path().join(end);
        let refused = |why: &str| {
            let mut errors = Vec::new();
            errors.extend(FifoPair::open(&dir, &name()).err());
            errors.extend(FifoPair::take_over(&dir, &name()).err());
            // The side that reads it sees it when it opens; the one that writes it, when somebody reads.
            assert!(!errors.is_empty());
            for error in errors {
                let message = error.to_string();
                assert!(message.contains(path.to_str().unwrap()), "{message}");
                assert!(message.contains(why), "{message}");
            }
        };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        refused("0644");
        std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        refused("symbolic link");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"data").unwrap();
        refused("not a FIFO");
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
        let error = FifoPair::create(&dir, &name()).unwrap_err();
        assert!(error.to_string().contains("pair.up"), "{error}");
    }
}
