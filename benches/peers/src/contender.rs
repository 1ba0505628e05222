//! What takes part: the shape that the bare limits, the peers and osps-ipc all have.
//!
//! A contender is two ends in two processes. The *right* end serves, the *left* end asks and keeps
//! the time. Between slices both sleep on a pipe from the coordinator, so that only one contender
//! works at a time. Every message of a slice begins with [`GO`], the last one with [`LAST`]: this is
//! how a right end learns that it may go back to sleep, whatever its transport.

use std::any::Any;
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

/// The result of anything that a bench process does. Errors are shown, never decided upon.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// First byte of a message that others follow.
pub(crate) const GO: u8 = 1;
/// First byte of a slice's last message.
pub(crate) const LAST: u8 = 2;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request and its reply; each side copies the payload in and out of private memory.
    RoundTrip,
    /// The same, but only the first byte of the payload is written and read.
    Untouched,
    /// One-way messages, or pipelined requests.
    Stream,
    /// Round trips of several clients at once.
    Crowd,
    /// A fresh connection, its first round trip, and its end.
    Connect,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::RoundTrip, "round-trip"),
    (Kind::Untouched, "untouched"),
    (Kind::Stream, "stream"),
    (Kind::Crowd, "crowd"),
    (Kind::Connect, "connect"),
];

/// The numbers of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// Bytes of one message.
    pub(crate) size: usize,
    /// Bytes that a ring or queue of the contender may hold, where one can say.
    pub(crate) capacity: usize,
    /// Left ends.
    pub(crate) clients: usize,
    /// Connected sessions that never ask anything, all in one more process.
    pub(crate) idle: usize,
}

impl Job {
    pub(crate) const fn new(kind: Kind, size: usize) -> Job {
        Job {
            kind,
            size,
            capacity: 1 << 20,
            clients: 1,
            idle: 0,
        }
    }

    pub(crate) const fn capacity(self, capacity: usize) -> Job {
        Job { capacity, ..self }
    }

    pub(crate) const fn clients(self, clients: usize) -> Job {
        Job { clients, ..self }
    }

    pub(crate) const fn idle(self, idle: usize) -> Job {
        Job { idle, ..self }
    }

    /// As an argument of a child process; [`FromStr`] reads it back.
    pub(crate) fn argument(&self) -> String {
        let Job {
            kind,
            size,
            capacity,
            clients,
            idle,
        } = self;
        let kind = KINDS
            .iter()
            .find(|(known, _)| known == kind)
            .map_or("", |(_, name)| name);
        format!("{kind}:{size}:{capacity}:{clients}:{idle}")
    }
}

impl FromStr for Job {
    type Err = Box<dyn Error + Send + Sync>;

    fn from_str(text: &str) -> Outcome<Job> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let known = KINDS.iter().find(|(_, known)| *known == name);
        let (kind, _) = known.ok_or_else(|| format!("no kind of job: {name}"))?;
        let mut number = || parts.next().unwrap_or_default().parse::<usize>();
        Ok(Job {
            kind: *kind,
            size: number()?,
            capacity: number()?,
            clients: number()?,
            idle: number()?,
        })
    }
}

/// One end's place in a run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) job: Job,
    /// A directory of this contender's own; whatever is left in it is removed afterwards.
    pub(crate) dir: PathBuf,
    /// Which left end this is, from 0.
    pub(crate) index: usize,
}

/// Something that moves bytes between two processes.
pub(crate) trait Contender: Sync {
    fn name(&self) -> &'static str;

    /// The end that serves. Returns when left ends may begin to connect.
    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>>;

    /// The end that asks. The right end serves while this connects.
    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>>;

    /// `place.job.idle` connected sessions that rest until they are dropped.
    fn idlers(&self, place: &Place) -> Outcome<Box<dyn Any>> {
        let _ = place;
        Err(format!("{} has no idle sessions here", self.name()).into())
    }
}

/// The serving end.
pub(crate) trait Right {
    /// Serves until `lasts` messages that begin with [`LAST`] were seen and answered. Returns how
    /// many messages there were.
    fn run(&mut self, lasts: usize) -> Outcome<u64>;
}

/// The asking end.
pub(crate) trait Left {
    fn run(&mut self, slice: Slice) -> Outcome<Span>;
}

/// How long to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slice {
    /// This many operations.
    Count(u64),
    /// As many as begin between two moments.
    Window { from: u64, until: u64 },
}

/// What was done, when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) count: u64,
}

impl Span {
    pub(crate) fn nanos_each(&self) -> f64 {
        self.until.saturating_sub(self.from) as f64 / self.count.max(1) as f64
    }
}
