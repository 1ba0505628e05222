//! A client and servers of which each is killed between any two stores, at random, against an oracle.
//!
//! All are real ones in one thread, which does a step of the client's, or one of the server's, at random. A server is
//! killed within a step: what it stores in the rings' words from then on comes to nothing ([`kill_after`]). Then it is
//! dropped as in a panic, which tells nobody, and sooner or later another one takes its place. The client may go on
//! meanwhile. Nothing may be lost, torn, answered twice, run after it was cancelled, or called corrupt.
//!
//! Not covered: a death while bytes are written that are not published, or between stores elsewhere than to the rings'
//! words (to the session's status, the control lines of large payloads, the directory), which the dead still make; the
//! death of a client; and, since there is one thread, the orders in which stores become visible, and steps of one side
//! within a step of the other (for the rings, see `tests/models`).

mod asking;
mod oracle;
mod pokes;

use std::sync::atomic::Ordering;
use std::time::Duration;

use self::oracle::{Oracle, Seen, Steps, answer};
use crate::client::missed::*;
use crate::client::{Client, ClientOptions};
use crate::directory::testing::Scratch;
use crate::ring::memory::RingMemory;
use crate::ring::raw::{RawConsumer, RawProducer};
use crate::ring::{Random, kill_after};
use crate::server::{Event, Incoming, ReplyBatch, Server, ServerOptions};

const SEEDS: u64 = 40;
const STEPS: usize = 4000;
/// After so many, it is decided anew how much is sent and how many are killed.
const PHASE: usize = 64;
/// A step in which a server is killed makes fewer stores.
const STORES: usize = 10;
/// What is longer goes past the rings.
const LARGE: usize = 1024;
/// More looks than it takes to do all that is left.
const PATIENCE: usize = 100_000;

/// A server that gives no request up, however many die, and lets none wait.
fn serve(at: &Scratch) -> Server {
    let options = ServerOptions::new().directory(at.path());
    let options = options.max_deaths(u32::MAX).trial(Duration::ZERO);
    options.bind("svc").unwrap()
}

/// Numbers for a seed; those of small ones would begin alike.
fn random(seed: u64) -> Random {
    Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// One of these.
fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}

struct Run<'a> {
    at: &'a Scratch,
    random: Random,
    client: Client,
    server: Option<Server>,
    /// What the server has in hand, by number.
    held: Vec<(u64, Incoming)>,
    /// Answers that may not be shown yet.
    batch: ReplyBatch,
    oracle: Oracle,
    steps: Steps,
    /// The most that is asked at a time.
    most: usize,
    /// One payload in so many is large.
    large: usize,
    /// A server is killed in one of so many steps.
    deadly: usize,
}

/// Has an idle session go on shortly before its indices wrap.
fn age(client: &mut Client, random: &mut Random) {
    let link = client.link(0).unwrap();
    let (requests, replies) = (&link.memory.requests, &link.memory.replies);
    let mut set = |ring: &RingMemory, back: &RingMemory| {
        let left = 8192 * (1 + random.below(4)) + 64 * random.below(64);
        let start = (left as u64).wrapping_neg();
        let control = ring.control();
        for word in [&control.tail, &control.head, &control.done] {
            word.store(start, Ordering::Relaxed);
        }
        back.control().ack.store(start, Ordering::Relaxed);
    };
    set(requests, replies);
    set(replies, requests);
    link.requests = RawProducer::resume(requests.clone()).unwrap();
    let accept = link.geometry.replies_of(link.generation);
    link.replies = RawConsumer::resume(replies.clone(), accept).unwrap();
}

