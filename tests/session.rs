//! A client and a server, in one process and in several.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "what a test does not expect ends it, and numbers are cut down on purpose"
)]

mod common;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Scratch, Serving};
use osps_ipc::{
    Client, ClientOptions, Directory, End, Error, Event, Figures, Name, Rejected, Request,
    RequestKind, Server, ServerOptions, Status, Wait, wait_any,
};

const ECHO: RequestKind = RequestKind::new("echo");
const OTHER: RequestKind = RequestKind::new("other");

fn client(at: &Path) -> Client {
    ClientOptions::new()
        .directory(at)
        .connect("svc", SOON)
        .unwrap()
}

fn server(at: &Path) -> Server {
    ServerOptions::new().directory(at).bind("svc").unwrap()
}

fn serve_echo(at: &Path) -> Serving {
    Serving::start(server(at), echo)
}

fn echo(event: Event) {
    if let Event::Request(mut request) = event {
        if request.kind() != ECHO {
            return request.unknown_kind(&[ECHO]).unwrap();
        }
        let payload = request.take_payload().into_vec();
        // A client that has gone meanwhile is its own affair.
        let _ = request.reply(&payload);
    }
}

fn is_empty(at: &Path) -> bool {
    std::fs::read_dir(at).unwrap().next().is_none()
}

#[test]
fn every_length_comes_back_and_nothing_is_left() {
    let place = Scratch::new();
    let serving = serve_echo(place.path());
    let mut client = client(place.path());
    let lengths = [
        0,
        1,
        7,
        8,
        9,
        64,
        4095,
        4096,
        8192 - 40,
        8192 - 39,
        8192,
        65_537,
        1 << 20,
        (5 << 20) + 3,
    ];
    for (n, len) in lengths.into_iter().enumerate() {
        let sent: Vec<u8> = (0..len).map(|i| (i * 31 + n) as u8).collect();
        let answer = client
            .call(Request::new(ECHO, &sent), SOON)
            .unwrap()
            .into_answer()
            .unwrap();
        assert_eq!(answer.len(), len as u64);
        let mut read = Vec::new();
        answer.reader().read_to_end(&mut read).unwrap();
        assert!(read == sent, "{len} bytes");
    }
    drop(client);
    drop(serving);
    assert!(
        is_empty(place.path()),
        "{:?}",
        std::fs::read_dir(place.path()).unwrap().collect::<Vec<_>>()
    );
}

#[test]
fn an_unknown_kind_is_refused_with_those_that_are_known() {
    let place = Scratch::new();
    let _serving = serve_echo(place.path());
    let reply = client(place.path())
        .call(Request::new(OTHER, ""), SOON)
        .unwrap();
    assert_eq!(reply.status(), Status::UnknownKind);
    let rejected = reply.into_answer().unwrap_err();
    assert_eq!(rejected, Rejected::UnknownKind { known: vec![ECHO] });
    assert!(rejected.to_string().contains("echo"));
}

#[test]
fn many_requests_are_answered_out_of_order_from_other_threads() {
    const COUNT: u32 = 2000;
    let place = Scratch::new();
    let (sender, requests) = mpsc::sync_channel(64);
    let worker = thread::spawn(move || {
        let mut held: Vec<osps_ipc::Incoming> = Vec::new();
        while let Ok(request) = requests.recv() {
            held.push(request);
            if held.len() == 16 {
                while let Some(mut request) = held.pop() {
                    let payload = request.take_payload().into_vec();
                    request.reply(&payload).unwrap();
                }
            }
        }
    });
    let serving = Serving::start(server(place.path()), move |event| {
        if let Event::Request(request) = event {
            sender.send(request).unwrap();
        }
    });
    let mut client = client(place.path());
    let mut asked = BTreeMap::new();
    for n in 0..COUNT {
        let id = client
            .submit(Request::new(ECHO, &n.to_le_bytes()), SOON)
            .unwrap();
        assert!(asked.insert(id, n).is_none());
    }
    while !asked.is_empty() {
        let reply = client.next_reply(SOON).unwrap().expect("an answer in time");
        let n = asked.remove(&reply.id()).expect("answered once");
        assert_eq!(reply.into_answer().unwrap().into_vec(), n.to_le_bytes());
    }
    assert_eq!(client.outstanding(), 0);
    assert_eq!(client.unwanted(), 0);
    drop(client);
    drop(serving);
    worker.join().unwrap();
}

