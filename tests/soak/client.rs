//! What a client of the soak does: asks, sometimes takes back, and writes it all down.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use osps_ipc::{Client, ClientOptions, Reply, Request, RequestId, Wait};

use super::history::{Kind, Random, STRAY, Told, payload, sum};
use super::roles::{ECHO, Log, PATIENCE, SERVICE, SUM, line};

/// A client that makes requests and writes them down.
pub(crate) struct Caller {
    number: u64,
    client: Client,
    notes: File,
    log: Log,
    random: Random,
    seq: u64,
    /// The numbers of all requests, so that a second answer shows as that.
    sent: HashMap<RequestId, u64>,
    /// What is not answered.
    open: BTreeMap<u64, RequestId>,
}

impl Caller {
    pub(crate) fn enter(number: u64, runtime: &Path, notes: File, log: Log) -> Caller {
        let wait = [Wait::Adaptive, Wait::Park][usize::from(number % 2 == 1)];
        let options = ClientOptions::new().directory(runtime).wait(wait);
        Caller {
            number,
            client: options.connect(SERVICE, PATIENCE).unwrap(),
            notes,
            log,
            random: Random::new(number),
            seq: 0,
            sent: HashMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// How many requests it has made.
    pub(crate) fn made(&self) -> u64 {
        self.seq
    }

    /// Until the next requests, so that others have time.
    pub(crate) fn pause(&mut self) -> Duration {
        Duration::from_micros(self.random.below(2000))
    }

    fn tell(&mut self, told: &Told) {
        line(&mut self.notes, told);
    }

    /// Makes a few requests at once, and fetches answers; now and then takes a request back.
    pub(crate) fn act(&mut self) {
        for _ in 0..=self.random.below(4) {
            self.ask();
        }
        if self.random.below(50) == 0
            && let Some((seq, id)) = self.open.pop_last()
        {
            self.client.cancel(id).unwrap();
            self.tell(&Told::Cancelled { seq });
        }
        let most = self.random.below(12);
        while self.open.len() as u64 > most && self.fetch(PATIENCE) {}
    }

    fn ask(&mut self) {
        let seq = self.seq;
        self.seq += 1;
        let kind = match self.random.below(2) {
            0 => Kind::Sum,
            _ => Kind::Echo,
        };
        let len = match self.random.below(20) {
            0 => self.random.below(200_000),
            1..4 => self.random.below(10_000),
            _ => self.random.below(300),
        };
        self.tell(&Told::Ask { seq, kind, len });
        let bytes = payload(self.number, seq, len);
        let name = match kind {
            Kind::Sum => SUM,
            Kind::Echo => ECHO,
        };
        match self.client.submit(Request::new(name, &bytes), PATIENCE) {
            Ok(id) => {
                self.sent.insert(id, seq);
                self.open.insert(seq, id);
                self.tell(&Told::Sent { seq });
            }
            Err(error) => {
                self.log.say(&error);
                self.tell(&Told::Error { seq });
            }
        }
    }

    /// Whether an answer came.
    fn fetch(&mut self, timeout: Duration) -> bool {
        match self.client.next_reply(timeout) {
            Ok(Some(reply)) => {
                self.note(&reply);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.log.say(&error);
                false
            }
        }
    }

    fn note(&mut self, reply: &Reply) {
        if !reply.status().is_final() {
            return;
        }
        let seq = self.sent.get(&reply.id()).copied().unwrap_or(STRAY);
        self.open.remove(&seq);
        let mut bytes = vec![0; usize::try_from(reply.payload().len()).unwrap()];
        reply.payload().read_at(0, &mut bytes).unwrap();
        self.tell(&Told::Got {
            seq,
            status: reply.status().number(),
            sum: sum(&bytes),
        });
    }

    pub(crate) fn leave(mut self) {
        while self.client.outstanding() > 0 && self.fetch(PATIENCE) {}
        // What comes after the last answer would be a second one.
        while self.fetch(Duration::ZERO) {}
        let open = self.open.len() as u64;
        let unwanted = self.client.unwanted();
        self.tell(&Told::Left { open, unwanted });
    }
}