impl Run<'_> {
    fn new(at: &Scratch, seed: u64) -> Run<'_> {
        let mut random = random(seed);
        let mut server = serve(at);
        let options = ClientOptions::new().directory(at.path());
        let options = options.capacity(4096, pick(&mut random, &[4096, 8192]));
        let mut client = let_in(&mut server, || options.connect("svc", SOON));
        if random.below(2) == 0 {
            die(server);
            age(&mut client, &mut random);
            server = serve(at);
        }
        Run {
            at,
            random,
            client,
            server: Some(server),
            held: Vec::new(),
            batch: ReplyBatch::new(),
            oracle: Oracle::default(),
            steps: Steps::new(seed),
            most: 1,
            large: 1,
            deadly: 1,
        }
    }

    fn begin_phase(&mut self) {
        self.most = pick(&mut self.random, &[1, 1, 2, 3, usize::MAX]);
        self.large = pick(&mut self.random, &[2, 4, 50]);
        self.deadly = pick(&mut self.random, &[6, 12, 40]);
    }

    fn len(&mut self) -> usize {
        match self.random.below(self.large) {
            0 => 36_000 + self.random.below(4000),
            _ => {
                let most = pick(&mut self.random, &[100, 100, 900]);
                16 + self.random.below(most)
            }
        }
    }

    fn step_of_server(&mut self) {
        let how = self.random.below(20);
        let after = match self.random.below(self.deadly) {
            0 => {
                // Most steps make few.
                let most = 1 + self.random.below(STORES);
                self.random.below(most) as u64
            }
            _ => u64::MAX,
        };
        let killed = match &mut self.server {
            None if how < 8 => {
                self.steps.note("bind".to_owned());
                let (server, killed) = kill_after(after, || serve(self.at));
                self.server = Some(server);
                killed
            }
            None => false,
            Some(server) if how < 3 => kill_after(after, || server.arm().unwrap()).1,
            Some(_) if how < 12 || self.held.is_empty() => self.serve_next(after),
            Some(_) => self.attend(how, after),
        };
        if killed {
            self.steps.note("killed".to_owned());
            self.oracle.seen.deaths += 1;
            die(self.server.take().unwrap());
            self.held.clear();
        }
    }

    fn serve_next(&mut self, after: u64) -> bool {
        let Some(server) = &mut self.server else {
            return false;
        };
        let ((event, bytes), killed) = kill_after(after, || {
            let mut event = server.try_next().unwrap();
            // In the same step, since it stores something too.
            let bytes = match &mut event {
                Some(Event::Request(asked)) => asked.take_payload().into_vec(),
                Some(Event::Notify(told)) => told.payload().as_slice().unwrap().to_vec(),
                _ => Vec::new(),
            };
            (event, bytes)
        });
        match event {
            Some(Event::Request(asked)) => {
                let number = self.oracle.runs(&bytes, killed);
                self.steps.note(format!("run {number}"));
                self.held.push((number, asked));
            }
            Some(Event::Notify(_)) => {
                let number = self.oracle.hears(&bytes, killed);
                self.steps.note(format!("hear {number}"));
            }
            None | Some(Event::Connected(_)) => {}
            other => panic!("{other:?}"),
        }
        killed
    }

    /// Does something with what is in hand.
    fn attend(&mut self, how: usize, after: u64) -> bool {
        if how == 15 && self.random.below(3) == 0 {
            self.steps.note("show".to_owned());
            return kill_after(after, || self.batch.publish()).1;
        }
        let first = pick(&mut self.random, &[1, 1, self.held.len()]);
        let index = self.random.below(first);
        if how == 12 {
            let (number, incoming) = &self.held[index];
            self.steps.note(format!("interim answer to {number}"));
            return kill_after(after, || incoming.started().unwrap()).1;
        }
        let (number, incoming) = self.held.remove(index);
        if how == 13 && self.random.below(6) == 0 {
            self.steps.note(format!("drop {number}"));
            self.oracle.drops(number);
            return kill_after(after, || drop(incoming)).1;
        }
        let bytes = answer(number, self.len());
        let len = bytes.len();
        self.steps.note(format!("answer {number}, {len} bytes"));
        if how > 16 {
            self.steps.note("to be shown with others".to_owned());
            let batch = &mut self.batch;
            return kill_after(after, || incoming.reply_in(batch, &bytes).unwrap()).1;
        }
        let reply = || kill_after(after, || incoming.reply(&bytes).unwrap()).1;
        match how {
            14 => std::thread::scope(|scope| scope.spawn(reply).join().unwrap()),
            _ => reply(),
        }
    }

    fn step(&mut self) {
        match self.random.below(2) {
            0 => self.step_of_client(),
            _ => self.step_of_server(),
        }
        let memory = &self.client.link(0).unwrap().memory;
        for ring in [&memory.requests, &memory.replies] {
            let tail = ring.control().tail.load(Ordering::Relaxed);
            self.oracle.seen.rewound += usize::from(tail % 2 == 1);
        }
    }

    /// Does all that is left, without deaths.
    fn end(&mut self) {
        self.deadly = usize::MAX;
        let done = (0..PATIENCE).any(|_| {
            self.step_of_server();
            self.take();
            self.oracle.is_done()
        });
        let (ids, told) = (self.oracle.open(), &self.oracle.told);
        assert!(done, "lost: requests {ids:?}, one-way messages {told:?}");
    }
}

#[test]
fn servers_killed_between_any_two_stores_lose_nothing_and_repeat_nothing() {
    let mut seen = Seen::default();
    for seed in 1..=SEEDS {
        let at = Scratch::new();
        let mut run = Run::new(&at, seed);
        for step in 0..STEPS {
            if step % PHASE == 0 {
                run.begin_phase();
            }
            run.step();
        }
        run.end();
        seen.add(&run.oracle.seen);
    }
    let enough = seen.deaths > 500 && seen.redelivered > 500 && seen.large_after_answer > 20;
    assert!(enough && seen.rewound > STEPS, "{seen:?}");
}
