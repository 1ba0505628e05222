//! Services that clients are directed to, and that end: whoever waits for something there is told, and what is new goes on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{SOON, Scratch, Serving, shown};
use osps_ipc::{
    Client, ClientOptions, Error, Event, Incoming, Name, Request, RequestKind, Server,
    ServerOptions, Wait, wait_any,
};
use rustix::event::PollFlags;

/// Done by whom the front directs to; all else it does itself.
const WORK: RequestKind = RequestKind::new("work");
const ECHO: RequestKind = RequestKind::new("echo");

fn bind(at: &Path, service: &str) -> Server {
    let options = ServerOptions::new().directory(at);
    options.bind(service).unwrap()
}

/// Answers with its name.
fn echo(at: &Path, service: &'static str) -> Serving {
    Serving::start(bind(at, service), move |event| {
        if let Event::Request(request) = event {
            request.reply(service).unwrap();
        }
    })
}

/// Directs to where `to` says.
fn front(at: &Path, to: &Arc<Mutex<&'static str>>) -> Serving {
    let (to, options) = (Arc::clone(to), ServerOptions::new().directory(at).directs());
    Serving::start(options.bind("front").unwrap(), move |event| match event {
        Event::Question(question) if question.kind() == WORK => {
            let to = Name::new(*to.lock().unwrap()).unwrap();
            question.redirect(&to).unwrap();
        }
        Event::Question(question) => question.here().unwrap(),
        Event::Request(request) => request.reply("front").unwrap(),
        _ => {}
    })
}

/// One that hears all bells in each wait.
fn connect(at: &Path) -> Client {
    let options = ClientOptions::new().directory(at).wait(Wait::Park);
    options.connect("front", SOON).unwrap()
}

fn asked(server: &mut Server) -> Incoming {
    loop {
        if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
            return request;
        }
    }
}

/// A client, the service "first", to which it was directed, and a request of it that this service has in hand.
fn one_begun(at: &Path) -> (Client, Server, Incoming) {
    let mut first = bind(at, "first");
    let mut client = connect(at);
    let (client, begun) = thread::scope(|scope| {
        let asking = scope.spawn(move || {
            client.submit(Request::new(WORK, "begun"), SOON).unwrap();
            client
        });
        let begun = asked(&mut first);
        (asking.join().unwrap(), begun)
    });
    (client, first, begun)
}

fn is_end_of_first(told: &Error) -> bool {
    matches!(told, Error::Closed { service, .. } if service == "first")
}

fn answer(client: &mut Client, text: &str) -> Vec<u8> {
    let reply = client.call(Request::new(WORK, text), SOON).unwrap();
    reply.into_answer().unwrap().into_vec()
}

#[test]
fn a_call_that_goes_elsewhere_leaves_the_end_of_others_to_be_told() {
    let at = Scratch::new();
    let to = Arc::new(Mutex::new("first"));
    let _front = front(at.path(), &to);
    let _second = echo(at.path(), "second");
    let (mut client, first, begun) = one_begun(at.path());
    client
        .submit(Request::new(WORK, "not begun"), SOON)
        .unwrap();
    let calling = thread::spawn(move || {
        let answer = answer(&mut client, "new");
        (client, answer)
    });
    // Long enough that it is sent; else it goes to the second service all the same.
    thread::sleep(Duration::from_millis(20));
    *to.lock().unwrap() = "second";
    drop((first, begun));
    let (mut client, answer) = calling.join().unwrap();
    assert_eq!(answer, b"second");
    let told = client.next_reply(SOON).unwrap_err();
    assert!(is_end_of_first(&told), "{told}");
    assert_eq!(client.outstanding(), 0);
    assert!(client.next_reply(SOON).unwrap().is_none());
}

#[test]
fn what_is_asked_after_the_end_goes_to_the_next_service() {
    for submits in [false, true] {
        let at = Scratch::new();
        let to = Arc::new(Mutex::new("first"));
        let _front = front(at.path(), &to);
        let _second = echo(at.path(), "second");
        let (mut client, first, begun) = one_begun(at.path());
        *to.lock().unwrap() = "second";
        drop((first, begun));
        if submits {
            client.submit(Request::new(WORK, "new"), SOON).unwrap();
            let told = client.next_reply(SOON);
            let again = client.next_reply(SOON);
            let results = [told, again];
            assert!(
                results
                    .iter()
                    .any(|result| result.as_ref().is_err_and(is_end_of_first))
            );
            assert!(results.iter().any(|result| matches!(result, Ok(Some(_)))));
        } else {
            assert_eq!(answer(&mut client, "new"), b"second");
            let told = client.next_reply(SOON).unwrap_err();
            assert!(is_end_of_first(&told), "{told}");
        }
        assert!(client.next_reply(SOON).unwrap().is_none());
    }
}

#[test]
fn an_end_that_was_heard_while_another_was_waited_for_keeps_a_client_awake() {
    let at = Scratch::new();
    let to = Arc::new(Mutex::new("first"));
    let _front = front(at.path(), &to);
    let (mut client, first, begun) = one_begun(at.path());
    assert!(client.try_next_reply().unwrap().is_none());
    assert!(client.arm().unwrap());
    drop((first, begun));
    for _ in 0..100 {
        client.call(Request::new(ECHO, ""), SOON).unwrap();
    }
    let is_armed = client.arm().unwrap();
    assert!(!is_armed || shown(&client, Duration::ZERO) == PollFlags::IN);
    assert!(wait_any(&mut [&mut client], SOON).unwrap());
    let told = client.try_next_reply().unwrap_err();
    assert!(is_end_of_first(&told), "{told}");
}
