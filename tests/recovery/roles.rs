//! What the other processes of these tests do.

use std::time::Duration;

use osps_ipc::{Client, ClientOptions, Event, Incoming, Request, Server};

use super::{ECHO, SOON, client, echo, server};
use crate::common::{self, Helper, tell, wait_for_end};

/// Starts this test binary in a role.
pub(crate) fn start(role: &str, at: &osps_ipc::Directory) -> Helper {
    Helper::start("roles::helper", role, at.path())
}

#[test]
fn helper() {
    let Some((role, at)) = common::role() else {
        return;
    };
    let at = at.path();
    let (role, number) = match role.rsplit_once(" ") {
        Some((first, last)) if last.parse::<usize>().is_ok() => (first, last),
        _ => (&role[..], "0"),
    };
    let number: usize = number.parse().unwrap();
    match role {
        "echo" => {
            let mut server = server(at);
            tell("bound");
            loop {
                if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
                    echo(request);
                }
            }
        }
        // Dies of a request that says so; first takes so many.
        "fatal" => {
            let mut server = server(at);
            tell("bound");
            for request in take(&mut server, number) {
                echo_or_die(request);
            }
            loop {
                if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
                    echo_or_die(request);
                }
            }
        }
        // Takes so many, answers none.
        "hold" => {
            let mut server = server(at);
            tell("bound");
            let held = take(&mut server, number);
            for request in &held {
                tell(&format!("{:?}", request.token()));
            }
            wait_for_end();
        }
        // Answers all but the first, so that none is freed.
        "all but the first" => {
            let mut server = server(at);
            tell("bound");
            let mut held = take(&mut server, number);
            for request in held.drain(1..) {
                echo(request);
            }
            tell("answered");
            wait_for_end();
        }
        // Answers more than the client's ring holds.
        "overflow" => {
            let mut server = server(at);
            tell("bound");
            let mut taken = 0;
            while taken < number {
                match server.next_timeout(Duration::from_millis(100)).unwrap() {
                    Some(Event::Request(request)) => {
                        taken += 1;
                        echo(request);
                    }
                    Some(_) => {}
                    // The outbox is full: nothing more is taken.
                    None if taken > 0 => break,
                    None => {}
                }
            }
            tell("overflowing");
            wait_for_end();
        }
        "clients" => {
            let clients: Vec<Client> = (0..number).map(|_| client(at)).collect();
            tell("connected");
            wait_for_end();
            drop(clients);
        }
        "leavers" => super::crowd::come_and_leave(at, number),
        "askers" => {
            let clients = super::crowd::ask_and_wait(at, number);
            tell("asked");
            wait_for_end();
            drop(clients);
        }
        "caller" => {
            let mut client = client(at);
            tell("connected");
            for n in 0..number {
                let sent = n.to_le_bytes();
                let reply = client.call(Request::new(ECHO, &sent), SOON).unwrap();
                assert_eq!(reply.into_answer().unwrap().into_vec(), sent);
            }
            tell("done");
        }
        "teller" => {
            let mut client = ClientOptions::new()
                .directory(at)
                .connect("svc", SOON)
                .unwrap();
            for n in 0..number {
                assert!(client.notify(Request::new(ECHO, &n.to_le_bytes())).unwrap());
            }
        }
        // Its own descriptors and mappings can only be counted in a process of its own.
        "landlord" => super::crowd::receive(at, number),
        "landlord of idlers" => super::idle::serve_idlers(at, number),
        other => panic!("no role {other:?}"),
    }
}

fn echo_or_die(request: Incoming) {
    if request.payload().as_slice() == Some(b"die") {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
    }
    echo(request);
}

fn take(server: &mut Server, number: usize) -> Vec<Incoming> {
    let mut held = Vec::new();
    while held.len() < number {
        if let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() {
            held.push(request);
        }
    }
    held
}
