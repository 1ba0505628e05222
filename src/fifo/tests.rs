//! Both ends of a FIFO pair in one process.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{FifoPair, PairState, Received, Sent};
use crate::directory::Name;
use crate::directory::testing::Scratch;
use crate::error::Error;
use crate::sys::clock::Deadline;
use crate::sys::fifo;
use crate::sys::fork::{fork_for_test, wait_for_test};
use crate::sys::poll::{Interest, wait_one};
use crate::sys::signal;
use crate::sys::testing::alone;

mod hostile;

const SOON: Duration = Duration::from_secs(10);

fn name() -> Name {
    Name::new("pair").unwrap()
}

/// Both ends, after their hellos.
fn both(dir: &Scratch) -> (FifoPair, FifoPair) {
    let mut creator = FifoPair::create(dir, &name()).unwrap();
    let mut opener = FifoPair::open(dir, &name()).unwrap();
    meet(&mut creator, &mut opener);
    (creator, opener)
}

fn meet(a: &mut FifoPair, b: &mut FifoPair) {
    for _ in 0..2 {
        a.refresh().unwrap();
        b.refresh().unwrap();
    }
    assert_eq!((a.state(), b.state()), (PairState::Open, PairState::Open));
}

fn recv(pair: &mut FifoPair) -> Vec<u8> {
    let mut buffer = [0; FifoPair::MAX_FRAME];
    let len = pair.recv_timeout(&mut buffer, SOON).unwrap();
    buffer[..len].to_vec()
}

fn try_recv(pair: &mut FifoPair) -> Received {
    pair.try_recv(&mut [0; FifoPair::MAX_FRAME]).unwrap()
}

fn is_ready(pair: &FifoPair) -> bool {
    let shown = wait_one(pair, Interest::READ, Deadline::passed()).unwrap();
    shown.is_some_and(|ready| {
        assert!(!ready.is_dead());
        ready.is_readable()
    })
}

#[test]
fn frames_of_every_length_arrive_whole_and_in_order() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    assert_eq!(a.peer_pid(), Some(std::process::id()));
    for len in [0, 1, 23, 24, 100, 4000, FifoPair::MAX_FRAME] {
        let frame: Vec<u8> = (0..len).map(|i| i.to_le_bytes()[0]).collect();
        assert_eq!(a.try_send(&frame).unwrap(), Sent::Sent);
        assert_eq!(a.try_send(b"next").unwrap(), Sent::Sent);
        assert_eq!(recv(&mut b), frame);
        b.send_timeout(&frame, SOON).unwrap();
        assert_eq!(recv(&mut a), frame);
        assert_eq!(recv(&mut b), b"next");
    }
    let error = a.try_send(&[0; FifoPair::MAX_FRAME + 1]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLong {
                len: 4073,
                max: 4072,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(try_recv(&mut b), Received::Empty);
}

#[test]
fn a_frame_for_which_the_buffer_is_too_small_stays() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    a.send_timeout(b"longer", SOON).unwrap();
    let error = b.try_recv(&mut [0; 5]).unwrap_err();
    assert!(
        matches!(error, Error::TooLong { len: 6, max: 5, .. }),
        "{error}"
    );
    assert_eq!(recv(&mut b), b"longer");
}

#[test]
fn a_full_pipe_says_so_and_the_descriptor_tells_of_room() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    while try_recv(&mut a) != Received::Empty {}
    let frame = [7; 1000];
    let mut sent = 0;
    while a.try_send(&frame).unwrap() == Sent::Sent {
        sent += 1;
    }
    assert!(sent >= 4);
    assert!(!is_ready(&a));
    let start = Instant::now();
    let error = a
        .send_timeout(&frame, Duration::from_millis(20))
        .unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(20));
    for _ in 0..sent {
        assert_eq!(recv(&mut b), frame);
    }
    assert!(is_ready(&a));
    assert_eq!(try_recv(&mut a), Received::Empty);
    assert!(is_ready(&a), "until it is used");
    assert_eq!(a.try_send(&frame).unwrap(), Sent::Sent);
    assert!(!is_ready(&a));
    assert_eq!(recv(&mut b), frame);
}

#[test]
fn a_receiver_waits_also_while_an_earlier_send_has_room_again() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    while a.try_send(&[0; 4000]).unwrap() == Sent::Sent {}
    while try_recv(&mut b) != Received::Empty {}
    let before = signal::test::thread_cpu_time();
    let timeout = Duration::from_millis(200);
    let error = a
        .recv_timeout(&mut [0; FifoPair::MAX_FRAME], timeout)
        .unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(signal::test::thread_cpu_time() - before < timeout / 4);
}

