//! Servers that die between two stores, and servers that write what no correct one does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::client::ClientOptions;
use crate::client::missed::*;
use crate::client::{Client, Request, RequestId};
use crate::directory::testing::Scratch;
use crate::request::{ReplyForm, ReplyHeader, RequestForm, RequestHeader, Status};
use crate::ring::raw::RawProducer;
use crate::ring::record::{Header, answer, record_len};
use crate::server::{Event, Incoming, Server};
use crate::session::Wait;
use crate::session::layout::{REPLY_RECORD, REQUEST_RECORD, Status as SessionStatus};

/// The next request that a server is given.
pub(super) fn request(server: &mut Server) -> Incoming {
    loop {
        match server.next_timeout(SOON).unwrap() {
            Some(Event::Request(request)) => break request,
            Some(_) => {}
            None => panic!("no request"),
        }
    }
}

/// The server's end of a client's ring of replies, for who takes a dead server's place.
fn replies(link: &Link) -> RawProducer<2> {
    RawProducer::resume(link.memory.replies.clone()).unwrap()
}

/// An empty reply; whether there was room.
fn put(replies: &mut RawProducer<2>, generation: u64, id: RequestId, status: Status) -> bool {
    let record = Header {
        length: 0,
        kind: REPLY_RECORD,
        flags: 0,
        generation,
    };
    let header = ReplyHeader {
        id: id.0,
        status,
        code: 0,
        epoch: 1,
        form: ReplyForm::Inline(0),
    };
    let put = replies.push(record, header.words(), &[]).is_ok();
    replies.publish();
    put
}

#[test]
fn a_request_whose_answer_was_published_and_not_marked_is_delivered_again_as_it_was() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut before = bind(&at, "svc");
    let mut client = let_in(&mut before, || options.connect("svc", SOON));
    let large = |byte| vec![byte; 100_000];
    let first = large(1);
    let id = client.submit(Request::new(ECHO, &first), SOON).unwrap();
    let begun = request(&mut before);
    die(before);
    drop(begun);
    let link = client.link(0).unwrap();
    let generation = link.generation;
    assert!(put(&mut replies(link), generation, id, Status::Done));
    assert_eq!(client.next_reply(SOON).unwrap().unwrap().id(), id);

    // The answer is there, and the next payload would have room where the first one lies.
    let second = large(2);
    client.submit(Request::new(ECHO, &second), SOON).unwrap();
    let mut after = bind(&at, "svc");
    for bytes in [&first, &second] {
        let mut request = request(&mut after);
        assert_eq!(&request.take_payload().into_vec(), bytes);
        request.reply("").unwrap();
    }
    assert!(client.next_reply(SOON).unwrap().is_some());
    assert_eq!(client.unwanted(), 1);

    // Once it is answered for good, its memory is used again.
    let numbers: Vec<u64> = (0..3)
        .map(|_| {
            client
                .lease(ECHO, 100_000, SOON)
                .unwrap()
                .segment()
                .number()
        })
        .collect();
    assert!(numbers.iter().all(|number| *number < 2), "{numbers:?}");
}

#[test]
fn a_server_that_ends_a_session_and_goes_on_answering_is_listened_to_no_further() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "svc");
    let mut client = let_in(&mut server, || options.connect("svc", SOON));
    let id = client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    let link = client.link(0).unwrap();
    let most = link.geometry.reply_capacity / record_len::<2>(0);
    let (server_line, generation) = (link.memory.server.clone(), link.generation);
    let mut replies = replies(link);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // So many that it ends by itself whatever the client does.
            let mut left = 1_000_000;
            while left > 0 && !over.load(Ordering::Relaxed) {
                left -= u32::from(put(&mut replies, generation, id, Status::Started));
            }
        });
        while client.link(0).unwrap().replies.look() == Ok(false) {
            std::thread::yield_now();
        }
        let closed = SessionStatus::Closed.pack();
        server_line.status.store(closed, Ordering::Release);
        let ended = client.check_link(0, None);
        over.store(true, Ordering::Relaxed);
        assert!(matches!(ended, Err(Error::Closed { .. })), "{ended:?}");
    });
    assert!(client.stash.len() as u64 <= most, "{}", client.stash.len());
}

/// The client's end of its ring of requests, for who sends what no client does.
fn requests(link: &Link) -> RawProducer<3> {
    RawProducer::resume(link.memory.requests.clone()).unwrap()
}

/// Sends a request with a header of these words, without payload; where its record stands.
fn send(requests: &mut RawProducer<3>, generation: u64, words: [u64; 5]) -> Option<u64> {
    let record = Header {
        length: 0,
        kind: REQUEST_RECORD,
        flags: 0,
        generation,
    };
    let at = requests.push(record, words, &[]).ok()?;
    requests.publish();
    Some(at)
}

