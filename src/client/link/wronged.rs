//! Servers that die between two stores, and servers that write what no correct one does.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::client::ClientOptions;
use crate::client::missed::*;
use crate::client::{Request, RequestId};
use crate::directory::testing::Scratch;
use crate::request::{ReplyForm, ReplyHeader, Status};
use crate::ring::raw::RawProducer;
use crate::ring::record::{Header, record_len};
use crate::server::{Event, Incoming, Server};
use crate::session::layout::{REPLY_RECORD, Status as SessionStatus};

/// The next request that a server is given.
fn request(server: &mut Server) -> Incoming {
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
        .map(|_| client.lease(ECHO, 100_000, SOON).unwrap().segment.number())
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
        let ended = client.check_link(0);
        over.store(true, Ordering::Relaxed);
        assert!(matches!(ended, Err(Error::Closed { .. })), "{ended:?}");
    });
    assert!(client.stash.len() as u64 <= most, "{}", client.stash.len());
}