#[test]
fn a_ring_full_of_answers_blocks_nobody_but_its_client() {
    let place = Scratch::new();
    let _serving = serve_echo(place.path());
    let mut greedy = ClientOptions::new()
        .directory(place.path())
        .capacity(1 << 20, 4096)
        .connect("svc", SOON)
        .unwrap();
    let mut sent = 0;
    // Answers fill the small ring long before requests fill the large one.
    while sent < 500 {
        greedy
            .submit(Request::new(ECHO, &[sent as u8; 200]), SOON)
            .unwrap();
        sent += 1;
    }
    let mut other = client(place.path());
    for _ in 0..100 {
        other.call(Request::new(ECHO, "x"), SOON).unwrap();
    }
    for n in 0..sent {
        let reply = greedy.next_reply(SOON).unwrap().expect("an answer in time");
        assert_eq!(reply.into_answer().unwrap().into_vec(), [n as u8; 200]);
    }
}

#[test]
fn a_large_answer_that_is_being_made_ready_holds_up_no_other_request_of_its_session() {
    let place = Scratch::new();
    let making = Arc::new(AtomicBool::new(false));
    let (sender, large) = mpsc::channel::<osps_ipc::Incoming>();
    let worker = thread::spawn({
        let making = Arc::clone(&making);
        move || {
            let answer = vec![7; 64 << 20];
            for request in large {
                making.store(true, Ordering::SeqCst);
                request.reply(&answer).unwrap();
                making.store(false, Ordering::SeqCst);
            }
        }
    });
    let meanwhile = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&meanwhile);
    let serving = Serving::start(server(place.path()), move |event| match event {
        Event::Request(request) if request.kind() == OTHER => sender.send(request).unwrap(),
        event => {
            if making.load(Ordering::SeqCst) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            echo(event);
        }
    });
    let mut client = client(place.path());
    let end = Instant::now() + SOON;
    // Not every time on a busy machine. Were they held up, one or two could be begun meanwhile.
    while meanwhile.load(Ordering::SeqCst) < 5 {
        assert!(Instant::now() < end, "the server stands still");
        meanwhile.store(0, Ordering::SeqCst);
        let id = client.submit(Request::new(OTHER, ""), SOON).unwrap();
        for _ in 0..1000 {
            client.call(Request::new(ECHO, "x"), SOON).unwrap();
        }
        let reply = client.next_reply(SOON).unwrap().expect("an answer in time");
        assert_eq!((reply.id(), reply.payload().len()), (id, 64 << 20));
    }
    drop(client);
    drop(serving);
    worker.join().unwrap();
}

#[test]
fn a_request_is_taken_back_before_it_is_begun_and_not_after() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let asking = thread::spawn(move || {
        let mut client = client(&at);
        let first = client.submit(Request::new(ECHO, "1"), SOON).unwrap();
        let second = client.submit(Request::new(ECHO, "2"), SOON).unwrap();
        assert!(client.cancel(second).unwrap());
        (client, first)
    });
    while !matches!(
        server.next_timeout(SOON).unwrap(),
        Some(Event::Connected(_))
    ) {}
    let (mut client, first) = asking.join().unwrap();
    let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() else {
        panic!("no request")
    };
    assert_eq!(request.payload().as_slice(), Some(&b"1"[..]));
    assert!(!client.cancel(first).unwrap());
    request.reply("late").unwrap();
    assert!(client.notify(Request::new(ECHO, "")).unwrap());
    let told = server.next_timeout(SOON).unwrap();
    assert!(matches!(told, Some(Event::Notify(_))), "{told:?}");
    assert!(
        server.try_next().unwrap().is_none(),
        "the second was taken back"
    );
    let figures = Figures::read(&Directory::open(place.path()).unwrap(), server.service());
    assert_eq!(figures.unwrap().requests, 1);
    assert!(
        client
            .next_reply(Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    assert_eq!(client.unwanted(), 1);
}

#[test]
fn one_way_messages_arrive_in_order_even_those_sent_before_leaving() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let telling = thread::spawn(move || {
        let mut client = client(&at);
        let mut n = 0_u32;
        while client.notify(Request::new(ECHO, &n.to_le_bytes())).unwrap() {
            n += 1;
        }
        (n, client.dropped())
    });
    let mut heard = Vec::new();
    loop {
        match server
            .next_timeout(SOON)
            .unwrap()
            .expect("an event in time")
        {
            Event::Notify(told) => {
                heard.push(u32::from_le_bytes(
                    told.payload().as_slice().unwrap().try_into().unwrap(),
                ));
            }
            Event::Disconnected(_, end) => {
                assert_eq!(end, End::Left);
                break;
            }
            _ => {}
        }
    }
    let (sent, dropped) = telling.join().unwrap();
    assert_eq!(dropped, 1);
    assert!(heard.into_iter().eq(0..sent));
}

