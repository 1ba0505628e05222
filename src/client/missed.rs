//! Servers that die while a client connects to them, and answers that come while another is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::client::ClientOptions;
use crate::directory::testing::Scratch;
use crate::fifo::BellWriter;
use crate::server::{Event, Server, ServerOptions};
use crate::sys::clock::Backoff;

pub(in crate::client) const ECHO: RequestKind = RequestKind::new("echo");
pub(in crate::client) const WORK: RequestKind = RequestKind::new("work");
pub(in crate::client) const SOON: Duration = Duration::from_secs(10);

pub(in crate::client) fn bind(at: &Directory, service: &str) -> Server {
    let options = ServerOptions::new().directory(at.path());
    options.bind(service).unwrap()
}

/// What `connect` gives, which `server` lets in.
pub(in crate::client) fn let_in<T: Send>(
    server: &mut Server,
    connect: impl FnOnce() -> Result<T> + Send,
) -> T {
    std::thread::scope(|scope| {
        let connecting = scope.spawn(connect);
        let mut event = server.next_timeout(SOON).unwrap();
        if matches!(event, Some(Event::Disconnected(..))) {
            event = server.next_timeout(SOON).unwrap();
        }
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        connecting.join().unwrap().unwrap()
    })
}

fn connect(at: &Scratch) -> Result<Client> {
    let options = ClientOptions::new().directory(at.path());
    options.connect("svc", SOON)
}

/// A server of one session, and its client.
pub(in crate::client) fn full(at: &Scratch) -> (Server, Client) {
    let options = ServerOptions::new().directory(at.path()).sessions(1);
    let mut server = options.bind("svc").unwrap();
    let first = let_in(&mut server, || connect(at));
    (server, first)
}

fn link_to(client: &Client, server: &mut Server) -> Link {
    let name = server.service().clone();
    let_in(server, || {
        let deadline = Deadline::after(SOON);
        let runtime = &client.runtime;
        let link = client
            .options
            .link(runtime, &name, None, deadline, |published| {
                Ok((published.open_up()?, ()))
            });
        link.map(|(link, ())| link)
    })
}

/// Has requests of a kind go to this server: over which link.
pub(in crate::client) fn direct(client: &mut Client, kind: RequestKind, to: &mut Server) -> usize {
    let link = link_to(client, to);
    let index = client.add_link(link).unwrap();
    client.routes.insert(kind, index);
    index
}

pub(in crate::client) fn die(server: Server) {
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _dropped_in_a_panic = server;
        std::panic::resume_unwind(Box::new("a crash"));
    }));
    assert!(died.is_err());
}

#[test]
fn what_is_asked_before_the_bell_could_be_opened_wakes_a_server_that_has_gone_to_sleep() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "other");
    let mut client = let_in(&mut server, || options.connect("other", SOON));
    client.forget(0);

    let mut server = bind(&at, "svc");
    let link = link_to(&client, &mut server);
    die(server);
    // Nobody hears the bell now.
    assert_eq!(client.add_link(link).unwrap(), 0);
    let mut server = bind(&at, "svc");
    while !server.arm().unwrap() {
        while server.try_next().unwrap().is_some() {}
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(event) = server.next_timeout(SOON).unwrap() {
                if let Event::Request(request) = event {
                    return request.reply("heard").unwrap();
                }
            }
        });
        let reply = client.call(Request::new(ECHO, "hallo"), SOON).unwrap();
        assert_eq!(reply.payload().as_slice(), Some(&b"heard"[..]));
    });
}

#[test]
fn a_service_whose_server_removes_it_and_dies_before_it_tells_who_waits_is_looked_for_anew() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    die(bind(&at, "svc"));
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect("svc", SOON));
        let mut backoff = Backoff::new();
        let waiting = || {
            std::fs::read_dir(at.path().join("svc/new"))
                .unwrap()
                .count()
        };
        while waiting() == 0 {
            assert!(!connecting.is_finished());
            backoff.wait(Deadline::never());
        }
        // As it is given up, before anybody is told.
        std::fs::rename(at.path().join("svc"), at.path().join(".tombstone")).unwrap();
        let mut server = bind(&at, "svc");
        let event = server.next_timeout(SOON).unwrap();
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn an_answer_of_one_service_does_not_keep_a_client_awake_that_waits_for_another() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut quick = bind(&at, "quick");
    let mut client = let_in(&mut quick, || options.connect("quick", SOON));
    let mut slow = bind(&at, "slow");
    direct(&mut client, WORK, &mut slow);

    let early = client.submit(Request::new(ECHO, "hallo"), SOON).unwrap();
    match quick.next_timeout(SOON).unwrap() {
        Some(Event::Request(request)) => request.reply("early").unwrap(),
        other => panic!("{other:?}"),
    }
    let request = Request::new(WORK, "");
    let late = client.call(request, Duration::from_millis(50));
    assert!(matches!(late, Err(Error::TimedOut { .. })), "{late:?}");
    assert!(client.sleep(None), "it did not sleep");
    client.wake();
    let reply = client.next_reply(SOON).unwrap().unwrap();
    assert_eq!(reply.id(), early);
}

