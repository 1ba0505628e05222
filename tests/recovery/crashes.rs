//! Processes that are killed, stopped and continued.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use osps_ipc::{End, RequestId};
use rustix::process::{Pid, Signal, kill_process};

use super::roles::start;
use super::*;
use crate::common::{Helper, Scratch};

fn signal(helper: &Helper, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(helper.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    if signal == Signal::STOP {
        let end = Instant::now() + SOON;
        let stat = || fs::read_to_string(format!("/proc/{}/stat", helper.pid())).unwrap();
        while !stat().contains(") T ") {
            assert!(Instant::now() < end, "it does not stop");
            std::thread::yield_now();
        }
    }
}

/// Submits so many requests, each with its number.
fn submit(client: &mut Client, count: u32) -> BTreeMap<RequestId, u32> {
    (0..count)
        .map(|n| {
            let sent = n.to_le_bytes();
            (client.submit(Request::new(ECHO, &sent), SOON).unwrap(), n)
        })
        .collect()
}

/// Every answer comes, with the right bytes, and once.
fn fetch(client: &mut Client, mut asked: BTreeMap<RequestId, u32>) {
    while !asked.is_empty() {
        let reply = client.next_reply(SOON).unwrap().expect("an answer in time");
        let n = asked.remove(&reply.id()).expect("answered once");
        assert_eq!(reply.into_answer().unwrap().into_vec(), n.to_le_bytes());
    }
    assert_eq!(client.outstanding(), 0);
}

/// A server in a thread of this process, until it is dropped.
fn serving<R>(mut server: Server, body: impl FnOnce() -> R) -> (R, Vec<Seen>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Some(Event::Request(request)) =
                    server.next_timeout(Duration::from_millis(20)).unwrap()
                {
                    seen.push(Seen {
                        token: format!("{:?}", request.token()),
                        redelivered: request.is_redelivered(),
                        attempts: request.attempts(),
                    });
                    echo(request);
                }
            }
            seen
        });
        let stopper = Stopper(&stop);
        let result = body();
        drop(stopper);
        (result, serving.join().unwrap())
    })
}

#[derive(Debug)]
struct Seen {
    token: String,
    redelivered: bool,
    attempts: u32,
}

#[test]
fn requests_that_a_killed_server_had_taken_come_to_the_next_one_as_redelivered() {
    let place = Scratch::new();
    let mut dies = start("hold 5", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    let asked = submit(&mut client, 8);
    let tokens: BTreeSet<String> = (0..5).map(|_| dies.line()).collect();
    dies.kill();
    let ((), seen) = serving(server(place.path()), || fetch(&mut client, asked));
    let again: BTreeSet<String> = seen
        .iter()
        .filter(|seen| seen.redelivered)
        .map(|seen| seen.token.clone())
        .collect();
    assert_eq!(again, tokens);
    for seen in &seen {
        assert_eq!(seen.attempts, 1 + u32::from(seen.redelivered), "{seen:?}");
    }
    assert_eq!(seen.len(), 8);
    assert_eq!(client.unwanted(), 0);
}

#[test]
fn what_a_killed_server_has_answered_is_not_asked_again() {
    let place = Scratch::new();
    let mut dies = start("all but the first 6", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    let asked = submit(&mut client, 6);
    dies.expect("answered");
    dies.kill();
    let ((), seen) = serving(server(place.path()), || fetch(&mut client, asked));
    assert!(
        matches!(&seen[..], [only] if only.redelivered && only.attempts == 2),
        "{seen:?}"
    );
    assert_eq!(client.unwanted(), 0);
}

/// Marks the answered ones among the first records of a session as begun: as if their server had died after it had
/// published the answer, and before it could note that.
fn forget_the_answers(at: &Path, records: u64) -> usize {
    use std::os::unix::fs::FileExt;
    let seg = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(at.join("svc/s/0/seg"))
        .unwrap();
    let mut forgotten = 0;
    for n in 0..records {
        // Behind the header, the lines and the ring's control: two cache lines each, the state in the third word.
        let state = 128 + 256 + 512 + 128 * n + 16;
        let mut word = [0; 8];
        seg.read_exact_at(&mut word, state).unwrap();
        if u64::from_le_bytes(word) == 3 {
            seg.write_all_at(&0x102_u64.to_le_bytes(), state).unwrap();
            forgotten += 1;
        }
    }
    forgotten
}

#[test]
fn a_request_that_is_answered_by_two_servers_has_one_answer_and_the_other_is_counted() {
    let place = Scratch::new();
    let mut dies = start("all but the first 20", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    let asked = submit(&mut client, 20);
    dies.expect("answered");
    dies.kill();
    assert_eq!(forget_the_answers(place.path(), 20), 19);
    let ((), seen) = serving(server(place.path()), || {
        fetch(&mut client, asked);
        // The second answers are behind the first ones, and before this one.
        client.call(Request::new(ECHO, "last"), SOON).unwrap();
        assert_eq!(client.unwanted(), 19);
    });
    let again = seen.iter().filter(|seen| seen.redelivered);
    let tokens: BTreeSet<_> = again.map(|seen| &seen.token).collect();
    assert_eq!((tokens.len(), seen.len()), (20, 21));
}

#[test]
fn answers_that_found_no_room_in_a_killed_server_are_given_by_the_next_one() {
    let place = Scratch::new();
    let mut dies = start("overflow 300", &place);
    dies.expect("bound");
    let mut client = ClientOptions::new()
        .directory(place.path())
        .capacity(64 << 10, 4096)
        .connect("svc", SOON)
        .unwrap();
    let asked = submit(&mut client, 300);
    dies.expect("overflowing");
    dies.kill();
    let ((), seen) = serving(server(place.path()), || fetch(&mut client, asked));
    assert!(seen.iter().any(|seen| seen.redelivered));
    assert!(seen.iter().any(|seen| !seen.redelivered));
    assert_eq!(client.unwanted(), 0);
}

#[test]
fn servers_killed_one_after_the_other_are_one_long_delay() {
    let place = Scratch::new();
    let mut dies = start("hold 1", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    let asked = submit(&mut client, 3);
    let token = dies.line();
    dies.kill();
    for _ in 0..2 {
        let mut dies = start("hold 1", &place);
        dies.expect("bound");
        assert_eq!(dies.line(), token);
        dies.kill();
    }
    let ((), seen) = serving(server(place.path()), || fetch(&mut client, asked));
    let first = seen.iter().find(|seen| seen.token == token).unwrap();
    assert_eq!(first.attempts, 4);
}

#[test]
fn a_client_that_fails_fast_is_told_at_once_that_its_server_is_gone_and_goes_on_with_the_next() {
    let place = Scratch::new();
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let mut dies = start("hold 1", &place);
        dies.expect("bound");
        let mut client = ClientOptions::new()
            .directory(place.path())
            .wait(wait)
            .fail_fast()
            .connect("svc", SOON)
            .unwrap();
        let begun = Instant::now();
        let gone = std::thread::scope(|scope| {
            let calling = scope.spawn(|| client.call(Request::new(ECHO, "x"), SOON));
            dies.line();
            dies.kill();
            calling.join().unwrap().unwrap_err()
        });
        assert!(matches!(gone, Error::ServerGone { .. }), "{gone}");
        assert!(begun.elapsed() < SOON / 2);
        let (reply, _) = serving(server(place.path()), || {
            // The next server may come a moment later.
            loop {
                match client.call(Request::new(ECHO, "y"), SOON) {
                    Err(Error::ServerGone { .. }) => std::thread::yield_now(),
                    other => break other.unwrap(),
                }
            }
        });
        assert_eq!(reply.into_answer().unwrap().into_vec(), b"y");
    }
}

#[test]
fn a_patient_call_says_at_its_deadline_that_the_server_is_dead() {
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let place = Scratch::new();
        let mut dies = start("echo", &place);
        dies.expect("bound");
        let mut client = ClientOptions::new()
            .directory(place.path())
            .wait(wait)
            .connect("svc", SOON)
            .unwrap();
        client.call(Request::new(ECHO, "x"), SOON).unwrap();
        dies.kill();
        let error = client
            .call(Request::new(ECHO, "x"), Duration::from_millis(50))
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(error.to_string().contains("is dead"), "{wait:?}: {error}");
        let (reply, _) = serving(server(place.path()), || {
            client.call(Request::new(ECHO, "y"), SOON).unwrap()
        });
        assert_eq!(reply.into_answer().unwrap().into_vec(), b"y");
    }
}

#[test]
fn a_client_that_connects_while_the_server_is_dead_is_let_in_by_the_next() {
    let place = Scratch::new();
    let mut dies = start("echo", &place);
    dies.expect("bound");
    dies.kill();
    let at = place.path();
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| client(at));
        let new = at.join("svc/new");
        let end = Instant::now() + SOON;
        while fs::read_dir(&new).unwrap().next().is_none() {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        let (reply, _) = serving(server(at), || {
            let mut client = connecting.join().unwrap();
            client.call(Request::new(ECHO, "x"), SOON).unwrap()
        });
        assert_eq!(reply.status(), osps_ipc::Status::Done);
    });
}

