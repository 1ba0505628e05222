//! The clients of the demo: each asks for the digest or the counts of real bytes, and checks every answer.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use osps_ipc::{Client, ClientOptions, Reply, Request, RequestId, RequestKind};
use sha2::{Digest, Sha256};

/// How long a request may take, whatever happens to who serves it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The sizes of payloads in bytes, about, and how often each comes in a hundred. What is longer than 8 KiB is handed
/// over in a segment of its own.
const SIZES: [(usize, u32); 6] = [
    (0, 5),
    (100, 40),
    (4_000, 30),
    (30_000, 15),
    (200_000, 8),
    (1_000_000, 2),
];
/// How many requests a server has at once when it is struck.
const BURST: usize = 4;
/// A client makes a request about so often.
const PACE: Duration = Duration::from_millis(4);

/// A payload, and what it is to be answered with.
pub(crate) struct Payload {
    kind: RequestKind,
    bytes: Vec<u8>,
    answer: String,
}

/// Two payloads of each size, as often as they are to be sent.
pub(crate) fn payloads() -> Vec<Payload> {
    let mut payloads = Vec::new();
    for (size, often) in SIZES {
        for copy in 0..often {
            payloads.push(payload(size + copy as usize, copy % 2 == 0));
        }
    }
    payloads
}

/// Text of which it is known how many lines and words it has.
fn payload(size: usize, digest: bool) -> Payload {
    let (mut bytes, mut lines, mut words) = (Vec::new(), 0_u64, 0_u64);
    while bytes.len() < size {
        lines += 1;
        let count = 1 + lines % 7;
        words += count;
        let line: Vec<_> = (0..count)
            .map(|word| format!("{size}-{lines}-{word}"))
            .collect();
        bytes.extend(line.join(" ").bytes());
        bytes.push(b'\n');
    }
    let answer = if digest {
        let hash = Sha256::digest(&bytes);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    } else {
        let width = bytes.len().to_string().len();
        format!("{lines:>width$} {words:>width$} {}", bytes.len())
    };
    Payload {
        kind: RequestKind::new(if digest { "digest" } else { "count" }),
        bytes,
        answer,
    }
}

/// One answered request.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// When it was sent.
    pub(crate) at: Instant,
    pub(crate) took: Duration,
}

/// What became of a client's requests.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) sent: u64,
    pub(crate) samples: Vec<Sample>,
    /// No answer, and why.
    pub(crate) lost: Vec<String>,
    /// Answered a second time.
    pub(crate) doubled: u64,
    /// Answered with something else than was right: what came.
    pub(crate) wrong: Vec<String>,
    /// Second answers that the library kept away from the client.
    pub(crate) dropped: u64,
}

impl Sheet {
    pub(crate) fn add(&mut self, other: Sheet) {
        self.sent += other.sent;
        self.samples.extend(other.samples);
        self.lost.extend(other.lost);
        self.doubled += other.doubled;
        self.wrong.extend(other.wrong);
        self.dropped += other.dropped;
    }
}

/// Ends the clients.
#[derive(Default)]
pub(crate) struct Stop {
    requested: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn request(&self) {
        *self
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for the request; whether it has come in this time.
    fn wait(&self, timeout: Duration) -> bool {
        let requested = self
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(requested, timeout, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A client: asks until it is to stop.
pub(crate) fn client(runtime: &Path, number: u32, payloads: &[Payload], stop: &Stop) -> Sheet {
    let mut sheet = Sheet::default();
    let mut client = match connect(runtime, "primary") {
        Ok(client) => client,
        Err(error) => {
            sheet.lost.push(error.to_string());
            return sheet;
        }
    };
    let mut answered = HashSet::new();
    let mut random = u64::from(number) << 32 | 0x9e37_79b9;
    let mut next = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 11).unwrap_or(0) % end
    };
    // Not all at the same moment.
    while !stop.wait(PACE.mul_f64(next(1000) as f64 / 500.0)) {
        let payload = &payloads[next(payloads.len())];
        sheet.sent += 1;
        let at = Instant::now();
        match client.call(Request::new(payload.kind, &payload.bytes), PATIENCE) {
            Ok(reply) => {
                let took = at.elapsed();
                sheet.samples.push(Sample { at, took });
                sheet.doubled += u64::from(!answered.insert(reply.id()));
                sheet.wrong.extend(difference(reply, &payload.answer));
            }
            Err(error) => sheet.lost.push(error.to_string()),
        }
    }
    // Whatever comes now is to nothing that was asked.
    while let Ok(Some(_)) = client.try_next_reply() {
        sheet.doubled += 1;
    }
    sheet.dropped = client.unwanted();
    sheet
}

/// Some large requests at once, to one server.
pub(crate) struct Burst<'a> {
    client: Client,
    payloads: &'a [Payload],
    open: HashMap<RequestId, (&'a Payload, Instant)>,
    pub(crate) sheet: Sheet,
}

impl<'a> Burst<'a> {
    pub(crate) fn new(
        runtime: &Path,
        service: &str,
        payloads: &'a [Payload],
    ) -> osps_ipc::Result<Burst<'a>> {
        Ok(Burst {
            client: connect(runtime, service)?,
            payloads,
            open: HashMap::new(),
            sheet: Sheet::default(),
        })
    }

    pub(crate) fn send(&mut self) -> osps_ipc::Result<()> {
        for payload in self.payloads.iter().rev().take(BURST) {
            let request = Request::new(payload.kind, &payload.bytes);
            let id = self.client.submit(request, PATIENCE)?;
            self.sheet.sent += 1;
            self.open.insert(id, (payload, Instant::now()));
        }
        Ok(())
    }

    /// Waits for all answers.
    pub(crate) fn fetch(&mut self) -> super::Result<()> {
        while !self.open.is_empty() {
            let reply = self.client.next_reply(PATIENCE)?;
            let Some(reply) = reply else {
                let lost = format!("{} large requests are not answered", self.open.len());
                self.sheet.lost.push(lost.clone());
                return Err(lost.into());
            };
            let Some((payload, at)) = self.open.remove(&reply.id()) else {
                self.sheet.doubled += 1;
                continue;
            };
            let took = at.elapsed();
            self.sheet.samples.push(Sample { at, took });
            self.sheet.wrong.extend(difference(reply, &payload.answer));
        }
        self.sheet.dropped += self.client.unwanted();
        Ok(())
    }
}

fn difference(reply: Reply, right: &str) -> Option<String> {
    let answer = match reply.into_answer() {
        Ok(answer) => String::from_utf8_lossy(&answer.into_vec()).into_owned(),
        Err(rejected) => rejected.to_string(),
    };
    (answer != right).then_some(answer)
}

pub(crate) fn connect(runtime: &Path, service: &str) -> osps_ipc::Result<Client> {
    ClientOptions::new()
        .directory(runtime)
        .connect(service, PATIENCE)
}