#[test]
fn a_one_way_message_in_a_lease_is_copied_if_it_fits() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let telling = thread::spawn(move || {
        let options = ClientOptions::new().directory(at).capacity(4096, 4096);
        let mut client = options.connect("svc", SOON).unwrap();
        let mut notify = |len: usize| {
            let mut lease = client.lease(ECHO, len as u64, SOON).unwrap();
            lease.write_at(0, &vec![7; len]).unwrap();
            client.notify(Request::new(ECHO, lease))
        };
        assert!(notify(984).unwrap());
        let error = notify(985).unwrap_err();
        assert!(matches!(error, Error::TooLong { max: 984, .. }), "{error}");
    });
    loop {
        match server.next_timeout(SOON).unwrap().expect("a message") {
            Event::Notify(told) => {
                break assert_eq!(told.payload().as_slice(), Some(&[7; 984][..]));
            }
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
    telling.join().unwrap();
}

#[test]
fn who_fetches_no_reply_is_stopped_and_told_why() {
    const MOST: usize = 1 << 16;
    let place = Scratch::new();
    let _serving = serve_echo(place.path());
    let mut client = client(place.path());
    for _ in 0..MOST {
        client.submit(Request::new(ECHO, ""), SOON).unwrap();
    }
    let error = client.submit(Request::new(ECHO, ""), SOON).unwrap_err();
    assert!(
        matches!(error, Error::TooMany { max: 65536, .. }),
        "{error}"
    );
    assert!(client.try_submit(Request::new(ECHO, ""), SOON).is_err());
    client.next_reply(SOON).unwrap().expect("a reply");
    client.submit(Request::new(ECHO, ""), SOON).unwrap();
    for _ in 0..MOST {
        client.next_reply(SOON).unwrap().expect("a reply");
    }
}

#[test]
fn a_client_is_directed_once_and_remembers_the_way() {
    let place = Scratch::new();
    let _worker = Serving::start(
        ServerOptions::new()
            .directory(place.path())
            .bind("worker")
            .unwrap(),
        echo,
    );
    let (sender, asked) = mpsc::channel();
    let director = ServerOptions::new()
        .directory(place.path())
        .directs()
        .bind("svc")
        .unwrap();
    let _director = Serving::start(director, move |event| {
        if let Event::Question(question) = event {
            sender.send(question.kind()).unwrap();
            match question.kind() {
                ECHO => question.redirect(&Name::new("worker").unwrap()).unwrap(),
                _ => question.unknown_kind(&[ECHO]).unwrap(),
            }
        }
    });
    let mut client = client(place.path());
    let echoed = |client: &mut Client| {
        let reply = client.call(Request::new(ECHO, "hello"), SOON).unwrap();
        assert_eq!(reply.into_answer().unwrap().into_vec(), b"hello");
    };
    echoed(&mut client);
    // A client asks again while the worker has had no time to let it in.
    let first: Vec<RequestKind> = asked.try_iter().collect();
    assert!(!first.is_empty() && first.iter().all(|kind| *kind == ECHO));
    echoed(&mut client);
    echoed(&mut client);
    let reply = client.call(Request::new(OTHER, ""), SOON).unwrap();
    assert_eq!(reply.status(), Status::UnknownKind);
    let large = vec![7; 100_000];
    let mut lease = client.lease(ECHO, large.len() as u64, SOON).unwrap();
    lease.write_at(0, &large).unwrap();
    let answer = client
        .call(Request::new(ECHO, lease), SOON)
        .unwrap()
        .into_answer()
        .unwrap();
    assert!(answer.into_vec() == large);
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [OTHER]);
}

