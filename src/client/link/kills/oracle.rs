//! What was sent, and what may still come of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::client::Reply;
use crate::request::Status;
use crate::ring::Random;

/// In the number of an answer's content, beside that of the request's.
const ANSWER: u64 = 1 << 63;
/// So many of the last steps are told where a test fails.
const LAST: usize = 40;

/// What was done last, told if the test fails.
pub(super) struct Steps {
    seed: u64,
    last: VecDeque<String>,
}

impl Steps {
    pub(super) fn new(seed: u64) -> Steps {
        let last = VecDeque::new();
        Steps { seed, last }
    }

    pub(super) fn note(&mut self, step: String) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(step);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at last: {:#?}", self.seed, self.last);
        }
    }
}

/// Bytes that differ for each number and length.
pub(super) fn content(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = number.to_ne_bytes().to_vec();
    let seed = number ^ (len as u64) << 32;
    // Its length is prime, so that it does not come again where memory does.
    let pattern = Random(seed).bytes(61);
    bytes.extend(pattern.repeat(len / pattern.len() + 1));
    bytes.truncate(len);
    bytes
}

/// The answer to a request of this number.
pub(super) fn answer(number: u64, len: usize) -> Vec<u8> {
    content(number | ANSWER, len)
}

/// The number of a content, which must be whole.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_ne_bytes(*bytes.first_chunk().unwrap());
    assert!(bytes == content(number, bytes.len()), "torn: {number:x}");
    number
}

fn bytes_of(reply: &Reply) -> Vec<u8> {
    let payload = reply.payload();
    let mut bytes = vec![0; usize::try_from(payload.len()).unwrap()];
    payload.read_at(0, &mut bytes).unwrap();
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Cancelled,
    /// Cancelled too late.
    Unwanted,
    Answered,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    fate: Fate,
    /// How many servers had died when one began it last.
    begun: Option<usize>,
    /// Whether its answer may be that it was not done.
    may_fail: bool,
}

/// What a test has seen of what it is about.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answers: usize,
    pub(super) deaths: usize,
    pub(super) redelivered: usize,
    /// Large ones that were answered already, so that their memory must not be used again before.
    pub(super) large_after_answer: usize,
    pub(super) rewound: usize,
}

impl Seen {
    pub(super) fn add(&mut self, more: &Seen) {
        self.answers += more.answers;
        self.deaths += more.deaths;
        self.redelivered += more.redelivered;
        self.large_after_answer += more.large_after_answer;
        self.rewound += more.rewound;
    }
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The number of the last message.
    last: u64,
    /// By the id that the client gave it.
    asked: BTreeMap<u64, Asked>,
    /// By the number of the request.
    ids: BTreeMap<u64, u64>,
    /// The one-way messages that no server has got.
    pub(super) told: BTreeSet<u64>,
    /// Those that one has got that was killed meanwhile: they may come again or not.
    may_be_lost: BTreeSet<u64>,
    last_heard: u64,
    pub(super) seen: Seen,
}

impl Oracle {
    /// The number of the next message.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    pub(super) fn asked(&mut self, id: u64, may_fail: bool) {
        self.last += 1;
        let (number, fate) = (self.last, Fate::Open);
        self.ids.insert(number, id);
        let asked = Asked {
            number,
            fate,
            begun: None,
            may_fail,
        };
        self.asked.insert(id, asked);
    }

    pub(super) fn told(&mut self) {
        self.last += 1;
        self.told.insert(self.last);
    }

    /// The requests that are neither answered nor cancelled.
    pub(super) fn open(&self) -> Vec<u64> {
        let open = self.asked.iter();
        let open = open.filter(|(_, asked)| asked.fate == Fate::Open);
        open.map(|(id, _)| *id).collect()
    }

    pub(super) fn cancelled(&mut self, id: u64, in_time: bool) {
        let asked = self.asked.get_mut(&id).unwrap();
        assert!(!in_time || asked.begun.is_none(), "{asked:?}");
        asked.fate = match in_time {
            true => Fate::Cancelled,
            false => Fate::Unwanted,
        };
    }

    /// A server has got a request, and was killed meanwhile or not: its number.
    pub(super) fn runs(&mut self, bytes: &[u8], killed: bool) -> u64 {
        let number = number(bytes);
        let asked = self.asked.get_mut(&self.ids[&number]).unwrap();
        assert_ne!(asked.fate, Fate::Cancelled, "{number} is run");
        assert_ne!(asked.begun, Some(self.seen.deaths), "{number} again");
        self.seen.redelivered += usize::from(asked.begun.is_some());
        let is_large = bytes.len() > super::LARGE;
        self.seen.large_after_answer += usize::from(is_large && asked.fate == Fate::Answered);
        if !killed {
            asked.begun = Some(self.seen.deaths);
        }
        number
    }

    /// A server drops a request.
    pub(super) fn drops(&mut self, number: u64) {
        let id = self.ids[&number];
        self.asked.get_mut(&id).unwrap().may_fail = true;
    }

    /// A server has got a one-way message, and was killed meanwhile or not: its number.
    pub(super) fn hears(&mut self, bytes: &[u8], killed: bool) -> u64 {
        let number = number(bytes);
        let known = self.told.remove(&number) || self.may_be_lost.remove(&number);
        assert!(known && self.last_heard < number, "{number} again");
        match killed {
            true => drop(self.may_be_lost.insert(number)),
            false => self.last_heard = number,
        }
        number
    }

    /// The client has got a reply.
    pub(super) fn takes(&mut self, reply: &Reply) {
        let asked = self.asked.get_mut(&reply.id().0).unwrap();
        assert_eq!(asked.fate, Fate::Open, "{asked:?}: {:?}", reply.status());
        if !reply.status().is_final() {
            return;
        }
        asked.fate = Fate::Answered;
        self.seen.answers += 1;
        match reply.status() {
            Status::Done => assert_eq!(number(&bytes_of(reply)), asked.number | ANSWER),
            other => assert!(asked.may_fail, "{asked:?}: {other:?}"),
        }
    }

    /// Whether all that was asked is answered, and all that was told is heard.
    pub(super) fn is_done(&self) -> bool {
        self.told.is_empty() && self.asked.values().all(|asked| asked.fate != Fate::Open)
    }
}
