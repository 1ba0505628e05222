//! Sessions on their way, and clients that wait for a service.

use super::*;
use crate::directory::session::{NewSession, is_owner_alive};

fn only(held: &ServiceDir) -> NewSession {
    let [session] = &held.new_sessions().unwrap()[..] else {
        panic!("not one session: {:?}", held.new_sessions());
    };
    session.clone()
}

#[test]
fn a_session_goes_from_its_client_to_a_slot_and_ends_with_its_client() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    let mut client = Actor::new(&runtime);
    assert_eq!(client.ask("publish svc"), "published");
    let session = only(&held);
    let directory = held.open_new(&session).unwrap().unwrap();
    assert!(is_owner_alive(&directory).unwrap());
    assert!(held.take_up(&session, 7).unwrap());
    let taken = held.open_slot(7).unwrap().unwrap();
    assert_eq!(taken.path(), held.directory().path().join("s/7"));
    assert_eq!(fs::read_to_string(taken.path().join("seg")).unwrap(), "x");
    assert!(!held.take_up(&session, 8).unwrap());
    assert_eq!(held.taken_slots().unwrap(), [7]);
    assert!(held.is_owner_alive(7).unwrap());
    client.kill();
    assert!(!held.is_owner_alive(7).unwrap());
    let tombstone = held.clear_slot(7).unwrap().unwrap();
    assert!(held.clear_slot(7).unwrap().is_none());
    held.remove_tombstone(&tombstone, &["seg", "lock", "else"])
        .unwrap();
    held.remove_tombstone(&tombstone, &[]).unwrap();
    assert!(held.taken_slots().unwrap().is_empty());
    assert_eq!(runtime.scratch("svc/tmp"), 0);
}

#[test]
fn a_slot_is_given_out_once() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
    let [first, second] = [(); 2].map(|()| {
        let builder = view.build(limit()).unwrap().unwrap();
        publish(builder).unwrap()
    });
    let [one, two] = &held.new_sessions().unwrap()[..] else {
        panic!("not two sessions");
    };
    assert!(held.take_up(one, 0).unwrap());
    assert!(held.take_up(two, 0).is_err());
    // The other one is still there, and can be taken back by its client.
    let withdrawn = [first, second].map(|session| session.withdraw(&view).unwrap());
    assert_eq!(withdrawn.iter().filter(|withdrawn| **withdrawn).count(), 1);
    assert!(held.new_sessions().unwrap().is_empty());
    assert_eq!(held.taken_slots().unwrap(), [0]);
}

#[test]
fn a_session_can_be_published_while_the_server_is_dead() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
    assert!(view.is_held().unwrap());
    server.kill();
    assert!(!view.is_held().unwrap());
    assert!(view.holder().unwrap().unwrap().identity.is_dead());
    let builder = view.build(limit()).unwrap().unwrap();
    let session = publish(builder).unwrap();
    let successor = claim(&runtime, "svc").unwrap();
    assert!(successor.take_up(&only(&successor), 3).unwrap());
    let found = successor.open_slot(3).unwrap().unwrap();
    assert_eq!(found.identity(), session.directory().identity());
    let session = session.in_slot(&view, 3);
    assert_eq!(session.directory().path(), found.path());
    assert!(view.is_named().unwrap());
}

#[test]
fn what_a_client_left_that_died_while_it_built_is_removed_by_the_server() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    let [mut dies, mut lives] = [(); 2].map(|()| Actor::new(&runtime));
    assert_eq!(dies.ask("begin svc"), "begun");
    held.clean().unwrap();
    assert_eq!(runtime.scratch("svc/tmp"), 1);
    dies.kill();
    // A client leaves it to a server that runs; that one does not clean while somebody builds.
    assert_eq!(lives.ask("begin svc"), "begun");
    held.clean().unwrap();
    assert_eq!(runtime.scratch("svc/tmp"), 2);
    lives.kill();
    held.clean().unwrap();
    assert_eq!(runtime.scratch("svc/tmp"), 0);
}

