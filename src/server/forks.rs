//! What a forked child can do with what it inherits: nothing, to nobody's harm.

use std::time::Duration;

use super::*;
use crate::client::{Client, ClientOptions, Request};
use crate::directory::testing::Scratch;
use crate::request::RequestKind;
use crate::session::Payload;
use crate::session::wait::Wait;
use crate::sys::fork::{fork_for_test, wait_for_test};
use crate::sys::testing::alone;

const ECHO: RequestKind = RequestKind::new("echo");
const SOON: Duration = Duration::from_secs(20);

fn pair(at: &Directory) -> (Server, Client) {
    hazards::pair(at, Wait::default(), ClientOptions::new())
}

fn request(server: &mut Server) -> Incoming {
    match server.next_timeout(SOON).unwrap() {
        Some(Event::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn is_forked<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Forked { .. }))
}

/// The child's result is the number of the check that failed.
fn first_failed(checks: &[bool]) -> i32 {
    let failed = checks.iter().position(|passed| !passed);
    failed.map_or(0, |index| 1 + i32::try_from(index).unwrap())
}

#[test]
fn a_forked_child_gets_typed_errors_and_its_parents_sessions_go_on() {
    alone!(
        "a_forked_child_gets_typed_errors_and_its_parents_sessions_go_on",
        || {
            for past_the_handlers in [false, true] {
                let at = Scratch::new();
                let (mut server, mut client) = pair(&at);
                let large = vec![7; 100_000];
                for body in [&large[..], b"first", b"second"] {
                    client.submit(Request::new(ECHO, body), SOON).unwrap();
                }
                let first = request(&mut server);
                first.reply(&large).unwrap();
                let held: Payload = client
                    .next_reply(SOON)
                    .unwrap()
                    .unwrap()
                    .into_answer()
                    .unwrap();
                let mut lease = client.lease(ECHO, 100_000, SOON).unwrap();
                let mut incoming = Some(request(&mut server));
                let reply_lease = incoming.as_ref().unwrap().lease(100_000).unwrap();
                let mut server = Some(server);
                let mut client = Some(client);
                let mut held = Some(held);
                let child = fork_for_test(past_the_handlers, || {
                    let (Some(mut theirs), Some(mut our)) = (server.take(), client.take()) else {
                        return 100;
                    };
                    let incoming = incoming.take().unwrap();
                    theirs.drain(SOON);
                    let checks = [
                        is_forked(our.call(Request::new(ECHO, ""), SOON)),
                        is_forked(our.submit(Request::new(ECHO, ""), SOON)),
                        is_forked(our.notify(Request::new(ECHO, ""))),
                        is_forked(our.next_reply(SOON)),
                        is_forked(our.arm()),
                        is_forked(our.lease(ECHO, 1, SOON)),
                        is_forked(lease.write_at(0, b"x")),
                        is_forked(theirs.next_timeout(SOON)),
                        is_forked(theirs.arm()),
                        is_forked(incoming.lease(1)),
                        is_forked(incoming.started()),
                        is_forked(incoming.reply("from the child")),
                    ];
                    // By hand, as the child ends without it.
                    drop((held.take(), our, theirs));
                    first_failed(&checks)
                });
                assert_eq!(wait_for_test(child), 0);
                let (mut server, mut client) = (server.unwrap(), client.unwrap());
                let held = held.unwrap();
                // The child gave nothing back: the answer's memory is not used for another.
                let again = incoming.take().unwrap();
                again.reply(reply_lease).unwrap();
                assert!(held.into_vec() == large);
                let reply = client.next_reply(SOON).unwrap().unwrap();
                assert_eq!(reply.payload().len(), 100_000);
                request(&mut server).reply("second").unwrap();
                let reply = client.next_reply(SOON).unwrap().unwrap();
                assert_eq!(reply.into_answer().unwrap().into_vec(), b"second");
                drop(client);
                let event = server.next_timeout(SOON).unwrap();
                assert!(
                    matches!(event, Some(Event::Disconnected(_, End::Left))),
                    "{event:?}"
                );
            }
        }
    );
}

/// The descriptors and mappings that this process has of what lies in the directory.
fn held_of(at: &Directory) -> usize {
    let inside = at.path().join("svc");
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps
        .lines()
        .filter(|line| line.contains(inside.to_str().unwrap()));
    links.filter(|link| link.starts_with(&inside)).count() + maps.count()
}

#[test]
fn a_forked_child_that_drops_what_it_inherited_keeps_nothing_of_it() {
    alone!(
        "a_forked_child_that_drops_what_it_inherited_keeps_nothing_of_it",
        || {
            for past_the_handlers in [false, true] {
                let at = Scratch::new();
                let (server, mut client) = pair(&at);
                client.submit(Request::new(ECHO, "held"), SOON).unwrap();
                let (mut server, mut client) = (Some(server), Some(client));
                let mut incoming = Some(request(server.as_mut().unwrap()));
                assert!(held_of(&at) > 4);
                let child = fork_for_test(past_the_handlers, || {
                    drop((incoming.take(), server.take(), client.take()));
                    i32::try_from(held_of(&at)).unwrap()
                });
                assert_eq!(wait_for_test(child), 0);
            }
        }
    );
}
