//! Servers that are killed: a successor starts at once, and every request is answered once.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use osps_ipc::{Client, ClientOptions, Error, Request, Wait};

use crate::common::{SOON, Scratch};
use crate::hosts::{
    Asked, ECHO, FAR, HELD, Holdings, Host, LARGE, MOVED, QUIT, a_new_client_is_served, bytes,
    call, connect, try_bind, until,
};
use crate::roles::SERVER;
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::{Victim, Walk};

/// What clients do while the server is killed. `over` tells that it was, or that it ended by itself.
fn clients(at: &Path, over: &Receiver<bool>) {
    let mut client = connect(at, "svc");
    call(&mut client, ECHO, 16).unwrap();
    call(&mut client, ECHO, LARGE).unwrap();
    call(&mut client, FAR, 17).unwrap();
    call(&mut client, MOVED, 18).unwrap();
    let mut other = connect(at, "svc");
    call(&mut other, ECHO, 19).unwrap();
    other.notify(Request::new(ECHO, bytes(4))).unwrap();
    drop(other);
    let mut asked = Asked::default();
    for len in [20, 21, LARGE, 22, LARGE + 1] {
        asked.ask(&mut client, ECHO, len);
    }
    asked.take_all(&mut client);
    // The last that a server which is not killed does before it closes.
    call(&mut client, QUIT, 23).unwrap();
    after(at, client, over);
}

/// A client goes on with the successor, if there is one.
fn after(at: &Path, mut client: Client, over: &Receiver<bool>) {
    if over.recv_timeout(SOON).unwrap() {
        match call(&mut client, ECHO, 24) {
            Ok(()) => {}
            // The server has closed the session before it was killed: a moment ago, or while the call was made.
            Err(Error::Closed { .. }) => call(&mut client, ECHO, 24).unwrap(),
            Err(other) => panic!("{other}"),
        }
        a_new_client_is_served(at);
    } else {
        let gone = client
            .call(Request::new(ECHO, ""), Duration::ZERO)
            .unwrap_err();
        let is_told = matches!(gone, Error::NotRunning { .. } | Error::Closed { .. });
        assert!(is_told, "{gone}");
    }
}

/// What is left over of the deed: the victim's successor, or who came while it was stopped.
type Other<'scope> = Option<Host<'scope>>;

/// Does the deed to a server at a point, and lets the others go on. Whether its clients find somebody in the end.
fn meet<'scope>(
    scope: &'scope Scope<'scope, '_>,
    at: &Path,
    deed: Deed,
    victim: &mut Victim,
    walk: &mut Walk,
) -> Other<'scope> {
    let begun = Instant::now();
    let Some(point) = walk.reached else {
        assert!(victim.finish().success());
        return None;
    };
    match deed {
        Deed::Kill => {
            victim.kill();
            let successor = Host::start(scope, at, "svc");
            walk.recovery = begun.elapsed();
            Some(successor)
        }
        Deed::Stop => {
            victim.hold(point);
            nobody_answers(at);
            // One that is starting or ending is waited for, so that not all of these are tried each time.
            let tries = point.phase == 2 || walk.points().is_multiple_of(8);
            let other = match tries.then(|| try_bind(at, "svc", Wait::Park)) {
                None => None,
                Some(Ok(server)) => Some(Host::serve(scope, "svc", server, || {})),
                Some(Err(error)) => {
                    let is_told =
                        matches!(error, Error::AlreadyRunning { .. } | Error::TimedOut { .. });
                    assert!(is_told, "{error}");
                    None
                }
            };
            // One that serves keeps its service.
            assert!(point.phase != 2 || other.is_none());
            let ended = victim.finish();
            assert!(
                ended.success() || (point.phase == 1 && other.is_some()),
                "{ended}"
            );
            other
        }
    }
}

/// Whoever calls a server that is stopped is told at the deadline.
fn nobody_answers(at: &Path) {
    const SHORT: Duration = Duration::from_millis(5);
    let begun = Instant::now();
    let options = ClientOptions::new().directory(at);
    match options.connect("svc", SHORT) {
        Ok(mut client) => {
            let error = client.call(Request::new(ECHO, ""), SHORT).unwrap_err();
            assert!(error.is_timeout(), "{error}");
        }
        Err(error) => {
            let is_told = matches!(
                error,
                Error::NotRunning { .. } | Error::TimedOut { .. } | Error::Closed { .. }
            );
            assert!(is_told, "{error}");
        }
    }
    assert!(begun.elapsed() < SOON / 2);
}

