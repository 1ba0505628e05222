//! What victims do.

use std::path::Path;
use std::time::Duration;

use osps_ipc::restart::EXIT_ALREADY_RUNNING;
use osps_ipc::{Client, ClientOptions, Error, Event, Request, Wait};

use crate::common::{self, SOON};
use crate::hosts::{
    Asked, ECHO, FAR, HELD, LARGE, MOVED, bind, bytes, call, connect, handle, try_bind, until,
};
use crate::steps::{REQUESTS, replies, word};
use crate::told::{ALL, ALL_SENT};
use crate::victim::{OVER, await_tracer, phase};

#[test]
fn victim() {
    let Some((role, at)) = common::role() else {
        return;
    };
    let at = at.path();
    await_tracer();
    match &*role {
        "client" => client(at),
        "server" => server(at),
        "server that holds" => hold(at),
        role if role.starts_with("client steps ") => client_steps(at, role),
        role if role.starts_with("server steps ") => server_steps(at, role),
        "client that waits" => {
            let mut client = connect(at, "svc");
            client.submit(Request::new(HELD, bytes(4)), SOON).unwrap();
            common::tell("connected");
            common::wait_for_end();
        }
        other => panic!("no role {other:?}"),
    }
    phase(OVER);
}

pub(crate) const CLIENT: &[&str] = &[
    "connect",
    "call",
    "call by hand-over",
    "call from a lease",
    "question and redirect",
    "redirected call",
    "submit, notify, cancel, replies",
    "leave",
];

fn client(at: &Path) {
    phase(1);
    let mut client = connect(at, "svc");
    phase(2);
    call(&mut client, ECHO, 16).unwrap();
    phase(3);
    call(&mut client, ECHO, LARGE).unwrap();
    phase(4);
    let sent = bytes(LARGE);
    let mut lease = client.lease(ECHO, LARGE as u64, SOON).unwrap();
    lease.write_at(0, sent).unwrap();
    let reply = client.call(Request::new(ECHO, lease), SOON).unwrap();
    assert!(reply.into_answer().unwrap().into_vec() == sent);
    phase(5);
    call(&mut client, FAR, 17).unwrap();
    phase(6);
    call(&mut client, MOVED, 2).unwrap();
    phase(7);
    for _ in 0..3 {
        client.submit(Request::new(ECHO, bytes(4)), SOON).unwrap();
    }
    client.notify(Request::new(ECHO, bytes(4))).unwrap();
    let id = client.submit(Request::new(ECHO, bytes(4)), SOON).unwrap();
    let taken_back = client.cancel(id).unwrap();
    for _ in 0..3 {
        client.next_reply(SOON).unwrap().unwrap();
    }
    assert!(taken_back || client.unwanted() <= 1);
    phase(8);
    drop(client);
}

pub(crate) const SERVER: &[&str] = &["bind", "serve", "close"];

fn server(at: &Path) {
    phase(1);
    let mut server = match try_bind(at, "svc", Wait::Park) {
        Ok(server) => server,
        // Somebody came while it was stopped.
        Err(Error::AlreadyRunning { .. }) => std::process::exit(EXIT_ALREADY_RUNNING),
        Err(error) => panic!("{error}"),
    };
    phase(2);
    loop {
        if let Some(event) = server.next_timeout(SOON).unwrap()
            && handle("svc", event)
        {
            break;
        }
    }
    phase(3);
    drop(server);
}

/// Takes requests of one kind, and never answers them.
fn hold(at: &Path) {
    let mut server = bind(at, "svc", Wait::Park);
    let mut held = Vec::new();
    loop {
        match server.next_timeout(SOON).unwrap() {
            Some(Event::Request(request)) if request.kind() == HELD => held.push(request),
            Some(event) => drop(handle("svc", event)),
            None => {}
        }
    }
}

