//! Servers that are killed between two stores while they take one-way messages: none is handed out twice, and none is lost but
//! what was in hand.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use osps_ipc::{ClientOptions, Event, Request, Wait};

use crate::common::{SOON, Scratch};
use crate::hosts::{Asked, ECHO, Holdings, QUIT, bind, bytes, handle};
use crate::roles::SMALL;
use crate::steps::{DONE, HEAD, REQUESTS, has_changed, segment};
use crate::table::{Deed, Tries, tour, turn};
use crate::victim::Victim;

/// The lengths of the messages in their order, and whether each wants an answer. An eighth of the ring, where room is given back,
/// ends before the first that does.
pub(crate) const ALL: [(usize, bool); 10] = [
    (1, false),
    (2, false),
    (3, false),
    (4, false),
    (5, false),
    (6, true),
    (7, false),
    (8, true),
    (9, false),
    (10, false),
];
/// Where the tail stands when all are sent, two lines each.
pub(crate) const ALL_SENT: u64 = ALL.len() as u64 * 128;

/// Serves until it is told to stop; the lengths of the one-way messages.
fn follow(at: &Path) -> Vec<usize> {
    let mut server = bind(at, "far", Wait::Park);
    let end = Instant::now() + SOON;
    let mut told = Vec::new();
    while Instant::now() < end {
        let Some(event) = server.next_timeout(Duration::from_millis(5)).unwrap() else {
            continue;
        };
        if let Event::Notify(message) = &event {
            told.push(usize::try_from(message.payload().len()).unwrap());
        }
        if handle("far", event) {
            return told;
        }
    }
    panic!("nobody has told it to stop")
}

#[test]
fn a_server_killed_after_any_store_hands_no_one_way_message_out_twice() {
    let _turn = turn();
    let place = Scratch::new();
    let at = place.path();
    let before = Holdings::of(at);
    let role = "server steps told";
    tour(role, Deed::Kill, Tries::few(6), &["told"], |to| {
        thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let options = ClientOptions::new().directory(at).wait(Wait::Park);
                let options = options.capacity(SMALL, SMALL);
                let mut client = options.connect("far", SOON).unwrap();
                let mut asked = Asked::default();
                for (len, wants_answer) in ALL {
                    if wants_answer {
                        asked.ask(&mut client, ECHO, len);
                    } else {
                        assert!(client.notify(Request::new(ECHO, bytes(len))).unwrap());
                    }
                }
                asked.take_all(&mut client);
                client
            });
            let mut victim = Victim::start(role, at);
            let mut walk = victim.step_to(to, || segment(at).unwrap());
            let begun = Instant::now();
            let successor = walk.reached.map(|_| {
                victim.kill();
                scope.spawn(|| follow(at))
            });
            if successor.is_none() {
                has_changed(&walk.changed, REQUESTS + HEAD..REQUESTS + HEAD + 8);
                has_changed(&walk.changed, REQUESTS + DONE..REQUESTS + DONE + 8);
                victim.release();
            }
            let mut client = calling.join().unwrap();
            client.call(Request::new(QUIT, bytes(25)), SOON).unwrap();
            walk.recovery = begun.elapsed();
            drop(client);
            let was_killed = successor.is_some();
            let later = successor.map(|follows| follows.join().unwrap());
            if !was_killed {
                assert!(victim.finish().success());
            }
            let mut told: Vec<usize> = victim
                .last_lines()
                .iter()
                .map(|line| line.parse().unwrap())
                .collect();
            told.extend(later.unwrap_or_default());
            let sent = ALL.iter().filter(|(_, wants_answer)| !wants_answer);
            let mut sent: Vec<usize> = sent.map(|(len, _)| *len).collect();
            if was_killed && told.len() < sent.len() {
                // What it had in hand and could not say any more.
                let at = told.iter().zip(&sent).take_while(|(a, b)| a == b).count();
                sent.remove(at);
            }
            assert_eq!(told, sent);
            drop(victim);
            before.await_again(at);
            walk
        })
    });
    assert!(place.names().is_empty(), "{:?}", place.names());
}
