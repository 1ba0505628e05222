//! The message decoder against its test vectors, the fuzzer's corpus, and mutants of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

#[path = "decoder/check.rs"]
mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use osps_ipc::request::{
    HandOver, ReplyForm, ReplyHeader, RequestForm, RequestHeader, RequestKind, Status,
};

const VECTORS: &str = include_str!("vectors/messages.txt");

/// A line of the vectors.
struct Vector<'a> {
    name: &'a str,
    is_request: bool,
    /// The words between the direction and the bytes.
    outcome: String,
    fields: BTreeMap<&'a str, &'a str>,
    bytes: Vec<u8>,
}

impl Vector<'_> {
    fn number<T: FromStr>(&self, field: &str) -> T {
        let text = self.fields[field];
        text.parse()
            .unwrap_or_else(|_| panic!("{}: bad {field} {text:?}", self.name))
    }

    fn payload(&self) -> Vec<u8> {
        match self.fields["form"] {
            "Inline" => from_hex(self.fields["payload"]),
            "HandOver" => {
                let hand_over = HandOver {
                    number: self.number("number"),
                    length: self.number("length"),
                    offset: self.number("offset"),
                };
                hand_over.encode().to_vec()
            }
            "Ask" => Vec::new(),
            other => panic!("{}: unknown form {other:?}", self.name),
        }
    }
}

fn vectors() -> Vec<Vector<'static>> {
    let lines = VECTORS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let vectors: Vec<_> = lines.map(vector).collect();
    let names: BTreeSet<_> = vectors.iter().map(|vector| vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "a name is used twice");
    vectors
}

fn vector(line: &'static str) -> Vector<'static> {
    let (head, bytes) = line
        .rsplit_once(" bytes=")
        .expect("a line ends with its bytes");
    let [name, what, outcome] = head.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("a line has a name, a direction and an outcome: {line}");
    };
    assert!(matches!(what, "request" | "reply"), "{line}");
    Vector {
        name,
        is_request: what == "request",
        outcome: outcome.to_owned(),
        fields: outcome
            .split(' ')
            .filter_map(|word| word.split_once('='))
            .collect(),
        bytes: from_hex(bytes),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        panic!("half a byte in {text:?}");
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit");
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(nibble(*high) << 4 | nibble(*low)).expect("a byte"))
        .collect()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/request")
}

fn seeds() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(corpus())
        .expect("the corpus is shipped")
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a readable seed"))
        .collect()
}

#[test]
fn every_vector_decodes_to_what_it_says() {
    for vector in vectors() {
        let outcome = match vector.is_request {
            true => check::request(&vector.bytes),
            false => check::reply(&vector.bytes),
        };
        assert_eq!(outcome, vector.outcome, "{}", vector.name);
    }
}

#[test]
fn the_fields_of_every_accepted_vector_encode_to_its_bytes() {
    for vector in vectors() {
        if !vector.outcome.starts_with("accept ") {
            continue;
        }
        let payload = vector.payload();
        let length = u32::try_from(payload.len()).expect("vectors are small");
        let header = match vector.is_request {
            true => {
                let header = RequestHeader {
                    id: vector.number("id"),
                    kind: vector.number::<RequestKind>("kind"),
                    deadline: vector.number("deadline"),
                    form: match vector.fields["form"] {
                        "HandOver" => RequestForm::HandOver,
                        "Ask" => RequestForm::Ask,
                        _ => RequestForm::Inline(length),
                    },
                };
                header.encode().to_vec()
            }
            false => {
                let status = vector.fields["status"];
                let header = ReplyHeader {
                    id: vector.number("id"),
                    status: Status::ALL
                        .into_iter()
                        .find(|known| format!("{known:?}") == status)
                        .expect("a status by its name"),
                    code: vector.number("code"),
                    epoch: vector.number("epoch"),
                    form: match vector.fields["form"] {
                        "HandOver" => ReplyForm::HandOver,
                        _ => ReplyForm::Inline(length),
                    },
                };
                header.encode().to_vec()
            }
        };
        assert_eq!([header, payload].concat(), vector.bytes, "{}", vector.name);
    }
}

#[test]
fn every_status_and_every_reason_to_refuse_has_a_vector() {
    let vectors = vectors();
    for status in Status::ALL {
        let wanted = format!(" status={status:?} ");
        assert!(
            vectors
                .iter()
                .any(|vector| vector.outcome.contains(&wanted)),
            "no vector has{wanted}"
        );
    }
    let found: BTreeSet<&str> = vectors
        .iter()
        .filter_map(|vector| vector.outcome.strip_prefix("refuse "))
        .map(|reason| reason.split(' ').next().unwrap_or(reason))
        .collect();
    let reasons = [
        "AskPayload",
        "Flags",
        "HandOverLength",
        "HandOverRange",
        "HandOverStatus",
        "KindEmpty",
        "KindList",
        "KindNotGraphic",
        "Length",
        "Reserved",
        "Status",
        "TargetEmpty",
        "TargetNotAName",
        "TargetNotUtf8",
        "TargetTooLong",
        "Truncated",
        "Version",
    ];
    assert_eq!(found, BTreeSet::from(reasons));
}

#[test]
fn the_corpus_holds_every_vector() {
    for vector in vectors() {
        let path = corpus().join(vector.name);
        let seed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(seed, vector.bytes, "{}", path.display());
    }
}

#[test]
fn the_decoder_holds_its_promises_on_the_whole_corpus() {
    let seeds = seeds();
    for seed in &seeds {
        check::check(seed);
    }
    println!("replayed {} inputs", seeds.len());
}

#[test]
fn the_decoder_holds_its_promises_on_mutants_of_the_corpus() {
    let seeds = seeds();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..100_000 {
        let mut mutant = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut mutant, &seeds, &mut random);
        }
        check::check(&mutant);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(6) {
        0 => input.truncate(at),
        1 => input.insert(at, random.byte()),
        2 => input.extend_from_slice(&seeds[random.below(seeds.len())]),
        3 => {
            // What stands in another seed at the same place: the fields that matter have few values.
            let other = &seeds[random.below(seeds.len())];
            let end = (at + 1 + random.below(8)).min(input.len()).min(other.len());
            if at < end {
                input[at..end].copy_from_slice(&other[at..end]);
            }
        }
        4 => {
            // A length that fits again.
            for header in [RequestHeader::LENGTH, ReplyHeader::LENGTH] {
                if input.len() >= header && random.below(2) == 0 {
                    let length = u32::try_from(input.len() - header).expect("inputs are small");
                    input[4..8].copy_from_slice(&length.to_le_bytes());
                }
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.byte();
            }
        }
    }
}

/// Marsaglia's xorshift: the same mutants in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("64 bits")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}