#[test]
fn a_wait_that_ended_early_does_not_show_at_its_deadline() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    let goes_on: [fn(&mut FifoPair); 3] = [
        |pair| assert_eq!(try_recv(pair), Received::Empty),
        |pair| assert_eq!(pair.refresh().unwrap(), PairState::Open),
        |pair| while pair.try_send(&[0; 1000]).unwrap() == Sent::Sent {},
    ];
    for go_on in goes_on {
        let ended_early = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut buffer = [0; 1];
                a.recv_timeout(&mut buffer, Duration::from_millis(300))
            });
            // Long enough that it sleeps.
            std::thread::sleep(Duration::from_millis(20));
            b.send_timeout(b"x", SOON).unwrap();
            waiting.join().unwrap().is_ok()
        });
        if !ended_early {
            recv(&mut a);
        }
        go_on(&mut a);
        let later = Deadline::after(Duration::from_millis(400));
        assert_eq!(wait_one(&a, Interest::READ, later), Ok(None));
    }
}

#[test]
fn a_death_is_told_once_after_the_last_words_and_a_successor_goes_on() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    b.send_timeout(b"last words", SOON).unwrap();
    // Meant for the one that dies.
    a.send_timeout(b"stale", SOON).unwrap();
    b.leave();
    assert!(is_ready(&a));
    assert_eq!(recv(&mut a), b"last words");
    let error = a
        .recv_timeout(&mut [0; FifoPair::MAX_FRAME], SOON)
        .unwrap_err();
    assert!(matches!(error, Error::PeerGone { .. }), "{error}");
    assert_eq!(a.state(), PairState::PeerGone);
    assert_eq!(try_recv(&mut a), Received::Empty);
    assert!(!is_ready(&a), "told once");
    assert_eq!(a.try_send(b"x").unwrap(), Sent::PeerGone);
    let mut b = FifoPair::open(&dir, &name()).unwrap();
    assert!(is_ready(&a));
    meet(&mut a, &mut b);
    assert_eq!(try_recv(&mut b), Received::Empty, "not the stale frame");
    a.send_timeout(b"fresh", SOON).unwrap();
    assert_eq!(recv(&mut b), b"fresh");
}

#[test]
fn a_successor_that_came_unseen_is_announced_before_its_first_frame() {
    let dir = Scratch::new();
    let (mut a, b) = both(&dir);
    drop(b);
    let mut b = FifoPair::open(&dir, &name()).unwrap();
    assert_eq!(b.try_send(b"x").unwrap(), Sent::NoPeerYet);
    // The survivor has not looked: it still sends to the dead.
    assert_eq!(a.try_send(b"stale").unwrap(), Sent::Sent);
    assert_eq!(try_recv(&mut a), Received::PeerGone);
    assert_eq!(a.state(), PairState::Open);
    b.send_timeout(b"fresh", SOON).unwrap();
    assert_eq!(recv(&mut a), b"fresh");
    a.send_timeout(b"answer", SOON).unwrap();
    assert_eq!(recv(&mut b), b"answer");
}

#[test]
fn what_a_predecessor_has_read_a_part_of_is_nobodys() {
    let dir = Scratch::new();
    let (mut a, mut b) = both(&dir);
    // More than it reads at a time.
    for _ in 0..200 {
        assert_eq!(a.try_send(&[0; 100]).unwrap(), Sent::Sent);
    }
    assert_eq!(recv(&mut b), [0; 100]);
    drop(b);
    assert_eq!(try_recv(&mut a), Received::PeerGone);
    let mut b = FifoPair::open(&dir, &name()).unwrap();
    assert_eq!(a.refresh().unwrap(), PairState::Open);
    a.send_timeout(b"for the successor", SOON).unwrap();
    assert_eq!(recv(&mut b), b"for the successor");
    assert_eq!(try_recv(&mut a), Received::Empty);
}

#[test]
fn the_creators_end_is_taken_over_and_only_when_it_is_free() {
    let dir = Scratch::new();
    let (a, mut b) = both(&dir);
    for error in [
        FifoPair::take_over(&dir, &name()).unwrap_err(),
        FifoPair::open(&dir, &name()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InUse { .. }), "{error}");
    }
    assert!(FifoPair::create(&dir, &name()).is_err());
    a.leave();
    let mut a = FifoPair::take_over(&dir, &name()).unwrap();
    assert_eq!(b.refresh().unwrap(), PairState::Open);
    assert_eq!(try_recv(&mut b), Received::PeerGone);
    meet(&mut a, &mut b);
    a.send_timeout(b"on", SOON).unwrap();
    assert_eq!(recv(&mut b), b"on");
    drop(a);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let error = b.send_timeout(b"x", Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::PeerGone { .. }), "{error}");
    let error = b.send_timeout(b"x", Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::BadFile { .. }), "{error}");
}