/// Does the deed at every point of a server's life.
fn servers(deed: Deed, tries: Tries) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    thread::scope(|scope| {
        let far = Host::start(scope, at, "far");
        let before = Holdings::of(at);
        tour("server", deed, tries, SERVER, |to| {
            thread::scope(|scope| {
                let (tell, over) = mpsc::channel();
                let calling = scope.spawn(move || clients(at, &over));
                let mut victim = Victim::start("server", at);
                let mut walk = victim.follow(to);
                let other = meet(scope, at, deed, &mut victim, &mut walk);
                tell.send(other.is_some()).unwrap();
                calling.join().unwrap();
                other.into_iter().for_each(Host::close);
                drop(victim);
                far.await_nobody();
                before.await_again(at);
                walk
            })
        });
        far.close();
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

/// Leaves in `tmp` and `.tmp` what makers leave that are killed.
fn litter(at: &Path) {
    for folder in ["svc/tmp/0123456789abcdef", ".tmp/0123456789abcdef"] {
        let folder = at.join(folder);
        fs::create_dir_all(folder.join("s/0")).unwrap();
        for file in ["lock", "seg", "s/0/lock"] {
            fs::write(folder.join(file), "left behind").unwrap();
        }
    }
}

/// What a server that was killed has left: requests in every state, a client that is dead too, half-made sessions.
struct Legacy {
    client: Client,
    asked: Asked,
    dead: [Victim; 2],
}

impl Legacy {
    fn leave(at: &Path) -> Legacy {
        let mut first = Victim::start("server that holds", at);
        first.let_go();
        let mut dead = Victim::start("client that waits", at);
        dead.let_go();
        let mut client = connect(at, "svc");
        let mut asked = Asked::default();
        asked.ask(&mut client, HELD, 30);
        asked.ask(&mut client, ECHO, 31);
        asked.ask(&mut client, HELD, LARGE);
        asked.ask(&mut client, ECHO, LARGE + 1);
        asked.take_one(&mut client);
        asked.take_one(&mut client);
        dead.line();
        first.kill();
        dead.kill();
        asked.ask(&mut client, ECHO, 32);
        let taken_back = asked.ask(&mut client, ECHO, 33);
        assert!(client.cancel(taken_back).unwrap());
        asked.take_back(taken_back);
        litter(at);
        Legacy {
            client,
            asked,
            dead: [first, dead],
        }
    }
}

/// Does the deed at every point of what a server does that comes after one that was killed.
fn successors(deed: Deed, tries: Tries) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    thread::scope(|scope| {
        let far = Host::start(scope, at, "far");
        let before = Holdings::of(at);
        tour("successor", deed, tries, SERVER, |to| {
            let Legacy {
                mut client,
                asked,
                dead,
            } = Legacy::leave(at);
            thread::scope(|scope| {
                let (tell, over) = mpsc::channel();
                let at_the_door = scope.spawn(|| call(&mut connect(at, "svc"), ECHO, 34).unwrap());
                until("nobody comes to the door", || {
                    fs::read_dir(at.join("svc/new")).unwrap().next().is_some()
                });
                let calling = scope.spawn(move || {
                    asked.take_all(&mut client);
                    at_the_door.join().unwrap();
                    call(&mut connect(at, "svc"), QUIT, 35).unwrap();
                    after(at, client, &over);
                });
                let mut victim = Victim::start("server", at);
                let mut walk = victim.follow(to);
                let other = meet(scope, at, deed, &mut victim, &mut walk);
                tell.send(other.is_some()).unwrap();
                calling.join().unwrap();
                other.into_iter().for_each(Host::close);
                drop((victim, dead));
                far.await_nobody();
                before.await_again(at);
                walk
            })
        });
        far.close();
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_server_killed_at_any_system_call_of_its_life_is_a_delay() {
    servers(Deed::Kill, Tries::few(40));
}

#[test]
fn a_server_stopped_at_any_system_call_of_its_life_is_a_delay() {
    servers(Deed::Stop, Tries::few(16));
}

#[test]
fn a_successor_killed_at_any_system_call_leaves_all_to_the_next_one() {
    successors(Deed::Kill, Tries::few(30));
}

#[test]
fn a_successor_stopped_at_any_system_call_is_a_delay() {
    successors(Deed::Stop, Tries::few(16));
}
