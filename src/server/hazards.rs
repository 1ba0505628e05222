//! Servers that change threads, crash beside their answers, fork, or look at what ends a session.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use super::*;
use crate::client::{Client, ClientOptions, Request};
use crate::directory::testing::Scratch;
use crate::request::RequestKind;
use crate::session::wait::Wait;
use crate::sys::clock;
use crate::sys::fork::{fork_for_test, wait_for_test};
use crate::sys::poll;
use crate::sys::testing::alone;

const ECHO: RequestKind = RequestKind::new("echo");
const SOON: Duration = Duration::from_secs(20);

pub(super) fn pair(at: &Directory, wait: Wait, options: ClientOptions) -> (Server, Client) {
    let mut server = ServerOptions::new()
        .directory(at.path())
        .wait(wait)
        .bind("svc")
        .unwrap();
    let options = options.directory(at.path());
    let client = thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect("svc", SOON).unwrap());
        let event = server.next_timeout(SOON).unwrap();
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        connecting.join().unwrap()
    });
    (server, client)
}

fn request(server: &mut Server) -> Incoming {
    match server.next_timeout(SOON).unwrap() {
        Some(Event::Request(request)) => request,
        Some(Event::Connected(_)) => request(server),
        other => unreachable!("{other:?}"),
    }
}

/// Mappings and descriptors of this process in a directory.
fn held(at: &Directory) -> Vec<String> {
    let path = at.path().to_str().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    maps.lines()
        .map(str::to_owned)
        .chain(open.map(|target| target.display().to_string()))
        .filter(|held| held.contains(path))
        .collect()
}

#[test]
fn a_server_that_changed_threads_leaves_nothing() {
    alone!("a_server_that_changed_threads_leaves_nothing", || {
        let at = Scratch::new();
        let before = held(&at).len();
        let (mut server, mut client) = pair(&at, Wait::Adaptive, ClientOptions::new());
        client.submit(Request::new(ECHO, "x"), SOON).unwrap();
        request(&mut server).reply(&[7; 1 << 20]).unwrap();
        drop(client.next_reply(SOON).unwrap().unwrap());
        thread::spawn(move || {
            drop(client);
            let event = server.next_timeout(SOON).unwrap();
            assert!(matches!(event, Some(Event::Disconnected(..))), "{event:?}");
        })
        .join()
        .unwrap();
        assert_eq!(held(&at).len(), before, "{:#?}", held(&at));
    });
}

#[test]
fn who_waits_for_a_server_that_crashed_in_another_thread_is_told() {
    alone!(
        "who_waits_for_a_server_that_crashed_in_another_thread_is_told",
        || {
            let at = Scratch::new();
            let options = ClientOptions::new().fail_fast();
            let (mut server, mut client) = pair(&at, Wait::Adaptive, options);
            client.submit(Request::new(ECHO, "x"), SOON).unwrap();
            request(&mut server).reply("x").unwrap();
            client.next_reply(SOON).unwrap().unwrap();
            let died = thread::spawn(move || {
                let _server = server;
                resume_unwind(Box::new("a crash"));
            });
            assert!(died.join().is_err());
            let told = client.call(Request::new(ECHO, "y"), SOON);
            assert!(matches!(told, Err(Error::ServerGone { .. })), "{told:?}");
        }
    );
}

#[test]
fn a_late_answer_marks_no_segment_of_a_successor() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(&at, Wait::Adaptive, ClientOptions::new());
    client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    let late = request(&mut server);
    let lease = late.lease(100_000).unwrap();
    let died = catch_unwind(AssertUnwindSafe(|| {
        let _server = server;
        resume_unwind(Box::new("a crash"));
    }));
    assert!(died.is_err());
    let mut next = ServerOptions::new()
        .directory(at.path())
        .bind("svc")
        .unwrap();
    let again = request(&mut next);
    let theirs = again.lease(100_000).unwrap();
    let used = format!("{theirs:?}");
    again.reply(theirs).unwrap();
    drop(client.next_reply(SOON).unwrap().unwrap());
    assert!(matches!(late.reply(lease), Err(Error::Closed { .. })));
    client.submit(Request::new(ECHO, "y"), SOON).unwrap();
    let lease = request(&mut next).lease(100_000).unwrap();
    assert_eq!(format!("{lease:?}"), used, "it is free");
}

#[test]
fn memory_of_the_other_end_is_copied() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(&at, Wait::Adaptive, ClientOptions::new());
    client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    let mut lease = client.lease(ECHO, 100_000, SOON).unwrap();
    lease.write_at(99_996, b"mine").unwrap();
    request(&mut server).reply(lease).unwrap();
    let answer = client.next_reply(SOON).unwrap().unwrap().into_answer();
    let bytes = answer.unwrap().into_vec();
    assert!(bytes.len() == 100_000 && bytes.ends_with(b"mine"));
}