#[test]
fn a_request_that_a_dead_server_had_begun_is_waited_for_until_the_next_one_answers() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut front = bind(&at, "front");
    let mut client = let_in(&mut front, || options.connect("front", SOON));
    let mut worker = bind(&at, "worker");
    let index = direct(&mut client, WORK, &mut worker);

    let id = client.submit(Request::new(WORK, "it"), SOON).unwrap();
    let begun = worker.next_timeout(SOON).unwrap();
    assert!(matches!(begun, Some(Event::Request(_))), "{begun:?}");
    die(worker);
    drop(begun);
    while !client.link(index).unwrap().server_gone() {
        client.take_bells(Deadline::after(SOON)).unwrap();
    }
    // What is sent now goes to the first service, which does not direct any more.
    let other = client.submit(Request::new(WORK, "more"), SOON).unwrap();
    match front.next_timeout(SOON).unwrap() {
        Some(Event::Request(request)) => request.reply("done").unwrap(),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.next_reply(SOON).unwrap().unwrap().id(), other);

    client.may_leave = true;
    client.leave_the_dead(index, id.0).unwrap();

    let mut next = bind(&at, "worker");
    loop {
        match next.next_timeout(SOON).unwrap() {
            Some(Event::Request(request)) => break request.reply("done").unwrap(),
            Some(_) => {}
            None => panic!("it is not delivered again"),
        }
    }
    let reply = client.next_reply(SOON).unwrap().expect("its answer");
    assert_eq!(reply.id(), id);
}

/// Breaks the ring for the replies of a service's only session, and does something over another one with this client.
fn beside_a_broken_session(mut act: impl FnMut(&mut Client) -> Result<()>) -> Error {
    let at = Scratch::new();
    let options = ClientOptions::new()
        .directory(at.path())
        .capacity(4096, 4096);
    let mut quick = bind(&at, "quick");
    let mut client = let_in(&mut quick, || options.connect("quick", SOON));
    let mut slow = bind(&at, "slow");
    direct(&mut client, WORK, &mut slow);
    let segment = std::fs::OpenOptions::new()
        .write(true)
        .open(at.path().join("quick/s/0/seg"))
        .unwrap();
    // Behind the header, both sides' lines, and the ring for requests: an end that no record has.
    std::os::unix::fs::FileExt::write_all_at(&segment, &[3], 128 + 256 + 512 + 4096).unwrap();

    let error = loop {
        if let Err(error) = act(&mut client) {
            break error;
        }
    };
    assert!(!client.arm().unwrap(), "there is something to tell");
    let told = client.next_reply(Duration::ZERO);
    let is_told = matches!(&told, Err(Error::Corrupt { at, .. }) if at.contains("quick"));
    assert!(is_told, "{told:?}");
    // A new session does as well.
    let_in(&mut quick, || client.declare(ECHO, SOON)).unwrap();
    error
}

#[test]
fn who_waits_for_an_answer_is_not_told_that_another_session_is_broken() {
    let late = beside_a_broken_session(|client| {
        let request = Request::new(WORK, "");
        client.call(request, Duration::from_millis(20)).map(drop)
    });
    assert!(late.is_timeout(), "{late}");
}

#[test]
fn who_waits_for_room_is_not_told_that_another_session_is_broken() {
    let late = beside_a_broken_session(|client| {
        let request = Request::new(WORK, &[0; 900]);
        client.submit(request, Duration::from_millis(20)).map(drop)
    });
    assert!(late.is_timeout(), "{late}");
}

#[test]
fn a_connect_that_fails_while_nobody_serves_leaves_nothing() {
    let at = Scratch::new();
    die(bind(&at, "svc"));
    let options = ClientOptions::new().directory(at.path());
    let runtime = Directory::open(at.path()).unwrap();
    let name = Name::new("svc").unwrap();
    for _ in 0..3 {
        let failed = options.link(&runtime, &name, None, Deadline::after(SOON), |_| {
            Err::<(BellWriter, ()), Error>(Error::os("watch the bells of", at.path())(Errno::NOSPC))
        });
        assert!(failed.is_err());
    }
    let left = std::fs::read_dir(at.path().join("svc/new")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn who_is_refused_is_told_why_however_soon_its_session_is_removed() {
    let at = Scratch::new();
    let (mut server, _first) = full(&at);
    let connect = || connect(&at);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It removes what it has refused as soon as there is nothing else to do.
            while !is_over.load(Ordering::Relaxed) {
                server.next_timeout(Duration::from_millis(1)).unwrap();
            }
        });
        let other = (0..500)
            .map(|_| connect())
            .find(|refused| !matches!(refused, Err(Error::Busy { .. })));
        is_over.store(true, Ordering::Relaxed);
        assert!(other.is_none(), "{other:?}");
    });
}

#[test]
fn a_service_that_is_removed_while_its_bell_is_opened_is_looked_for_anew() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let runtime = Directory::open(at.path()).unwrap();
    let name = Name::new("svc").unwrap();
    die(bind(&at, "svc"));
    let (removed, is_removed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let at = &at;
        scope.spawn(move || {
            is_removed.recv().unwrap();
            let mut server = bind(at, "svc");
            for _ in ["let in", "gone again"] {
                assert!(server.next_timeout(SOON).unwrap().is_some());
            }
        });
        let mut calls = 0;
        let link = options.link(&runtime, &name, None, Deadline::after(SOON), |published| {
            calls += 1;
            if calls == 1 {
                // As by a server that died before it could tell, and the next one, which cleans.
                std::fs::remove_dir_all(at.path().join("svc")).unwrap();
                removed.send(()).unwrap();
            }
            Ok((published.open_up()?, ()))
        });
        assert!(link.is_ok(), "{link:?}");
        assert_eq!(calls, 2);
    });
}

#[test]
fn who_waits_without_end_is_told_that_the_lock_file_is_missing() {
    let at = Scratch::new();
    die(bind(&at, "svc"));
    std::fs::remove_file(at.path().join("svc/lock")).unwrap();
    let options = ClientOptions::new().directory(at.path());
    let (told, is_told) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(options.connect("svc", Duration::MAX).map(drop)));
    let told = is_told.recv_timeout(SOON).unwrap().unwrap_err().to_string();
    assert!(
        told.contains("svc/lock") && told.contains("missing"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(at.path().join("svc/new"))
            .unwrap()
            .count(),
        0
    );
}
