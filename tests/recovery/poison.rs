//! Requests that were in hand when their server died: run one at a time, and given up in the end.

use std::fs;
use std::os::unix::fs::FileExt;

use osps_ipc::{End, Rejected, RequestId, Status};

use super::roles::start;
use super::*;
use crate::common::{Helper, Scratch};

/// So many clients with one request each, in the hands of a server that is killed then.
fn suspects(place: &Scratch, count: usize) -> Vec<(Client, RequestId)> {
    let mut dies = start(&format!("hold {count}"), place);
    dies.expect("bound");
    let asked: Vec<_> = (0..count)
        .map(|n| {
            let mut client = client(place.path());
            let sent = n.to_le_bytes();
            let id = client.submit(Request::new(ECHO, &sent), SOON).unwrap();
            (client, id)
        })
        .collect();
    for _ in 0..count {
        dies.line();
    }
    dies.kill();
    asked
}

fn alone_for(place: &Scratch, trial: Duration) -> Server {
    ServerOptions::new()
        .directory(place.path())
        .trial(trial)
        .bind("svc")
        .unwrap()
}

fn next_request(server: &mut Server) -> Incoming {
    match until(server, |event| matches!(event, Event::Request(_))) {
        Event::Request(request) => request,
        _ => unreachable!(),
    }
}

/// No request comes.
fn nothing(server: &mut Server) {
    while let Some(event) = server.next_timeout(Duration::from_millis(30)).unwrap() {
        assert!(!matches!(event, Event::Request(_)), "{event:?}");
    }
}

#[test]
fn one_culprit_among_eight_innocent_clients_is_poisoned_after_four_deaths_and_nobody_else_is() {
    let place = Scratch::new();
    let at = place.path();
    let first = start("fatal 9", &place);
    first.expect("bound");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopper = Stopper(&over);
        let restarting = scope.spawn(|| {
            let mut servers: Vec<Helper> = vec![first];
            while !over.load(Ordering::Relaxed) {
                let last = servers.last_mut().unwrap();
                if last.has_ended(Duration::from_millis(20)) {
                    servers.push(start("fatal 0", &place));
                }
            }
            servers.len() - 1
        });
        let innocent: Vec<_> = (0..8_u32)
            .map(|n| {
                scope.spawn(move || {
                    let mut client = client(at);
                    for round in 0..50_u32 {
                        let sent = (n << 16 | round).to_le_bytes();
                        let reply = client.call(Request::new(ECHO, &sent), SOON).unwrap();
                        assert_eq!(reply.into_answer().unwrap().into_vec(), sent);
                    }
                    assert_eq!(client.unwanted(), 0, "answered twice");
                })
            })
            .collect();
        let mut culprit = client(at);
        let reply = culprit.call(Request::new(ECHO, "die"), SOON).unwrap();
        assert_eq!(
            reply.into_answer().unwrap_err(),
            Rejected::Poisoned { attempts: 4 }
        );
        // Its session goes on.
        let reply = culprit.call(Request::new(ECHO, "x"), SOON).unwrap();
        assert_eq!(reply.into_answer().unwrap().into_vec(), b"x");
        for client in innocent {
            client.join().unwrap();
        }
        drop(stopper);
        assert_eq!(restarting.join().unwrap(), 4, "deaths");
    });
}

#[test]
fn suspects_are_run_one_at_a_time_while_others_go_on_and_each_session_keeps_its_order() {
    let place = Scratch::new();
    let mut asked = suspects(&place, 3);
    // Behind each suspect one that no server has begun.
    for (client, _) in &mut asked {
        client.submit(Request::new(ECHO, "later"), SOON).unwrap();
    }
    let mut server = alone_for(&place, SOON);
    let mut fresh = None;
    for n in 0..3 {
        let suspect = next_request(&mut server);
        assert!(suspect.is_redelivered());
        assert_eq!(suspect.attempts(), 2);
        let later = next_request(&mut server);
        assert_eq!(later.peer().session(), suspect.peer().session());
        assert!(!later.is_redelivered());
        echo(later);
        nothing(&mut server);
        let fresh = fresh.get_or_insert_with(|| connect(&mut server, place.path()));
        call(&mut server, fresh, &format!("beside {n}"));
        echo(suspect);
    }
    nothing(&mut server);
    for (client, _) in &mut asked {
        for _ in 0..2 {
            let reply = client.next_reply(SOON).unwrap().expect("an answer");
            assert_eq!(reply.status(), Status::Done);
        }
        assert_eq!((client.outstanding(), client.unwanted()), (0, 0));
    }
}