#[test]
fn what_a_look_finds_out_is_told_by_the_same_call() {
    for wait in [Wait::Adaptive, Wait::Park] {
        let at = Scratch::new();
        let (mut server, mut client) = pair(&at, wait, ClientOptions::new());
        client
            .submit(Request::new(ECHO, "1"), Duration::from_nanos(1))
            .unwrap();
        let sent = clock::monotonic_ns();
        client.submit(Request::new(ECHO, "2"), SOON).unwrap();
        // Until the first one's time is up, by a clock with ticks of milliseconds.
        while clock::coarse_ns() <= sent + 50_000_000 {
            thread::yield_now();
        }
        let path = at.path().join("svc/s/0/seg");
        let (header, records) = (128, 256 + 512);
        let mut length = [0; 4];
        let file = File::open(&path).unwrap();
        file.read_exact_at(&mut length, header + records).unwrap();
        let second = (24 + u64::from(u32::from_le_bytes(length))).next_multiple_of(64);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        // The generation in the second record's header.
        file.write_all_at(&[0xff; 8], header + records + second + 8)
            .unwrap();
        let event = server.next_timeout(Duration::ZERO).unwrap();
        assert!(matches!(event, Some(Event::Disconnected(..))), "{event:?}");
    }
}

#[test]
fn a_forked_server_lets_its_parents_rings_alone() {
    alone!("a_forked_server_lets_its_parents_rings_alone", || {
        for (past, timeout) in [(false, 20), (true, 20), (false, 0), (true, 0)] {
            let at = Scratch::new();
            let (mut server, mut client) =
                pair(&at, Wait::Park, ClientOptions::new().capacity(4096, 4096));
            let tell = |client: &mut Client, server: &mut Server| {
                assert!(client.notify(Request::new(ECHO, "x")).unwrap());
                let event = server.next_timeout(SOON).unwrap();
                assert!(matches!(event, Some(Event::Notify(_))), "{event:?}");
            };
            tell(&mut client, &mut server);
            let mut both = Some(server);
            let child = fork_for_test(past, || {
                let mut theirs = both.take().unwrap();
                let told = theirs.next_timeout(Duration::from_millis(timeout));
                let is_told = matches!(told, Err(Error::Forked { .. }));
                std::mem::forget(theirs);
                i32::from(!is_told)
            });
            assert_eq!(wait_for_test(child), 0);
            let mut server = both.unwrap();
            for _ in 0..100 {
                tell(&mut client, &mut server);
            }
        }
    });
}

#[test]
fn who_takes_memory_for_one_payload_after_the_other_gets_the_same_again() {
    const LEN: u64 = 100_000;
    let at = Scratch::new();
    let (mut server, mut client) = pair(&at, Wait::Adaptive, ClientOptions::new());
    client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    let asked = request(&mut server);
    drop([(); 2].map(|()| client.lease(ECHO, LEN, SOON).unwrap()));
    drop([(); 2].map(|()| asked.lease(LEN).unwrap()));
    let number = |lease: crate::Lease| lease.segment().number();
    let numbers = [(); 4].map(|()| {
        let theirs = client.lease(ECHO, LEN, SOON).unwrap();
        (number(theirs), number(asked.lease(LEN).unwrap()))
    });
    assert_eq!(numbers, [numbers[0]; 4]);
}

#[test]
fn a_heartbeat_that_a_dying_predecessor_still_holds_is_waited_for() {
    let at = Scratch::new();
    let bind = || {
        let options = ServerOptions::new().directory(at.path());
        options.heartbeat(Duration::ZERO).bind("svc")
    };
    let mut before = bind().unwrap();
    // In the order in which the kernel closes what a process had: the service's lock first.
    let pulse = before.pulse.take();
    before.is_bound = false;
    drop(before);
    thread::scope(|scope| {
        let binding = scope.spawn(bind);
        // Long enough that it finds the heartbeat held.
        thread::sleep(Duration::from_millis(20));
        assert!(!binding.is_finished());
        drop(pulse);
        drop(binding.join().unwrap().unwrap());
    });
}

#[test]
fn a_draining_server_that_sleeps_is_told_of_the_last_answer_by_the_thread_that_gives_it() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(&at, Wait::Park, ClientOptions::new());
    client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    let last = request(&mut server);
    server.drain(Duration::from_secs(3600));
    while !server.arm().unwrap() {
        assert!(server.try_next().unwrap().is_none());
    }
    let answering = thread::spawn(move || last.reply(""));
    answering.join().unwrap().unwrap();
    assert!(poll::any_readable(&[server.as_fd()], Deadline::after(SOON)).unwrap());
    assert!(matches!(server.try_next().unwrap(), Some(Event::Drained)));
}
