//! Clients that are killed or stopped: nobody else notices, and nothing is left of them.

use std::thread;

use crate::common::Scratch;
use crate::hosts::{Holdings, Host, a_new_client_is_served};
use crate::roles::CLIENT;
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::Victim;

/// Does the deed at every point of a client's life, and lets others come meanwhile.
fn clients(deed: Deed, tries: Tries) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    thread::scope(|scope| {
        let hosts = ["svc", "far"].map(|name| Host::start(scope, at, name));
        a_new_client_is_served(at);
        hosts.iter().for_each(Host::await_nobody);
        let before = Holdings::of(at);
        tour("client", deed, tries, CLIENT, |to| {
            let mut victim = Victim::start("client", at);
            let walk = victim.follow(to);
            match (walk.reached, deed) {
                (Some(_), Deed::Kill) => victim.kill(),
                (Some(point), Deed::Stop) => {
                    victim.hold(point);
                    a_new_client_is_served(at);
                    // It is alive: it goes on where it was, and has all its answers.
                    assert!(victim.finish().success());
                }
                (None, _) => assert!(victim.finish().success()),
            }
            drop(victim);
            a_new_client_is_served(at);
            hosts.iter().for_each(Host::await_nobody);
            before.await_again(at);
            walk
        });
        hosts.into_iter().for_each(Host::close);
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_client_killed_at_any_system_call_delays_nobody_and_leaves_nothing() {
    clients(Deed::Kill, Tries::few(40));
}

#[test]
fn a_client_stopped_at_any_system_call_delays_nobody_and_goes_on() {
    clients(Deed::Stop, Tries::few(20));
}