/// A client with the smallest rings, in one of these states, and what it then does step by step.
fn client_steps(at: &Path, state: &str) {
    // The table is made now.
    let _ = bytes(0);
    let mut client = ClientOptions::new()
        .directory(at)
        .wait(Wait::Park)
        .capacity(SMALL, SMALL)
        .connect("far", SOON)
        .unwrap();
    match state {
        // The server sleeps: it has had nothing else to do.
        "client steps first" => {
            phase(1);
            call(&mut client, ECHO, 24).unwrap();
        }
        "client steps wrapped" => {
            let asked = to_the_wrap(&mut client, at);
            phase(1);
            call(&mut client, ECHO, LONG).unwrap();
            asked.take_all(&mut client);
        }
        "client steps rewound" => {
            call(&mut client, ECHO, 8).unwrap();
            phase(1);
            call(&mut client, ECHO, LONG).unwrap();
        }
        // The server is kept from taking anything until this sleeps for room.
        "client steps full" => {
            common::tell("full");
            for _ in 0..SMALL / (LONG + 64) {
                client
                    .submit(Request::new(ECHO, bytes(LONG)), SOON)
                    .unwrap();
            }
            phase(1);
            for _ in 0..2 {
                client
                    .submit(Request::new(ECHO, bytes(LONG)), SOON)
                    .unwrap();
            }
            while client.outstanding() > 0 {
                client.next_reply(SOON).unwrap().unwrap();
            }
        }
        other => panic!("no state {other:?}"),
    }
    phase(2);
    drop(client);
}

/// A server, and what it then does step by step.
fn server_steps(at: &Path, state: &str) {
    let _ = bytes(0);
    let mut server = bind(at, "far", Wait::Park);
    // So many requests are answered before.
    let before = match state {
        "server steps first" => 0,
        "server steps wrapped" => BEFORE_THE_WRAP,
        "server steps rewound" => 1,
        "server steps full" => 2,
        "server steps told" => 0,
        other => panic!("no state {other:?}"),
    };
    let mut answered = 0;
    let mut next = |answered: &mut u32, timeout| match server.next_timeout(timeout).unwrap() {
        Some(event) => {
            if let Event::Notify(told) = &event {
                common::tell(&told.payload().len().to_string());
            }
            *answered += u32::from(matches!(event, Event::Request(_)));
            handle("far", event)
        }
        None => false,
    };
    let mut connected = false;
    while !connected || answered < before {
        next(&mut answered, SOON);
        connected = true;
    }
    if state == "server steps told" {
        until("not all is sent", || word(at, REQUESTS) == Some(ALL_SENT));
    }
    phase(1);
    match state {
        "server steps told" => {
            for _ in ALL {
                next(&mut answered, SOON);
            }
        }
        // Those that find no room, and those that do when the client has taken some.
        "server steps full" => {
            while answered < 8 {
                next(&mut answered, SOON);
            }
        }
        _ => {
            while answered == before {
                next(&mut answered, SOON);
            }
        }
    }
    // To sleep, and out of it.
    next(&mut answered, Duration::from_millis(100));
    phase(2);
    while !next(&mut answered, SOON) {}
}

/// The capacity of the rings that are stepped through, and a payload of which less than four fit.
pub(crate) const SMALL: usize = 4096;
pub(crate) const LONG: usize = 940;

/// Makes so many requests that the next long record goes on at the ring's beginning, in both directions. No answer is fetched
/// before all are there, and one is not at all, so that the rings are not rewound.
const BEFORE_THE_WRAP: u32 = 4;

pub(crate) fn to_the_wrap(client: &mut Client, at: &Path) -> Asked {
    let mut asked = Asked::default();
    for len in [8, LONG, LONG, LONG] {
        asked.ask(client, ECHO, len);
    }
    until("not all are answered", || {
        word(at, replies(SMALL)) > Some(3 * LONG as u64)
    });
    for _ in 1..BEFORE_THE_WRAP {
        asked.take_one(client);
    }
    asked
}