#[test]
fn what_a_client_left_that_died_while_it_built_is_removed_by_the_next_where_no_server_runs() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    server.kill();
    // A few are left to the next server, and the ninth death is one too many.
    for dead in [1, 2, 3, 4, 5, 6, 7, 8, 9] {
        let mut dies = Actor::new(&runtime);
        assert_eq!(dies.ask("begin svc"), "begun");
        dies.kill();
        assert_eq!(runtime.scratch("svc/tmp"), dead);
    }
    let mut lives = Actor::new(&runtime);
    assert_eq!(lives.ask("begin svc"), "begun");
    assert_eq!(runtime.scratch("svc/tmp"), 1);
    drop(lives);
    let successor = claim(&runtime, "svc").unwrap();
    assert_eq!(successor.origin(), Origin::TakenOver);
    assert_eq!(runtime.scratch("svc/tmp"), 0);
}

#[test]
fn a_session_that_was_given_up_while_it_was_built_leaves_nothing() {
    let runtime = Runtime::new();
    let _held = claim(&runtime, "svc").unwrap();
    let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
    let builder = view.build(limit()).unwrap().unwrap();
    fs::write(builder.directory().path().join("seg"), "x").unwrap();
    drop(builder);
    assert_eq!(runtime.scratch("svc/tmp"), 0);
}

#[test]
fn a_session_is_seen_by_the_servers_last_look_or_is_too_late() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
    let [early, late] = [(); 2].map(|()| view.build(limit()).unwrap().unwrap());
    let in_time = publish(early);
    assert!(in_time.is_some());
    let retired = held.retire().unwrap();
    assert!(!view.is_named().unwrap());
    assert!(
        retired
            .service()
            .open_new(&only(retired.service()))
            .unwrap()
            .is_some()
    );
    assert!(publish(late).is_none());
    let later = view.build(limit()).unwrap().unwrap();
    retired.delete().unwrap();
    assert!(publish(later).is_none());
    assert!(view.build(limit()).unwrap().is_none());
    assert!(runtime.content().is_empty());
}

#[test]
fn a_waiting_client_wakes_when_the_service_appears() {
    let runtime = Runtime::new();
    let none = ServiceView::wait_for(&runtime, &name("svc"), Deadline::after(Duration::ZERO));
    assert!(none.unwrap().is_none());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ServiceView::wait_for(&runtime, &name("svc"), limit()));
        let other = claim(&runtime, "other").unwrap();
        let held = claim(&runtime, "svc").unwrap();
        let view = waiting.join().unwrap().unwrap().unwrap();
        assert!(view.is_held().unwrap());
        assert_eq!(view.directory().path(), held.directory().path());
        other.remove().unwrap();
    });
}

#[test]
fn a_waiting_client_outlives_its_runtime_directory() {
    let runtime = Runtime::new();
    for round in 0..10 {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| ServiceView::wait_for(&runtime, &name("svc"), limit()));
            // As the last server does, and the first one after it.
            fs::remove_dir(runtime.path()).unwrap();
            if round % 2 == 0 {
                thread::yield_now();
            }
            fs::DirBuilder::new()
                .mode(0o700)
                .create(runtime.path())
                .unwrap();
            let held = claim(&runtime, "svc").unwrap();
            assert!(waiting.join().unwrap().unwrap().is_some());
            held.remove().unwrap();
        });
    }
}

#[test]
fn a_client_that_waits_uses_no_processor_time_and_keeps_its_deadline() {
    let runtime = Runtime::new();
    let wait = || {
        let soon = Deadline::after(Duration::from_millis(50));
        let before = sleeps();
        let none = ServiceView::wait_for(&runtime, &name("svc"), soon).unwrap();
        assert!(none.is_none() && soon.has_passed());
        sleeps() - before
    };
    // One for the deadline; the kernel has its own when a watch ends, where others end theirs now and then many. Who looked every
    // millisecond would sleep fifty times, and each time.
    let slept = [(); 5].map(|()| wait());
    assert!(slept.iter().any(|slept| *slept < 40), "{slept:?}");
}

/// How often this thread has gone to sleep.
fn sleeps() -> u32 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt_switches:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}