#[test]
fn a_stopped_server_is_a_delay() {
    let place = Scratch::new();
    let echo = start("echo", &place);
    echo.expect("bound");
    let mut client = client(place.path());
    client.call(Request::new(ECHO, "x"), SOON).unwrap();
    signal(&echo, Signal::STOP);
    let error = client
        .call(Request::new(ECHO, "lost"), Duration::from_millis(30))
        .unwrap_err();
    assert!(
        error.is_timeout() && !error.to_string().contains("dead"),
        "{error}"
    );
    let asked = submit(&mut client, 50);
    signal(&echo, Signal::CONT);
    fetch(&mut client, asked);
}

#[test]
fn a_stopped_client_delays_nobody_and_goes_on() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let caller = start("caller 2000", &place);
    let mut served = 0;
    let mut other = None;
    loop {
        match server.next_timeout(SOON).unwrap().expect("an event") {
            Event::Request(request) => {
                echo(request);
                served += 1;
            }
            Event::Disconnected(_, end) => {
                assert_eq!(end, End::Left);
                break;
            }
            _ => {}
        }
        if served == 100 && other.is_none() {
            signal(&caller, Signal::STOP);
            let mut client = connect(&mut server, place.path());
            while let Some(event) = server.next_timeout(Duration::from_millis(20)).unwrap() {
                if let Event::Request(request) = event {
                    echo(request);
                }
            }
            call(&mut server, &mut client, "meanwhile");
            other = Some(client);
            signal(&caller, Signal::CONT);
        }
    }
    caller.expect("connected");
    caller.expect("done");
    caller.finish();
}

#[test]
fn what_a_client_told_before_it_left_is_heard() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let teller = start("teller 100", &place);
    let mut heard = Vec::new();
    let end = loop {
        match server.next_timeout(SOON).unwrap().expect("an event") {
            Event::Notify(told) => heard.push(told.payload().as_slice().unwrap().to_vec()),
            Event::Disconnected(_, end) => break end,
            _ => {}
        }
    };
    assert_eq!(end, End::Left);
    assert!(
        heard.iter().eq(&(0..100_usize)
            .map(|n| n.to_le_bytes().to_vec())
            .collect::<Vec<_>>())
    );
    teller.finish();
}
