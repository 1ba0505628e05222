//! What clients and secondaries write down as they go, a line each, and what a payload must be. A line is written in one
//! go, so that all that a killed process has told is there.

use std::fmt;

/// What is asked: the sum of the bytes, or the bytes themselves, each changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sum,
    Echo,
}

/// Instead of a request's number, where an answer belongs to none.
pub(crate) const STRAY: u64 = u64::MAX;

/// A client's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is about to send this request.
    Ask { seq: u64, kind: Kind, len: u64 },
    /// The request is on its way.
    Sent { seq: u64 },
    /// A final answer came: the status's number, and the sum of the answer. [`STRAY`] if it is to none of the requests.
    Got { seq: u64, status: u16, sum: u64 },
    /// The request was taken back: no answer is wanted.
    Cancelled { seq: u64 },
    /// The request could not be made, or was not answered in time.
    Error { seq: u64 },
    /// Left in good order, with so many requests that were not answered in time, and so many answers that nobody
    /// waited for.
    Left { open: u64, unwanted: u64 },
}

/// A secondary's line: a request was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) session: u64,
    pub(crate) id: u64,
    pub(crate) client: u64,
    pub(crate) seq: u64,
    pub(crate) attempts: u32,
    /// Whether the payload was what this client sends under this number.
    pub(crate) whole: bool,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Ask { seq, kind, len } => write!(f, "ask {seq} {} {len}", *kind as u8),
            Told::Sent { seq } => write!(f, "sent {seq}"),
            Told::Got { seq, status, sum } => write!(f, "got {seq} {status} {sum}"),
            Told::Cancelled { seq } => write!(f, "cancelled {seq}"),
            Told::Error { seq } => write!(f, "error {seq}"),
            Told::Left { open, unwanted } => write!(f, "left {open} {unwanted}"),
        }
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivered {
            session,
            id,
            client,
            seq,
            attempts,
            whole,
        } = self;
        let whole = u8::from(*whole);
        write!(f, "{session} {id} {client} {seq} {attempts} {whole}")
    }
}

impl Told {
    /// Reads a line back.
    pub(crate) fn parse(line: &str) -> Option<Told> {
        let (word, numbers) = line.split_once(' ')?;
        let told = match (word, &fields(numbers)?[..]) {
            ("ask", &[seq, kind, len]) => Told::Ask {
                seq,
                kind: match kind {
                    0 => Kind::Sum,
                    1 => Kind::Echo,
                    _ => return None,
                },
                len,
            },
            ("sent", &[seq]) => Told::Sent { seq },
            ("got", &[seq, status, sum]) => Told::Got {
                seq,
                status: status.try_into().ok()?,
                sum,
            },
            ("cancelled", &[seq]) => Told::Cancelled { seq },
            ("error", &[seq]) => Told::Error { seq },
            ("left", &[open, unwanted]) => Told::Left { open, unwanted },
            _ => return None,
        };
        Some(told)
    }
}

impl Delivered {
    /// Reads a line back.
    pub(crate) fn parse(line: &str) -> Option<Delivered> {
        let &[session, id, client, seq, attempts, whole] = &fields(line)?[..] else {
            return None;
        };
        Some(Delivered {
            session,
            id,
            client,
            seq,
            attempts: attempts.try_into().ok()?,
            whole: whole == 1,
        })
    }
}

fn fields(line: &str) -> Option<Vec<u64>> {
    line.split(' ').map(|field| field.parse().ok()).collect()
}

/// What stands before a payload's bytes: whose it is, and its number.
pub(crate) const HEAD: usize = 16;

/// The payload of a client's request: its head, and bytes that no other request has.
pub(crate) fn payload(client: u64, seq: u64, len: u64) -> Vec<u8> {
    let mut random = Random::new(client.rotate_left(32) ^ seq);
    let mut bytes = Vec::new();
    bytes.extend(client.to_le_bytes());
    bytes.extend(seq.to_le_bytes());
    let len = HEAD + usize::try_from(len).unwrap_or(0);
    while bytes.len() < len {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The answer to a payload.
pub(crate) fn answer(kind: Kind, payload: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Sum => sum(payload).to_le_bytes().to_vec(),
        Kind::Echo => payload.iter().map(|byte| byte ^ 0x5a).collect(),
    }
}

/// FNV-1a over words, the last of them filled up; the length counts.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let word = |part: &[u8]| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    };
    let start = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    bytes.chunks(8).map(word).fold(start, |sum, word| {
        (sum ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29)
    })
}

/// Numbers that look random: SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
