//! A FIFO pair against a peer of raw bytes.

use std::time::{Duration, Instant};

use super::{both, is_ready, name, recv, try_recv};
use crate::directory::testing::Scratch;
use crate::error::Error;
use crate::fifo::frame::{HEADER_LEN, HELLO_LEN, Header, Kind};
use crate::fifo::{FifoPair, PairState, Received, Sent};
use crate::sys::fifo;
use crate::sys::fork::Registered;

/// An opener made of bytes.
struct Raw {
    read_end: Registered,
    write_end: Registered,
    generation: u64,
}

impl Raw {
    fn open(dir: &Scratch, generation: u64) -> Raw {
        Raw {
            read_end: fifo::open_read_end(&**dir, "pair.down").unwrap(),
            write_end: fifo::open_write_end(&**dir, "pair.up").unwrap().unwrap(),
            generation,
        }
    }

    fn send(&self, kind: Kind, to: u64, payload: &[u8]) {
        let header = Header {
            kind,
            len: payload.len(),
            from: self.generation,
            to,
        };
        self.send_bytes(&[&header.encode(), payload].concat());
    }

    fn send_bytes(&self, bytes: &[u8]) {
        for part in bytes.chunks(fifo::PIPE_BUF) {
            assert_eq!(fifo::write_nosignal(&self.write_end, part), Ok(part.len()));
        }
    }

    /// Reads the next frame of the creator.
    fn recv(&self) -> Header {
        let mut header = [0; HEADER_LEN];
        assert_eq!(fifo::read(&self.read_end, &mut header), Ok(HEADER_LEN));
        let header = Header::decode(&header).unwrap();
        let mut payload = vec![0; header.len];
        if header.len > 0 {
            assert_eq!(fifo::read(&self.read_end, &mut payload), Ok(header.len));
        }
        header
    }

    /// Says hello and gives the creator's generation.
    fn greet(&self, pair: &mut FifoPair) -> u64 {
        self.send(Kind::Hello, 0, &[0; HELLO_LEN]);
        pair.refresh().unwrap();
        let hello = self.recv();
        assert_eq!((hello.kind, hello.to), (Kind::Hello, self.generation));
        hello.from
    }
}

#[test]
fn garbage_is_a_typed_error_and_the_pair_starts_over() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let raw = Raw::open(&dir, 5);
    let old = raw.greet(&mut pair);
    let good = Header {
        kind: Kind::Data,
        len: 3,
        from: 5,
        to: old,
    };
    let cut = good.encode()[..20].to_vec();
    let mut wrong_version = good.encode().to_vec();
    wrong_version[2] = 9;
    let own = Header {
        kind: Kind::Hello,
        len: HELLO_LEN,
        from: 0,
        to: 0,
    };
    let garbage: [(Vec<u8>, &str); 4] = [
        (vec![0xEE; 40_000], "0xeeee"),
        (cut, "cut short"),
        (wrong_version, "version 9"),
        (
            [&own.encode()[..], &[0; HELLO_LEN]].concat(),
            "generation 0",
        ),
    ];
    let mut generation = old;
    for (bytes, what) in garbage {
        raw.send(Kind::Data, generation, b"before");
        raw.send_bytes(&bytes);
        assert_eq!(recv(&mut pair), b"before");
        let error = pair.try_recv(&mut [0; FifoPair::MAX_FRAME]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(pair.state(), PairState::NoPeerYet);
        // It has said hello under a new generation, and what is for the old one is dropped.
        let hello = raw.recv();
        assert_eq!((hello.kind, hello.to), (Kind::Hello, 0));
        assert_ne!(hello.from, generation);
        raw.send(Kind::Data, generation, b"late");
        assert_eq!(try_recv(&mut pair), Received::Empty);
        generation = hello.from;
        raw.send(Kind::Hello, generation, &[0; HELLO_LEN]);
        raw.send(Kind::Data, generation, b"after");
        assert_eq!(recv(&mut pair), b"after");
        assert_eq!(pair.try_send(b"answer").unwrap(), Sent::Sent);
        let answer = raw.recv();
        assert_eq!((answer.from, answer.to), (generation, 5));
    }
}

#[test]
fn random_bytes_never_hold_a_receiver_beyond_its_deadline() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let raw = Raw::open(&dir, 5);
    let generation = raw.greet(&mut pair);
    let mut state = 9_u64;
    let mut buffer = [0; FifoPair::MAX_FRAME];
    for round in 0..2_000 {
        let mut bytes = Header {
            kind: Kind::Data,
            len: round % 60,
            from: 5,
            to: generation,
        }
        .encode()
        .to_vec();
        bytes.resize(round % 97, 0);
        for byte in bytes.iter_mut().rev().take(round % 5) {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *byte = state.to_be_bytes()[0];
        }
        if !bytes.is_empty() {
            let _ = fifo::write_nosignal(&raw.write_end, &bytes);
        }
        let start = Instant::now();
        let _ = pair.recv_timeout(&mut buffer, Duration::ZERO);
        assert!(start.elapsed() < Duration::from_secs(2));
        while fifo::discard(&raw.read_end).is_ok() {}
    }
}

#[test]
fn a_flood_of_stale_frames_ends_neither_try_nor_deadline_late() {
    let dir = Scratch::new();
    let mut pair = FifoPair::create(&dir, &name()).unwrap();
    let raw = Raw::open(&dir, 5);
    raw.greet(&mut pair);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let header = Header {
                kind: Kind::Data,
                len: 0,
                from: 5,
                to: 1,
            };
            let frames = header.encode().repeat(160);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fifo::write_nosignal(&raw.write_end, &frames);
            }
        });
        let mut buffer = [0; FifoPair::MAX_FRAME];
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(pair.try_recv(&mut buffer).unwrap(), Received::Empty);
        }
        let error = pair
            .recv_timeout(&mut buffer, Duration::from_millis(50))
            .unwrap_err();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(error.is_timeout(), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_hello_that_found_no_room_is_said_once_there_is_some() {
    let dir = Scratch::new();
    let (mut a, b) = both(&dir);
    // Whole pages: into the rest of one, a hello would fit.
    while a.try_send(&[0; FifoPair::MAX_FRAME]).unwrap() == Sent::Sent {}
    drop(b);
    assert_eq!(try_recv(&mut a), Received::PeerGone);
    // The successor's reader is there, but the pipe is full of what its predecessor did not read.
    let raw = Raw::open(&dir, 77);
    raw.send(Kind::Hello, 0, &[0; HELLO_LEN]);
    assert_eq!(try_recv(&mut a), Received::Empty);
    assert_eq!(a.try_send(b"x").unwrap(), Sent::Full);
    while fifo::discard(&raw.read_end).is_ok() {}
    assert!(is_ready(&a));
    assert_eq!(try_recv(&mut a), Received::Empty);
    assert_eq!(raw.recv().kind, Kind::Hello);
    assert_eq!(a.try_send(b"x").unwrap(), Sent::Sent);
}