#[test]
fn a_kind_is_declared_before_its_data_are_at_hand() {
    let place = Scratch::new();
    let director = ServerOptions::new()
        .directory(place.path())
        .directs()
        .bind("svc")
        .unwrap();
    let _director = Serving::start(director, |event| {
        if let Event::Question(question) = event {
            match question.kind() {
                ECHO => question.here().unwrap(),
                _ => question.unknown_kind(&[ECHO]).unwrap(),
            }
        }
    });
    let mut client = client(place.path());
    client.declare(ECHO, SOON).unwrap().unwrap();
    let refused = client.declare(OTHER, SOON).unwrap().unwrap_err();
    assert_eq!(refused, Rejected::UnknownKind { known: vec![ECHO] });
}

#[test]
fn a_client_that_polls_is_told_that_its_server_has_ended() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let serving = thread::spawn(move || {
        loop {
            if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
                drop(server);
                return request;
            }
        }
    });
    let mut client = client(place.path());
    client.submit(Request::new(ECHO, ""), SOON).unwrap();
    let error = loop {
        match client.try_next_reply() {
            Ok(Some(reply)) => panic!("{reply:?}"),
            Ok(None) => assert!(wait_any(&mut [&mut client], SOON).unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    serving.join().unwrap();
}

#[test]
fn a_handler_that_drops_a_request_fails_it() {
    let place = Scratch::new();
    let _serving = Serving::start(server(place.path()), drop);
    let rejected = client(place.path())
        .call(Request::new(ECHO, ""), SOON)
        .unwrap()
        .into_answer()
        .unwrap_err();
    assert!(matches!(rejected, Rejected::Failed { .. }), "{rejected:?}");
}

#[test]
fn a_request_whose_time_is_up_is_not_begun() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let client = thread::spawn(move || {
        let mut client = client(&at);
        let error = client
            .call(Request::new(ECHO, ""), Duration::from_millis(30))
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        client
            .submit(Request::new(ECHO, ""), Duration::from_millis(1))
            .unwrap();
        // Until the time is up, also for the coarse clock that the server looks at.
        assert!(
            client
                .next_reply(Duration::from_millis(20))
                .unwrap()
                .is_none()
        );
        client
    });
    assert!(matches!(
        server.next_timeout(SOON).unwrap(),
        Some(Event::Connected(_))
    ));
    let mut client = client.join().unwrap();
    let until = std::time::Instant::now() + Duration::from_millis(20);
    while std::time::Instant::now() < until {
        assert!(
            server
                .next_timeout(Duration::from_millis(5))
                .unwrap()
                .is_none()
        );
    }
    let reply = client.next_reply(SOON).unwrap().unwrap();
    assert_eq!(reply.status(), Status::Expired);
}

#[test]
fn each_way_to_wait_works_with_each() {
    for (ours, theirs) in [
        (Wait::Park, Wait::Park),
        (Wait::Spin, Wait::Park),
        (Wait::Park, Wait::Spin),
    ] {
        let place = Scratch::new();
        let server = ServerOptions::new()
            .directory(place.path())
            .wait(ours)
            .bind("svc")
            .unwrap();
        let _serving = Serving::start(server, echo);
        let mut client = ClientOptions::new()
            .directory(place.path())
            .wait(theirs)
            .connect("svc", SOON)
            .unwrap();
        for n in 0..200_u32 {
            let answer = client
                .call(Request::new(ECHO, &n.to_le_bytes()), SOON)
                .unwrap()
                .into_answer()
                .unwrap();
            assert_eq!(answer.into_vec(), n.to_le_bytes());
        }
    }
}

#[test]
fn a_second_server_is_told_who_serves_and_a_client_without_one_that_nobody_does() {
    let place = Scratch::new();
    let server = server(place.path());
    let error = ServerOptions::new()
        .directory(place.path())
        .bind("svc")
        .unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning { .. }), "{error}");
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(server);
    let error = ClientOptions::new()
        .directory(place.path())
        .connect("svc", Duration::from_millis(20))
        .unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    assert!(is_empty(place.path()));
}

