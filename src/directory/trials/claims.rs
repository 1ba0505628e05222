//! Who gets a service, and what becomes of its directory.

use super::*;
use crate::directory::{Missing, holder, is_errno};
use crate::sys::poll::poll_one;
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn of_twenty_servers_started_at_once_among_probers_exactly_one_wins() {
    const SERVERS: usize = 20;
    const PROBERS: usize = 6;
    const ROUNDS: usize = 12;
    let runtime = Runtime::new();
    let mut servers: Vec<_> = (0..SERVERS).map(|_| Actor::new(&runtime)).collect();
    let mut probers: Vec<_> = (0..PROBERS).map(|_| Actor::new(&runtime)).collect();
    for prober in &mut probers {
        prober.tell("probe svc");
    }
    for round in 0..ROUNDS {
        for server in &mut servers {
            server.tell("claim svc");
        }
        let answers: Vec<_> = servers.iter().map(Actor::answer).collect();
        let winners = answers.iter().filter(|answer| *answer != "already running");
        let winners: Vec<_> = winners.collect();
        // By turns, the directory is there already, and it is not.
        let expected = if round % 2 == 0 { "new" } else { "taken over" };
        assert_eq!(winners, [expected], "round {round}");
        let winner = answers
            .iter()
            .position(|answer| answer == expected)
            .unwrap();
        let leave = if round % 2 == 0 { "abandon" } else { "remove" };
        servers[winner].ask(leave);
    }
    fs::write(runtime.path().join("stop"), "").unwrap();
    for prober in &probers {
        prober.answer();
    }
    assert_eq!(runtime.content(), [Path::new("stop")]);
}

#[test]
fn the_service_of_a_killed_server_is_taken_over_at_once() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    let pid = server.process.0.id();
    let refused = claim(&runtime, "svc").unwrap_err().to_string();
    assert!(
        refused.contains(&format!("pid {pid} (started ")),
        "{refused}"
    );
    server.kill();
    let none = Deadline::after(Duration::ZERO);
    let held = ServiceDir::claim(&runtime, &name("svc"), none, nothing_more).unwrap();
    assert_eq!(held.origin(), Origin::TakenOver);
    held.remove().unwrap();
    assert!(runtime.content().is_empty());
}

#[test]
fn whoever_learns_of_a_death_from_a_fifo_finds_the_lock_free() {
    let runtime = Runtime::new();
    for _ in 0..10 {
        let mut server = Actor::new(&runtime);
        server.ask("claim svc");
        assert_eq!(server.ask("door"), "open");
        let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
        let end = fifo::open_write_end(view.directory(), DOOR)
            .unwrap()
            .unwrap();
        assert!(view.is_held().unwrap());
        server.process.0.kill().unwrap();
        let shown = poll_one(&end, PollFlags::empty(), limit()).unwrap();
        assert!(shown.contains(PollFlags::ERR));
        assert!(!view.is_held().unwrap());
    }
}

#[test]
fn a_forked_child_does_not_keep_its_dead_parents_service() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    assert_eq!(server.ask("fork library"), "forked");
    server.kill();
    assert_eq!(claim(&runtime, "svc").unwrap().origin(), Origin::TakenOver);
}

#[test]
fn a_lock_that_a_raw_clone_has_inherited_is_told_from_a_running_server() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    let pid = server.process.0.id();
    assert_eq!(server.ask("fork raw"), "forked");
    server.kill();
    let error = claim(&runtime, "svc").unwrap_err();
    assert!(matches!(error, Error::LockInherited { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("pid {pid} ")),
        "{error}"
    );
    let hasty = Deadline::after(Duration::from_millis(5));
    let error = ServiceDir::claim(&runtime, &name("svc"), hasty, nothing_more).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    // The child ends, and with it the lock.
    server.stdin = None;
    let held = loop {
        match claim(&runtime, "svc") {
            Err(Error::LockInherited { .. }) => {}
            claimed => break claimed.unwrap(),
        }
    };
    assert_eq!(held.origin(), Origin::TakenOver);
}

#[test]
fn a_cleaner_is_waited_for_and_a_server_is_not() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    let soon = || Deadline::after(Duration::from_millis(30));
    let refused = ServiceDir::claim(&runtime, &name("svc"), soon(), nothing_more).unwrap_err();
    assert!(matches!(refused, Error::AlreadyRunning { .. }), "{refused}");
    // As a server does that was just going to take the name away.
    let lock = held.directory().path().join(holder::LOCK);
    let cleaner = fs::read_to_string(&lock)
        .unwrap()
        .replace("server", "cleaner");
    fs::write(&lock, cleaner).unwrap();
    let waited = ServiceDir::claim(&runtime, &name("svc"), soon(), nothing_more).unwrap_err();
    assert!(waited.is_timeout(), "{waited}");
    thread::scope(|scope| {
        let next = scope.spawn(|| claim(&runtime, "svc").unwrap());
        held.remove().unwrap();
        assert_eq!(next.join().unwrap().origin(), Origin::New);
    });
}

