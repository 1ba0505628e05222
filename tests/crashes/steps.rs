//! Processes that are killed between two stores into a session's segment.
//!
//! What a process has done between two system calls, others see only by what it has stored in shared memory: a kill
//! after a load, or in arithmetic, leaves the same as one after the store before. So a victim goes in steps of one
//! instruction, the segment is compared after each, and every change is a point. What the instructions are does not
//! matter: it is the real code of push, pop, bell and sleep. Changes by the other side count too, as it runs
//! meanwhile; they are other moments of the same steps. The kernel shows stores in the order of the program, which is
//! what x86 shows to other cores too; other orders are for the models in `tests/models`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use osps_ipc::{ClientOptions, Request, Wait};

use crate::common::{SOON, Scratch};
use crate::hosts::{Asked, ECHO, Holdings, Host, QUIT, bind, bytes, call, connect, until};
use crate::roles::{LONG, SMALL, to_the_wrap};
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::Victim;

/// Where the rings lie in a session's segment: behind its header and the two sides' own lines.
pub(crate) const REQUESTS: usize = 128 + 256;
/// Records come behind four lines for the indices and the sleep words.
const RECORDS: usize = 512;
/// What its producer has freed of the other one.
const ACK: usize = 24;
/// What its consumer has freed, and where a successor of that begins.
pub(crate) const HEAD: usize = 128;
pub(crate) const DONE: usize = 192;
/// The sleep word of the side that puts in, in a ring; of the one that takes out.
const SLEEPS_FOR_ROOM: usize = 256;
const SLEEPS_FOR_RECORDS: usize = 384;

/// The ring for replies.
pub(crate) const fn replies(requests: usize) -> usize {
    REQUESTS + RECORDS + requests
}

/// The only session's segment.
pub(crate) fn segment(at: &Path) -> Option<File> {
    let slot = fs::read_dir(at.join("far/s")).ok()?.next()?.ok()?;
    File::open(slot.path().join("seg")).ok()
}

/// A word of it.
pub(crate) fn word(at: &Path, offset: usize) -> Option<u64> {
    let mut word = [0; 8];
    segment(at)?.read_exact_at(&mut word, offset as u64).ok()?;
    Some(u64::from_ne_bytes(word))
}

/// Whether the side that a sleep word belongs to sleeps.
fn sleeps(at: &Path, offset: usize) -> bool {
    word(at, offset).is_some_and(|word| word & 1 == 1)
}

/// Checks that a victim did what it is there for.
pub(crate) fn has_changed(changed: &BTreeSet<usize>, at: Range<usize>) {
    assert!(
        changed.range(at.clone()).next().is_some(),
        "{at:?}: {changed:?}"
    );
}

/// Checks that a ring was rewound: its tail has passed the end of the memory, though little was put in. And that what is freed of
/// the other one is said there.
fn has_rewound(at: &Path, changed: &BTreeSet<usize>, ring: usize) {
    assert!(word(at, ring) > Some(SMALL as u64));
    has_changed(changed, ring + ACK..ring + ACK + 8);
}

fn has_wrapped(changed: &BTreeSet<usize>, ring: usize) {
    let records = ring + RECORDS;
    has_changed(changed, records..records + 64);
    has_changed(changed, records + SMALL - 128..records + SMALL);
}

