//! Large answers over a crash of the server that made them ready.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::common::Scratch;

/// Answers to so many requests do not fit into a ring of replies of 4 KiB.
const ASKED: usize = 40;

/// Segments of replies in the one session.
fn segments(at: &Path) -> usize {
    let session = fs::read_dir(at.join("svc/s")).unwrap().next().unwrap();
    let files = fs::read_dir(session.unwrap().path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('r')).count()
}

/// An answer that is too large for the ring.
fn answer(mut request: Incoming) {
    let byte = request.take_payload().into_vec()[0];
    request.reply(&vec![byte; 5000]).unwrap();
}

#[test]
fn segments_of_answers_that_were_never_sent_are_used_again_by_the_next_server() {
    let place = Scratch::new();
    let at = place.path();
    let mut before = server(at);
    let mut client = std::thread::scope(|scope| {
        let options = ClientOptions::new().directory(at).capacity(64 << 10, 4096);
        let connecting = scope.spawn(move || options.connect("svc", SOON).unwrap());
        until(&mut before, |event| matches!(event, Event::Connected(_)));
        connecting.join().unwrap()
    });
    let mut asked: BTreeMap<_, u8> = (1..)
        .take(ASKED)
        .map(|byte| {
            let id = client.submit(Request::new(ECHO, &[byte]), SOON).unwrap();
            (id, byte)
        })
        .collect();
    let in_hand: Vec<Incoming> = (0..ASKED)
        .map(|_| {
            let next = until(&mut before, |event| matches!(event, Event::Request(_)));
            match next {
                Event::Request(request) => request,
                _ => unreachable!(),
            }
        })
        .collect();
    in_hand.into_iter().for_each(answer);
    assert_eq!(segments(at), ASKED);
    let died = catch_unwind(AssertUnwindSafe(|| {
        let _dropped_in_a_panic = before;
        resume_unwind(Box::new("a crash"));
    }));
    assert!(died.is_err());

    let mut after = server(at);
    let mut redelivered = 0;
    // Kept, so that nothing is free but what was never sent.
    let mut kept = Vec::new();
    let end = Instant::now() + SOON;
    while !asked.is_empty() {
        assert!(Instant::now() < end, "{} are not answered", asked.len());
        if let Some(Event::Request(request)) = after.try_next().unwrap() {
            assert!(request.is_redelivered());
            redelivered += 1;
            answer(request);
        }
        if let Some(reply) = client.try_next_reply().unwrap() {
            let byte = asked.remove(&reply.id()).expect("answered once");
            let payload = reply.into_answer().unwrap();
            let mut bytes = vec![0; 5000];
            payload.read_at(0, &mut bytes).unwrap();
            assert_eq!(bytes, [byte; 5000]);
            kept.push(payload);
        }
    }
    assert!(redelivered > 0, "all answers were sent");
    assert_eq!(
        segments(at),
        ASKED,
        "of which {redelivered} were used again"
    );
    assert_eq!(kept.len(), ASKED);
}