#[test]
fn a_client_whose_first_request_is_zeros_has_broken_the_protocol() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "svc");
    let mut client = let_in(&mut server, || options.connect("svc", SOON));
    let link = client.link(0).unwrap();
    send(&mut requests(link), link.generation, [0, 5, 0, 0, 0]).unwrap();
    let event = server.next_timeout(SOON).unwrap();
    assert!(matches!(event, Some(Event::Disconnected(..))), "{event:?}");
}

#[test]
fn a_client_that_goes_on_sending_does_not_keep_a_successor_from_starting() {
    // Large, so that the client sees the successor begin before it is through.
    const CAPACITY: usize = 1 << 26;
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut before = bind(&at, "svc");
    let connect = || {
        options
            .clone()
            .capacity(CAPACITY, 4096)
            .connect("svc", SOON)
    };
    let mut client = let_in(&mut before, connect);
    let link = client.link(0).unwrap();
    let header = RequestHeader {
        id: 7,
        kind: ECHO,
        deadline: 0,
        form: RequestForm::Inline(0),
    };
    let mut sends = requests(link);
    while let Some(at) = send(&mut sends, link.generation, header.words()) {
        answer(link.memory.requests.state(at));
    }
    die(before);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let control = link.memory.requests.control();
            while !is_over.load(Ordering::Relaxed) {
                let head = control.head.load(Ordering::Relaxed);
                let tail = head.wrapping_add(CAPACITY as u64);
                control.tail.store(tail, Ordering::Release);
            }
        });
        let (tell, told) = std::sync::mpsc::channel();
        let at = &at;
        scope.spawn(move || tell.send(Box::new(bind(at, "svc"))));
        let started = told.recv_timeout(SOON);
        is_over.store(true, Ordering::Relaxed);
        assert!(started.is_ok());
    });
}

#[test]
fn room_that_is_made_before_a_message_finds_none_is_told() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "svc");
    let connect = || options.clone().capacity(4096, 4096).connect("svc", SOON);
    let mut client = let_in(&mut server, connect);
    let id = client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    while client.notify(Request::new(ECHO, "y")).unwrap() {}
    let link = client.link(0).unwrap();
    let generation = link.generation;
    let mut replies = replies(link);
    while put(&mut replies, generation, id, Status::Done) {}
    assert_eq!(replies.sleep(40), Ok(true));
    assert_eq!(client.next_reply(SOON).unwrap().unwrap().id(), id);
    assert!(!client.notify(Request::new(ECHO, "z")).unwrap());
    let link = client.link(0).unwrap();
    assert_eq!(link.replies.unreleased(), 0, "room was made");
    assert!(!link.replies.must_ring(), "and told");
}

/// The next message that a server is given, if there is one: whether it wants an answer, and its bytes.
fn message(server: &mut Server) -> Option<(Option<Incoming>, Vec<u8>)> {
    loop {
        let (asked, payload) = match server.next_timeout(Duration::ZERO).unwrap()? {
            Event::Request(mut request) => {
                let payload = request.take_payload();
                (Some(request), payload)
            }
            Event::Notify(told) => {
                let bytes = told.payload().as_slice().unwrap().to_vec();
                return Some((None, bytes));
            }
            _ => continue,
        };
        return Some((asked, payload.into_vec()));
    }
}

#[test]
fn one_way_messages_are_handed_out_once_whoever_dies_and_what_is_asked_between_them_again() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut before = bind(&at, "svc");
    let mut client = let_in(&mut before, || options.connect("svc", SOON));
    for n in 0_u8..6 {
        let bytes = [n];
        let sent = Request::new(ECHO, &bytes);
        match n {
            2 | 4 => drop(client.submit(sent, SOON).unwrap()),
            _ => assert!(client.notify(sent).unwrap()),
        }
    }
    let mut begun = Vec::new();
    for n in 0..6 {
        let (asked, payload) = message(&mut before).unwrap();
        assert_eq!((asked.is_some(), payload), (n == 2 || n == 4, vec![n]));
        begun.extend(asked);
    }
    assert!(message(&mut before).is_none());
    assert!(client.notify(Request::new(ECHO, "\x06")).unwrap());
    die(before);
    drop(begun);
    let mut after = bind(&at, "svc");
    for n in [2, 4, 6] {
        let (asked, payload) = loop {
            // What was begun comes one at a time.
            match message(&mut after) {
                Some(message) => break message,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((asked.is_some(), payload), (n != 6, vec![n]));
        if let Some(asked) = asked {
            asked.reply("").unwrap();
        }
    }
    assert!(message(&mut after).is_none());
    for _ in 0..2 {
        assert!(client.next_reply(SOON).unwrap().is_some());
    }
}

#[test]
fn who_waits_for_room_is_told_of_what_one_way_messages_leave() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let options = options.capacity(4096, 4096).wait(Wait::Park);
    let mut server = bind(&at, "svc");
    let mut client = let_in(&mut server, || options.connect("svc", SOON));
    // Each takes two lines. When an eighth of the ring is theirs, or when there are no more.
    const FITTING: usize = 4096 / 128;
    let is_rung = |link: &Link| {
        let rung = poll::wait_one(&link.down, Interest::READ, Deadline::passed());
        rung.unwrap().is_some()
    };
    for (told, needed, taken) in [(FITTING, 64, FITTING / 8), (3, 4000, 4)] {
        let sent = (0..told).take_while(|_| client.notify(Request::new(ECHO, &[0; 64])).unwrap());
        assert_eq!(sent.count(), told);
        let link = client.link(0).unwrap();
        link.drain();
        assert_eq!(link.requests.sleep(needed), Ok(true));
        for _ in 0..taken {
            assert!(!is_rung(link));
            message(&mut server);
        }
        assert!(is_rung(link));
        link.drain();
        assert_eq!(link.requests.sleep(needed), Ok(false), "there is room");
        while message(&mut server).is_some() {}
    }
}

