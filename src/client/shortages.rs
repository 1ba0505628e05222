//! Clients and servers that are short of descriptors while a session comes about.

use std::fs::{self, File};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::missed::{SOON, bind, die, full};
use super::*;
use crate::directory::testing::Scratch;
use crate::sys::testing::alone;

const FEW: Duration = Duration::from_millis(20);
/// More than a connect takes.
const ENOUGH: usize = 16;

/// Lets this process, which is a test's own, have so many descriptors.
fn limit(most: u64) {
    let most = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

/// Takes all descriptors that there are but some.
fn take_all_but(left: usize) -> Vec<File> {
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len().saturating_sub(left));
    taken
}

/// What stands in the service's directories of sessions that are on their way.
fn on_their_way(at: &Scratch) -> usize {
    ["new", "tmp"]
        .map(|part| {
            fs::read_dir(at.path().join("svc").join(part))
                .unwrap()
                .count()
        })
        .iter()
        .sum()
}

#[test]
fn a_connect_without_descriptors_leaves_nothing_where_nobody_serves() {
    alone!(
        "a_connect_without_descriptors_leaves_nothing_where_nobody_serves",
        || {
            limit(64);
            let at = Scratch::new();
            die(bind(&at, "svc"));
            let options = || ClientOptions::new().directory(at.path());
            let mut failed = 0;
            for left in 0..ENOUGH {
                let taken = take_all_but(left);
                let error = options().connect("svc", FEW).unwrap_err();
                drop(taken);
                failed += usize::from(error.is_shortage());
                assert_eq!(on_their_way(&at), 0, "{left} left: {error}");
            }
            assert!((5..ENOUGH).contains(&failed), "{failed}");
        }
    );
}

#[test]
fn a_connect_that_runs_out_of_descriptors_when_it_has_published_leaves_nothing() {
    alone!(
        "a_connect_that_runs_out_of_descriptors_when_it_has_published_leaves_nothing",
        || {
            limit(64);
            let at = Scratch::new();
            die(bind(&at, "svc"));
            let runtime = Directory::open(at.path()).unwrap();
            let name = Name::new("svc").unwrap();
            for left in 0..ENOUGH {
                let mut taken = Vec::new();
                let failed = ClientOptions::new()
                    .link(&runtime, &name, None, Deadline::after(FEW), |published| {
                        taken = take_all_but(left);
                        Ok((published.open_up()?, ()))
                    })
                    .unwrap_err();
                drop(taken);
                let is_short = failed.is_shortage() || left >= 2;
                assert!(is_short, "{left} left: {failed}");
                assert_eq!(on_their_way(&at), 0, "{left} left: {failed}");
            }
        }
    );
}

#[test]
fn a_full_server_without_descriptors_says_so_when_it_has_them() {
    alone!(
        "a_full_server_without_descriptors_says_so_when_it_has_them",
        || {
            limit(96);
            for left in 0..4 {
                let at = Scratch::new();
                let (mut server, _first) = full(&at);
                let runtime = Directory::open(at.path()).unwrap();
                let name = Name::new("svc").unwrap();
                let (published, is_published) = channel();
                let (looked, is_looked) = channel::<()>();
                std::thread::scope(|scope| {
                    let connecting = scope.spawn(move || {
                        let deadline = Deadline::after(SOON);
                        let options = ClientOptions::new();
                        options.link(&runtime, &name, None, deadline, |session| {
                            published.send(()).unwrap();
                            is_looked.recv().unwrap();
                            Ok((session.open_up()?, ()))
                        })
                    });
                    is_published.recv().unwrap();
                    let taken = take_all_but(left);
                    server.next_timeout(FEW).unwrap();
                    drop(taken);
                    looked.send(()).unwrap();
                    while !connecting.is_finished() {
                        server.next_timeout(FEW).unwrap();
                    }
                    let refused = connecting.join().unwrap().unwrap_err();
                    assert!(
                        matches!(refused, Error::Busy { .. }),
                        "{left} left: {refused}"
                    );
                });
            }
        }
    );
}
