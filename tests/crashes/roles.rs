//! What victims do.

use std::path::Path;

use osps_ipc::restart::EXIT_ALREADY_RUNNING;
use osps_ipc::{Error, Event, Request, Wait};

use crate::common::{self, SOON};
use crate::hosts::{ECHO, FAR, HELD, LARGE, MOVED, bind, bytes, call, connect, handle, try_bind};
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
        "client that waits" => {
            let mut client = connect(at, "svc");
            client.submit(Request::new(HELD, "dead"), SOON).unwrap();
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
    lease.write_at(0, &sent).unwrap();
    let reply = client.call(Request::new(ECHO, lease), SOON).unwrap();
    assert!(reply.into_answer().unwrap().into_vec() == sent);
    phase(5);
    call(&mut client, FAR, 17).unwrap();
    phase(6);
    call(&mut client, MOVED, 2).unwrap();
    phase(7);
    for _ in 0..3 {
        client.submit(Request::new(ECHO, "some"), SOON).unwrap();
    }
    client.notify(Request::new(ECHO, "told")).unwrap();
    let id = client.submit(Request::new(ECHO, "some"), SOON).unwrap();
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
