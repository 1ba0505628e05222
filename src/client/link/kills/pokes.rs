//! A peer that writes anything to the shared words of a session, at random, between steps of a client and of servers that die.

use std::sync::atomic::Ordering;

use super::oracle::Steps;
use super::{Random, pick, random, serve};
use crate::client::missed::*;
use crate::client::{Client, ClientOptions, Request};
use crate::directory::testing::Scratch;
use crate::error::Result;
use crate::server::{Event, Incoming, Server};

const SEEDS: u64 = 200;
const STEPS: usize = 2000;

/// Writes something that is likely to upset someone to a word of one of the two rings.
fn poke(random: &mut Random, client: &mut Client) -> String {
    let memory = &client.link(0).unwrap().memory;
    let rings = [&memory.requests, &memory.replies];
    let ring = pick(random, &rings);
    let other = pick(random, &rings).control();
    let from = pick(random, &[&other.tail, &other.head, &other.ack, &other.done]);
    let near = from.load(Ordering::Relaxed);
    let lines = 64 * random.below(80) as u64;
    let value = match random.below(8) {
        0 => random.next(),
        1 => near ^ 1,
        2 => near.wrapping_add(lines) | 1,
        3 => near.wrapping_sub(lines),
        4 => near.wrapping_add(4096 * random.below(3) as u64) ^ random.below(8) as u64,
        5 => near & !4095,
        6 => 1,
        _ => near.wrapping_add(8 * random.below(600) as u64),
    };
    let control = ring.control();
    let (word, value) = match random.below(8) {
        0 => (&control.tail, value),
        1 => (&control.head, value),
        2 => (&control.ack, value),
        3 => (&control.done, value),
        4 => (&control.producer_sleep, value),
        5 => (&control.consumer_sleep, value),
        _ => {
            let word = ring.records().word(random.next());
            let flipped = word.load(Ordering::Relaxed) ^ 1 << random.below(64);
            let state = pick(random, &[1, 2, 3, 4, 0x102, 0x202]);
            let value = random.next();
            (word, pick(random, &[value, flipped, state]))
        }
    };
    word.store(value, Ordering::Relaxed);
    format!("poke {value:#x}")
}

/// A client whose calls may fail, and servers of which none may.
struct Wronged<'a> {
    at: &'a Scratch,
    client: Client,
    server: Option<Server>,
    held: Vec<Incoming>,
}

impl Wronged<'_> {
    /// One step; an error if the client has found out.
    fn step(&mut self, random: &mut Random, how: usize) -> Result<()> {
        let bytes = vec![7; 16 + random.below(200)];
        let large = [7; 5000];
        let body = match random.below(50) {
            0 => &large,
            _ => &bytes[..],
        };
        match how {
            0..3 => self
                .client
                .try_submit(Request::new(ECHO, body), SOON)
                .map(drop),
            3 => self.client.notify(Request::new(ECHO, &bytes)).map(drop),
            4..6 => self.client.try_next_reply().map(drop),
            6 => self.client.arm().map(drop),
            _ => {
                self.step_of_server(random, how, body);
                Ok(())
            }
        }
    }

    fn step_of_server(&mut self, random: &mut Random, how: usize, body: &[u8]) {
        let Some(server) = &mut self.server else {
            self.server = Some(serve(self.at));
            return;
        };
        match how {
            7 => drop(server.arm().unwrap()),
            8 if random.below(4) == 0 => {
                die(self.server.take().unwrap());
                self.held.clear();
            }
            _ => {
                if let Some(Event::Request(request)) = server.try_next().unwrap() {
                    self.held.push(request);
                }
                if !self.held.is_empty() && random.below(2) == 0 {
                    // It may be told that its session is over.
                    let _ = match random.below(5) {
                        0 => self.held[0].started(),
                        _ => self.held.remove(0).reply(body),
                    };
                }
            }
        }
    }
}

#[test]
fn whatever_a_peer_writes_nobody_panics_and_no_server_fails() {
    for seed in 1..=SEEDS {
        let mut random = random(seed);
        let mut steps = Steps::new(seed);
        let at = Scratch::new();
        let options = ClientOptions::new().directory(at.path());
        let mut server = serve(&at);
        let client = let_in(&mut server, || {
            options.capacity(4096, 4096).connect("svc", SOON)
        });
        let mut wronged = Wronged {
            at: &at,
            client,
            server: Some(server),
            held: Vec::new(),
        };
        let often = pick(&mut random, &[8, 30, 100]);
        for _ in 0..STEPS {
            if random.below(often) == 0 {
                steps.note(poke(&mut random, &mut wronged.client));
            }
            let how = random.below(12);
            steps.note(format!("step {how}"));
            if wronged.step(&mut random, how).is_err() || wronged.client.link(0).is_err() {
                break;
            }
        }
    }
}