#[test]
fn suspects_of_one_session_are_run_in_their_order() {
    let place = Scratch::new();
    let mut dies = start("hold 5", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    for n in 0..5_u32 {
        client
            .submit(Request::new(ECHO, &n.to_le_bytes()), SOON)
            .unwrap();
    }
    for _ in 0..5 {
        dies.line();
    }
    dies.kill();
    let mut server = alone_for(&place, SOON);
    for n in 0..5_u32 {
        let suspect = next_request(&mut server);
        assert_eq!(suspect.payload().as_slice(), Some(&n.to_le_bytes()[..]));
        nothing(&mut server);
        // From another thread, while this one sleeps.
        std::thread::scope(|scope| {
            scope.spawn(|| echo(suspect));
        });
    }
    nothing(&mut server);
}

#[test]
fn a_suspect_that_is_never_answered_makes_room_for_the_next_after_its_trial() {
    let place = Scratch::new();
    let _asked = suspects(&place, 4);
    let mut server = alone_for(&place, Duration::from_millis(20));
    let held: Vec<Incoming> = (0..4).map(|_| next_request(&mut server)).collect();
    assert!(held.iter().all(Incoming::is_redelivered));
}

#[test]
fn who_polls_is_told_when_a_trial_is_over() {
    let place = Scratch::new();
    let _asked = suspects(&place, 2);
    let mut server = alone_for(&place, Duration::from_millis(20));
    let mut held = Vec::new();
    while held.len() < 2 {
        while let Some(event) = server.try_next().unwrap() {
            if let Event::Request(request) = event {
                held.push(request);
            }
        }
        if held.len() < 2 {
            assert!(osps_ipc::wait_any(&mut [&mut server], SOON).unwrap());
        }
    }
}

#[test]
fn a_suspect_in_hand_whose_client_has_gone_still_keeps_the_others_waiting() {
    let place = Scratch::new();
    let asked = suspects(&place, 3);
    let mut server = alone_for(&place, SOON);
    let first = next_request(&mut server);
    // Requests are numbered by their clients.
    let sent = first.payload().as_slice().unwrap().to_vec();
    let index = usize::from_le_bytes(sent.try_into().unwrap());
    let mut asked: Vec<_> = asked.into_iter().map(Some).collect();
    drop(asked[index].take());
    until(&mut server, |event| {
        matches!(event, Event::Disconnected(_, End::Left))
    });
    nothing(&mut server);
    drop(first);
    for _ in 0..2 {
        echo(next_request(&mut server));
    }
    for (client, _) in asked.iter_mut().flatten() {
        let reply = client.next_reply(SOON).unwrap().expect("an answer");
        assert_eq!(reply.status(), Status::Done);
    }
}

#[test]
fn a_suspect_that_its_client_does_not_want_any_more_is_run_and_its_answer_dropped() {
    let place = Scratch::new();
    let mut asked = suspects(&place, 1);
    let (client, id) = &mut asked[0];
    assert!(!client.cancel(*id).unwrap(), "it was begun");
    let mut server = alone_for(&place, SOON);
    echo(next_request(&mut server));
    assert!(
        client
            .next_reply(Duration::from_millis(30))
            .unwrap()
            .is_none()
    );
    assert_eq!(client.unwanted(), 1);
}

#[test]
fn a_suspect_whose_time_is_up_is_not_run_again() {
    let place = Scratch::new();
    let mut dies = start("hold 1", &place);
    dies.expect("bound");
    let mut client = client(place.path());
    // Enough for the server to begin it on a busy machine.
    let short = Duration::from_secs(1);
    client.submit(Request::new(ECHO, "x"), short).unwrap();
    dies.line();
    dies.kill();
    assert!(client.next_reply(short * 2).unwrap().is_none());
    let mut server = alone_for(&place, SOON);
    nothing(&mut server);
    let reply = client.next_reply(SOON).unwrap().expect("an answer");
    assert_eq!(reply.status(), Status::Expired);
}

#[test]
fn a_server_that_ends_in_good_order_closes_the_sessions_of_suspects_in_hand_and_waiting() {
    let place = Scratch::new();
    let mut asked = suspects(&place, 2);
    let mut server = alone_for(&place, SOON);
    let held = next_request(&mut server);
    server.drain(Duration::from_millis(20));
    until(&mut server, |event| matches!(event, Event::Drained));
    drop(server);
    for (client, _) in &mut asked {
        let error = client.next_reply(SOON).unwrap_err();
        assert!(matches!(error, Error::Closed { .. }), "{error}");
    }
    assert!(matches!(held.reply("x"), Err(Error::Closed { .. })));
    assert!(place.names().is_empty());
}

#[test]
fn suspects_are_drained_one_after_the_other() {
    let place = Scratch::new();
    let mut asked = suspects(&place, 3);
    let mut server = alone_for(&place, SOON);
    let first = next_request(&mut server);
    server.drain(SOON);
    echo(first);
    until(&mut server, |event| matches!(event, Event::Drained));
    for (client, _) in &mut asked {
        let reply = client.next_reply(SOON).unwrap().expect("an answer");
        assert_eq!(reply.status(), Status::Done);
    }
}

#[test]
fn what_a_server_that_said_farewell_had_in_hand_is_charged_with_nothing() {
    let place = Scratch::new();
    let asked = suspects(&place, 3);
    // As if it had been killed in the middle of its end: the first word behind the header is the state.
    let board = fs::OpenOptions::new()
        .write(true)
        .open(place.path().join("svc/board"))
        .unwrap();
    board.write_all_at(&4_u64.to_le_bytes(), 128).unwrap();
    let mut server = ServerOptions::new()
        .directory(place.path())
        .max_deaths(0)
        .trial(SOON)
        .bind("svc")
        .unwrap();
    let held: Vec<Incoming> = (0..3).map(|_| next_request(&mut server)).collect();
    assert!(held.iter().all(Incoming::is_redelivered));
    held.into_iter().for_each(echo);
    for (mut client, _) in asked {
        let reply = client.next_reply(SOON).unwrap().expect("an answer");
        assert_eq!(reply.status(), Status::Done);
    }
}

#[test]
fn a_request_is_begun_only_once_where_no_death_is_allowed() {
    let place = Scratch::new();
    let mut asked = suspects(&place, 2);
    let mut server = ServerOptions::new()
        .directory(place.path())
        .max_deaths(0)
        .bind("svc")
        .unwrap();
    nothing(&mut server);
    for (client, id) in &mut asked {
        let reply = client.next_reply(SOON).unwrap().expect("an answer");
        assert_eq!(reply.id(), *id);
        assert_eq!(
            reply.into_answer().unwrap_err(),
            Rejected::Poisoned { attempts: 1 }
        );
        assert_eq!(client.outstanding(), 0);
    }
}

#[test]
fn a_request_whose_answer_waits_for_room_is_not_charged_with_its_servers_death() {
    let place = Scratch::new();
    let mut dies = start("overflow 300", &place);
    dies.expect("bound");
    let mut client = ClientOptions::new()
        .directory(place.path())
        .capacity(64 << 10, 4096)
        .connect("svc", SOON)
        .unwrap();
    for n in 0..300_u32 {
        client
            .submit(Request::new(ECHO, &n.to_le_bytes()), SOON)
            .unwrap();
    }
    dies.expect("overflowing");
    dies.kill();
    let mut server = ServerOptions::new()
        .directory(place.path())
        .max_deaths(0)
        .bind("svc")
        .unwrap();
    let mut answered = 0;
    while answered < 300 {
        if let Some(Event::Request(request)) =
            server.next_timeout(Duration::from_millis(5)).unwrap()
        {
            echo(request);
        }
        while let Some(reply) = client.try_next_reply().unwrap() {
            assert_eq!(reply.status(), Status::Done);
            answered += 1;
        }
    }
}