#[test]
fn a_server_of_no_session_is_refused() {
    let place = Scratch::new();
    let options = ServerOptions::new().directory(place.path()).sessions(0);
    let error = options.bind("svc").unwrap_err();
    assert!(
        matches!(
            error,
            Error::BadOption {
                option: "sessions",
                ..
            }
        ),
        "{error}"
    );
    assert!(is_empty(place.path()));
}

#[test]
fn a_timeout_of_all_time_is_one() {
    let place = Scratch::new();
    let serving = serve_echo(place.path());
    let options = ClientOptions::new().directory(place.path());
    let mut client = options.connect("svc", Duration::MAX).unwrap();
    let reply = client.call(Request::new(ECHO, "x"), Duration::MAX).unwrap();
    assert_eq!(reply.into_answer().unwrap().into_vec(), b"x");
    client
        .submit(Request::new(ECHO, "y"), Duration::MAX)
        .unwrap();
    let reply = client.next_reply(Duration::MAX).unwrap().unwrap();
    assert_eq!(reply.into_answer().unwrap().into_vec(), b"y");
    drop(serving);
}

#[test]
fn a_lease_that_is_held_beyond_a_timeout_is_sent_by_the_next_call() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let asking = thread::spawn(move || {
        let mut client = client(&at);
        let mut lease = client.lease(ECHO, 100_000, SOON).unwrap();
        lease.write_at(0, &[7; 100_000]).unwrap();
        let short = Duration::from_millis(20);
        let error = client.call(Request::new(ECHO, "late"), short).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        client.submit(Request::new(ECHO, lease), SOON).unwrap();
        client
    });
    // Its connect is answered, its requests are left where they are.
    let connected = server.next_timeout(SOON).unwrap();
    assert!(matches!(connected, Some(Event::Connected(_))));
    let mut client = asking.join().unwrap();
    // The first was taken back.
    let Some(Event::Request(mut request)) = server.next_timeout(SOON).unwrap() else {
        panic!("no request")
    };
    let payload = request.take_payload().into_vec();
    assert!(payload == [7; 100_000]);
    request.reply(&payload).unwrap();
    let reply = client.next_reply(SOON).unwrap().expect("an answer in time");
    assert!(reply.into_answer().unwrap().into_vec() == [7; 100_000]);
}

#[test]
fn a_full_server_says_when_to_come_back_and_keeps_room_for_probes() {
    let place = Scratch::new();
    let server = ServerOptions::new()
        .directory(place.path())
        .sessions(3)
        .bind("svc")
        .unwrap();
    let _serving = Serving::start(server, echo);
    let first = client(place.path());
    let error = ClientOptions::new()
        .directory(place.path())
        .connect("svc", SOON)
        .unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    let mut probe = ClientOptions::new()
        .directory(place.path())
        .probe()
        .connect("svc", SOON)
        .unwrap();
    probe.call(Request::new(ECHO, ""), SOON).unwrap();
    drop(first);
}

#[test]
fn a_server_drains_what_was_asked_and_closes_its_sessions() {
    let place = Scratch::new();
    let mut server = server(place.path());
    let at = place.path().to_owned();
    let asking = thread::spawn(move || {
        let mut client = client(&at);
        let answer = client
            .call(Request::new(ECHO, "last"), SOON)
            .unwrap()
            .into_answer()
            .unwrap();
        assert_eq!(answer.into_vec(), b"done");
        let error = client
            .call(Request::new(ECHO, "too late"), Duration::from_millis(300))
            .unwrap_err();
        assert!(
            matches!(error, Error::Closed { .. } | Error::NotRunning { .. }),
            "{error}"
        );
    });
    let (sender, requests) = mpsc::channel::<osps_ipc::Incoming>();
    let worker = thread::spawn(move || {
        let request = requests.recv().unwrap();
        // Answered only when the server has begun to drain.
        requests.recv().unwrap_err();
        request.reply("done").unwrap();
    });
    loop {
        if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
            sender.send(request).unwrap();
            break;
        }
    }
    server.drain(SOON);
    drop(sender);
    while !matches!(server.next_timeout(SOON).unwrap(), Some(Event::Drained)) {}
    drop(server);
    worker.join().unwrap();
    asking.join().unwrap();
    assert!(is_empty(place.path()));
}