#[test]
fn an_end_that_was_dropped_is_free_although_a_child_has_not_yet_come_to_its_exec() {
    let dir = Scratch::new();
    let creator = FifoPair::create(&dir, &name()).unwrap();
    let opener = FifoPair::open(&dir, &name()).unwrap();
    // What such a child has.
    let copy = |pair: &FifoPair| pair.read_end.as_fd().try_clone_to_owned().unwrap();
    let _copies = [copy(&creator), copy(&opener)];
    drop(opener);
    FifoPair::open(&dir, &name()).unwrap();
    creator.leave();
    FifoPair::take_over(&dir, &name()).unwrap();
}

#[test]
fn names_that_lead_elsewhere_are_not_removed() {
    let dir = Scratch::new();
    let mut a = FifoPair::create(&dir, &name()).unwrap();
    let up = dir.path().join("pair.up");
    std::fs::remove_file(&up).unwrap();
    std::fs::write(&up, b"another's").unwrap();
    let error = a
        .recv_timeout(&mut [0; FifoPair::MAX_FRAME], Duration::ZERO)
        .unwrap_err();
    assert!(matches!(error, Error::BadFile { .. }), "{error}");
    drop(a);
    assert_eq!(std::fs::read(&up).unwrap(), b"another's");
    assert!(!dir.path().join("pair.down").exists());
}

#[test]
fn a_failed_create_leaves_nothing_and_a_squatted_name_is_an_error() {
    let dir = Scratch::new();
    std::fs::write(dir.path().join("pair.down"), b"").unwrap();
    let error = FifoPair::create(&dir, &name()).unwrap_err();
    assert!(error.to_string().contains("pair.down"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(FifoPair::open(&dir, &name()).is_err());
    std::fs::write(dir.path().join("pair.up"), b"").unwrap();
    let error = FifoPair::open(&dir, &name()).unwrap_err();
    assert!(matches!(error, Error::BadFile { .. }), "{error}");
}

#[test]
fn a_forked_child_has_no_end_and_its_copy_refuses() {
    alone!("a_forked_child_has_no_end_and_its_copy_refuses", || {
        let dir = Scratch::new();
        let (mut a, mut b) = both(&dir);
        let mut copy = Some((a, b));
        let child = fork_for_test(false, || {
            let Some((mut a, b)) = copy.take() else {
                return 1;
            };
            let refused = matches!(a.try_send(b"x"), Err(Error::Forked { .. }));
            drop(a);
            drop(b);
            i32::from(!refused)
        });
        assert_eq!(wait_for_test(child), 0);
        (a, b) = copy.take().unwrap();
        assert!(a.names.lead_here());
        a.send_timeout(b"still here", SOON).unwrap();
        assert_eq!(recv(&mut b), b"still here");
    });
}

#[test]
fn a_send_to_the_dead_raises_no_signal() {
    alone!("a_send_to_the_dead_raises_no_signal", || {
        signal::test::let_sigpipe_kill();
        let dir = Scratch::new();
        let (mut a, b) = both(&dir);
        drop(b);
        assert_eq!(a.try_send(b"x").unwrap(), Sent::PeerGone);
        let write_end = a.write_end.as_ref().unwrap().as_fd();
        assert_eq!(fifo::write_nosignal(write_end, b"x"), Err(Errno::PIPE));
    });
}

#[test]
fn a_storm_of_signals_neither_lengthens_nor_shortens_a_receive() {
    alone!(
        "a_storm_of_signals_neither_lengthens_nor_shortens_a_receive",
        || {
            let dir = Scratch::new();
            let (mut a, _b) = both(&dir);
            let wanted = Duration::from_millis(100);
            let (took, signals) = signal::test::in_a_storm_of_signals(|| {
                let start = Instant::now();
                let error = a
                    .recv_timeout(&mut [0; FifoPair::MAX_FRAME], wanted)
                    .unwrap_err();
                assert!(error.is_timeout(), "{error}");
                start.elapsed()
            });
            assert!(signals > 0, "no storm");
            assert!(took >= wanted && took < wanted * 10, "{took:?}");
        }
    );
}