#[test]
fn what_a_killed_maker_left_is_removed_and_what_a_live_one_makes_is_not() {
    let runtime = Runtime::new();
    let [mut dies, mut lives] = [(); 2].map(|()| Actor::new(&runtime));
    assert_eq!(dies.ask("build one"), "building");
    dies.kill();
    assert_eq!(runtime.scratch(".tmp"), 1);
    assert_eq!(lives.ask("build two"), "building");
    assert_eq!(runtime.scratch(".tmp"), 1);
    let third = claim(&runtime, "three").unwrap();
    assert_eq!(runtime.scratch(".tmp"), 1);
    assert_eq!(lives.ask("go on"), "new");
    assert_eq!(runtime.scratch(".tmp"), 0);
    third.remove().unwrap();
    assert_eq!(lives.ask("remove"), "Some(Ok(()))");
    assert!(runtime.content().is_empty());
}

#[test]
fn a_tombstone_is_left_to_its_cleaner_until_that_dies() {
    let runtime = Runtime::new();
    let mut server = Actor::new(&runtime);
    assert_eq!(server.ask("claim svc"), "new");
    assert_eq!(server.ask("retire"), "retired");
    // The name is free at once.
    let next = claim(&runtime, "svc").unwrap();
    assert_eq!(next.origin(), Origin::New);
    assert_eq!(runtime.scratch(".tmp"), 1);
    server.kill();
    next.remove().unwrap();
    assert!(runtime.content().is_empty(), "{:?}", runtime.content());
}

#[test]
fn a_directory_that_cannot_be_used_is_put_aside() {
    let runtime = Runtime::new();
    let held = claim(&runtime, "svc").unwrap();
    fs::write(held.directory().path().join("board"), "of another major").unwrap();
    drop(held);
    let held = claim(&runtime, "svc").unwrap();
    assert_eq!(held.origin(), Origin::TakenOver);
    let afresh = held
        .start_afresh(limit(), |half| {
            fs::write(half.path().join("board"), "mine").unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(afresh.origin(), Origin::New);
    let board = fs::read_to_string(afresh.directory().path().join("board"));
    assert_eq!(board.unwrap(), "mine");
}

#[test]
fn what_is_missing_in_an_abandoned_directory_is_made_again() {
    let runtime = Runtime::new();
    let path = claim(&runtime, "svc")
        .unwrap()
        .directory()
        .path()
        .to_owned();
    fs::remove_dir(path.join("new")).unwrap();
    fs::remove_file(path.join("door")).unwrap();
    let held = claim(&runtime, "svc").unwrap();
    assert!(path.join("new").is_dir() && path.join("door").exists());
    drop(held);
    // Without the lock nobody can tell whether a server lives.
    fs::remove_file(path.join("lock")).unwrap();
    let error = claim(&runtime, "svc").unwrap_err().to_string();
    assert!(
        error.contains("svc/lock") && error.contains("missing"),
        "{error}"
    );
    let view = ServiceView::find(&runtime, &name("svc")).unwrap().unwrap();
    let error = view.is_held().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn nothing_is_left_of_a_service_that_could_not_be_built() {
    let runtime = Runtime::new();
    let error = ServiceDir::claim(&runtime, &name("svc"), limit(), |half| {
        assert!(half.path().join("lock").exists());
        Err(Error::NoSpace {
            path: half.path().to_owned(),
            wanted: 2,
            free: 1,
        })
    });
    assert!(matches!(error, Err(Error::NoSpace { .. })));
    assert_eq!(runtime.content(), [Path::new(".tmp")]);
}

#[test]
fn servers_that_come_and_go_leave_the_default_directory_as_they_found_it() {
    // Every claim may find that the runtime directory was just removed, and every client that it is not there yet.
    let runtime = Runtime::new();
    let default = || Directory {
        is_default: true,
        ..runtime.try_clone().unwrap()
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let servers = ["one", "two", "two"].map(|service| {
            let runtime = default();
            scope.spawn(move || {
                let mut claimed = 0;
                // One that always comes while the other serves goes on until that one is done.
                let end = limit();
                while claimed < 30 {
                    assert!(!end.has_passed());
                    match claim(&runtime, service) {
                        Ok(held) => {
                            held.remove().unwrap();
                            claimed += 1;
                        }
                        Err(Error::AlreadyRunning { .. }) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        let client = scope.spawn(|| {
            let runtime = default();
            let mut sessions = 0;
            while !stop.load(Ordering::Relaxed) {
                let soon = Deadline::after(Duration::from_millis(2));
                let Some(view) = ServiceView::wait_for(&runtime, &name("two"), soon).unwrap()
                else {
                    continue;
                };
                let Some(builder) = view.build(limit()).unwrap() else {
                    continue;
                };
                sessions += u32::from(publish(builder).is_some());
            }
            sessions
        });
        let ended = servers.map(|server| server.join());
        stop.store(true, Ordering::Relaxed);
        client.join().unwrap();
        for ended in ended {
            ended.unwrap();
        }
    });
    assert!(!runtime.path().exists());
    assert!(runtime.current(Missing::Leave).unwrap().is_none());
}

#[test]
fn a_directory_that_others_remove_at_every_moment_is_made_again() {
    let runtime = Runtime::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = file::remove_directory_at(&*runtime, ".tmp");
                let _ = file::remove_directory_path(runtime.path());
            }
        });
        let maker = scope.spawn(|| {
            let mut made = 0;
            while made < 1000 {
                let current = runtime.current(Missing::Make).unwrap().unwrap();
                match current.subdirectory_at(".tmp") {
                    Ok(_) => made += 1,
                    // What is above it was removed.
                    Err(error) => {
                        assert!(is_errno(&error, Errno::NOENT) && !current.has_name().unwrap())
                    }
                }
            }
        });
        let made = maker.join();
        stop.store(true, Ordering::Relaxed);
        made.unwrap();
    });
}