fn clients(state: &str, tries: Tries, check: impl Fn(&Path, &BTreeSet<usize>)) {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    let role = format!("client steps {state}");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let server = bind(at, "far", Wait::Park);
        let host = Host::serve(scope, "far", server, || {
            // Until then nothing is answered, and so nothing freed.
            let sleep = match state {
                "first" => replies(SMALL) + SLEEPS_FOR_RECORDS,
                "full" => REQUESTS + SLEEPS_FOR_ROOM,
                _ => return,
            };
            until("the client does not sleep", || {
                is_over.load(Ordering::Relaxed) || sleeps(at, sleep)
            });
            is_over.store(true, Ordering::Relaxed);
        });
        let before = Holdings::of(at);
        tour(&role, Deed::Kill, tries, &[state], |to| {
            is_over.store(false, Ordering::Relaxed);
            let mut victim = Victim::start(&role, at);
            let mut walk = victim.step_to(to, || segment(at).unwrap());
            let begun = Instant::now();
            match walk.reached {
                Some(_) => victim.kill(),
                None => {
                    check(at, &walk.changed);
                    assert!(victim.finish().success());
                }
            }
            drop(victim);
            is_over.store(true, Ordering::Relaxed);
            call(&mut connect(at, "far"), ECHO, 8).unwrap();
            walk.recovery = begun.elapsed();
            host.await_nobody();
            before.await_again(at);
            walk
        });
        host.close();
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_client_killed_after_any_store_of_a_first_call_to_a_sleeping_server_is_the_only_one_to_notice()
{
    clients("first", Tries::few(6), |_, changed| {
        has_changed(changed, REQUESTS..REQUESTS + 8);
        has_changed(
            changed,
            REQUESTS + SLEEPS_FOR_RECORDS..REQUESTS + SLEEPS_FOR_RECORDS + 8,
        );
        let replies = replies(SMALL);
        has_changed(
            changed,
            replies + SLEEPS_FOR_RECORDS..replies + SLEEPS_FOR_RECORDS + 8,
        );
    });
}

#[test]
fn a_client_killed_after_any_store_of_a_call_around_the_end_of_its_rings_is_the_only_one_to_notice()
{
    clients("wrapped", Tries::few(4), |_, changed| {
        has_wrapped(changed, REQUESTS);
        has_wrapped(changed, replies(SMALL));
    });
}

#[test]
fn a_client_killed_after_any_store_of_a_call_that_rewinds_its_rings_is_the_only_one_to_notice() {
    clients("rewound", Tries::few(4), |at, changed| {
        has_rewound(at, changed, REQUESTS);
        has_rewound(at, changed, replies(SMALL));
    });
}

#[test]
fn a_client_killed_after_any_store_as_it_fills_its_ring_is_the_only_one_to_notice() {
    clients("full", Tries::few(4), |_, changed| {
        has_changed(
            changed,
            REQUESTS + SLEEPS_FOR_ROOM..REQUESTS + SLEEPS_FOR_ROOM + 8,
        );
    });
}

fn servers(state: &str, tries: Tries, check: impl Fn(&Path, &BTreeSet<usize>)) {
    // Room for more requests than for their answers.
    let requests = if state == "full" { 4 * SMALL } else { SMALL };
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    let role = format!("server steps {state}");
    let before = Holdings::of(at);
    tour(&role, Deed::Kill, tries, &[state], |to| {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let options = ClientOptions::new().directory(at).wait(Wait::Park);
                let options = options.capacity(requests, SMALL);
                let mut client = options.connect("far", SOON).unwrap();
                match state {
                    "first" => call(&mut client, ECHO, 24).unwrap(),
                    "wrapped" => {
                        let mut asked = to_the_wrap(&mut client, at);
                        asked.ask(&mut client, ECHO, LONG);
                        // Who waits for answers frees those before, and the ring would be rewound.
                        until("no answer goes on at the beginning", || {
                            is_over.load(Ordering::Relaxed)
                                || word(at, replies(requests)) > Some(SMALL as u64)
                        });
                        asked.take_all(&mut client);
                    }
                    "rewound" => {
                        call(&mut client, ECHO, 8).unwrap();
                        call(&mut client, ECHO, LONG).unwrap();
                    }
                    _ => {
                        let mut asked = Asked::default();
                        for _ in 0..8 {
                            asked.ask(&mut client, ECHO, LONG);
                        }
                        // Nothing is taken before the server has no room for answers.
                        until("no answer finds no room", || {
                            is_over.load(Ordering::Relaxed)
                                || sleeps(at, replies(requests) + SLEEPS_FOR_ROOM)
                        });
                        asked.take_all(&mut client);
                    }
                }
                client
            });
            let mut victim = Victim::start(&role, at);
            let mut walk = victim.step_to(to, || segment(at).unwrap());
            let begun = Instant::now();
            let successor = walk.reached.map(|_| {
                victim.kill();
                is_over.store(true, Ordering::Relaxed);
                Host::start(scope, at, "far")
            });
            if successor.is_none() {
                check(at, &walk.changed);
                victim.release();
            }
            let mut client = calling.join().unwrap();
            client.call(Request::new(QUIT, bytes(25)), SOON).unwrap();
            walk.recovery = begun.elapsed();
            assert_eq!(client.outstanding(), 0);
            drop(client);
            match successor {
                Some(successor) => successor.close(),
                None => assert!(victim.finish().success()),
            }
            drop(victim);
            before.await_again(at);
            walk
        })
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_server_killed_after_any_store_of_a_first_answer_to_a_sleeping_client_is_a_delay() {
    servers("first", Tries::few(6), |_, changed| {
        has_changed(changed, REQUESTS + HEAD..REQUESTS + HEAD + 8);
        has_changed(
            changed,
            REQUESTS + SLEEPS_FOR_RECORDS..REQUESTS + SLEEPS_FOR_RECORDS + 8,
        );
        has_changed(changed, replies(SMALL)..replies(SMALL) + 8);
    });
}

#[test]
fn a_server_killed_after_any_store_of_an_answer_around_the_end_of_the_rings_is_a_delay() {
    servers("wrapped", Tries::few(4), |_, changed| {
        has_wrapped(changed, replies(SMALL))
    });
}

#[test]
fn a_server_killed_after_any_store_of_an_answer_in_rings_that_are_rewound_is_a_delay() {
    servers("rewound", Tries::few(4), |at, changed| {
        has_rewound(at, changed, replies(SMALL));
    });
}

#[test]
fn a_server_killed_after_any_store_when_its_answers_find_no_room_is_a_delay() {
    servers("full", Tries::few(4), |_, changed| {
        let replies = replies(4 * SMALL);
        has_changed(
            changed,
            replies + SLEEPS_FOR_ROOM..replies + SLEEPS_FOR_ROOM + 8,
        );
    });
}