#[test]
fn who_does_not_wait_is_given_the_room_of_many_one_way_messages_at_a_time() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "svc");
    let connect = || options.clone().capacity(4096, 4096).connect("svc", SOON);
    let mut client = let_in(&mut server, connect);
    let tell = |client: &mut Client| client.notify(Request::new(ECHO, &[0; 64])).unwrap();
    // An eighth of the ring, of which each takes two lines.
    const EIGHTH: usize = 4096 / 128 / 8;
    while tell(&mut client) {}
    for _ in 1..EIGHTH {
        message(&mut server);
        assert!(!tell(&mut client));
    }
    message(&mut server);
    for _ in 0..EIGHTH {
        assert!(tell(&mut client));
    }
    assert!(!tell(&mut client));
    while message(&mut server).is_some() {}
    let room = |client: &mut Client| (0..).take_while(|_| tell(client)).count();
    // Or when the server goes to sleep, which knows of no more but has not looked.
    assert!((0..2).all(|_| tell(&mut client)));
    assert!((0..2).all(|_| message(&mut server).is_some()));
    assert!(server.arm().unwrap());
    assert_eq!(room(&mut client), 8 * EIGHTH);
    while message(&mut server).is_some() {}
    // Or when it finds no more: all but what is behind a request that is not answered.
    assert!(tell(&mut client));
    client.submit(Request::new(ECHO, &[0; 64]), SOON).unwrap();
    assert!(tell(&mut client));
    let [_, asked, _] = [(); 3].map(|()| message(&mut server).unwrap());
    assert!(message(&mut server).is_none());
    assert_eq!(room(&mut client), 8 * EIGHTH - 2);
    drop(asked);
}

#[test]
fn room_that_a_dead_server_has_not_given_is_given_by_its_successor() {
    let at = Scratch::new();
    let options = ClientOptions::new()
        .directory(at.path())
        .capacity(4096, 4096);
    let mut before = bind(&at, "svc");
    let mut client = let_in(&mut before, || options.connect("svc", SOON));
    let tell = |client: &mut Client| client.notify(Request::new(ECHO, &[0; 64])).unwrap();
    while tell(&mut client) {}
    message(&mut before).unwrap();
    assert!(!tell(&mut client), "it has more to do first");
    die(before);
    let mut after = bind(&at, "svc");
    assert!(tell(&mut client) && !tell(&mut client));
    let mut left = 0;
    while message(&mut after).is_some() {
        left += 1;
    }
    assert_eq!(left, 4096 / 128, "all but one, and the last one");
}

#[test]
fn a_large_payload_is_used_again_when_its_record_is_freed_or_says_that_it_is_over() {
    let at = Scratch::new();
    let options = ClientOptions::new().directory(at.path());
    let mut server = bind(&at, "svc");
    let mut client = let_in(&mut server, || options.connect("svc", SOON));
    let mut ask = |client: &mut Client, len| {
        let id = client.submit(Request::new(ECHO, &vec![1; len]), SOON);
        (id.unwrap(), request(&mut server))
    };
    // A record before it keeps it from being freed.
    let (_, first) = ask(&mut client, 1);
    let (id, large) = ask(&mut client, 100_000);
    large.reply("").unwrap();
    assert_eq!(client.next_reply(SOON).unwrap().unwrap().id(), id);
    let number = |client: &mut Client| {
        client
            .lease(ECHO, 100_000, SOON)
            .unwrap()
            .segment()
            .number()
    };
    assert_eq!(number(&mut client), 0, "it is marked as answered");
    let (_, large) = ask(&mut client, 100_000);
    first.reply("").unwrap();
    large.reply("").unwrap();
    for _ in 0..2 {
        assert!(client.next_reply(SOON).unwrap().is_some());
    }
    assert_eq!(number(&mut client), 0, "it is freed");
}
