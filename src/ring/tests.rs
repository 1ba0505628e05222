//! Whole rings on heap memory, against a queue that is obviously right, and against peers that write anything.
//! None of it needs the operating system, so Miri runs it too.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers at random are cut down on purpose"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cursor::Refused;
use super::ledger::Ledger;
use super::memory::{CONTROL_LEN, RingMemory};
use super::named::{End, Hold};
use super::raw::{RawConsumer, RawProducer, fence};
use super::record::{
    Accept, Cancel, Header, OF_SESSION, PLAIN, Start, State, WITH_STATE, record_len, start,
};
use super::*;
use crate::sys::map::{Map, Region};

/// Enough rounds to see every wrap, few enough for Miri.
pub(super) const ROUNDS: usize = if cfg!(miri) { 300 } else { 30_000 };

pub(super) const ANY: Accept = Accept {
    generation: 7,
    kind_min: 0,
    kind_max: u16::MAX,
    flags: u16::MAX,
    max_len: u32::MAX,
};

fn region(memory: usize) -> Region {
    Arc::new(Map::on_heap(CONTROL_LEN + memory)).whole()
}

pub(super) fn memory(capacity: usize) -> RingMemory {
    RingMemory::new(&region(capacity)).unwrap()
}

/// A queue whose indices begin at `start`.
fn queue(capacity: usize, start: u64) -> (Producer, Consumer) {
    queue_in(capacity, capacity, start)
}

/// One in so much memory.
fn queue_in(memory: usize, capacity: usize, start: u64) -> (Producer, Consumer) {
    let region = region(memory);
    let memory = RingMemory::new_queue(&region, capacity).unwrap();
    memory.control().tail.store(start, Ordering::Relaxed);
    memory.control().head.store(start, Ordering::Relaxed);
    (
        Producer::new(memory.clone(), Hold::take(&memory, End::Producer).unwrap()).unwrap(),
        Consumer::new(memory.clone(), Hold::take(&memory, End::Consumer).unwrap()).unwrap(),
    )
}

/// A small generator (xorshift64*): the same numbers for the same seed, everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Values that are likely to upset someone.
    fn nasty(&mut self) -> u64 {
        match self.below(6) {
            0 => self.next(),
            1 => self.next() % 256,
            2 => (self.next() % 256).wrapping_neg(),
            3 => self.next() % 64 * 8,
            4 => 1 << self.below(64),
            _ => (self.next() % 1024) | (self.next() << 32),
        }
    }
}

#[test]
fn a_ring_does_what_a_queue_does() {
    for (seed, capacity, more) in [
        (1, 64, 1),
        (2, 128, 1),
        (3, 256, 4),
        (4, 1024, 1),
        (5, 4096, 1),
        (6, 64, 4),
        (7, 1024, 2),
    ] {
        let mut random = Random(seed);
        // The indices wrap early on.
        let start = (capacity as u64 * 2).wrapping_neg();
        let (mut producer, mut consumer) = queue_in(capacity * more, capacity, start);
        let mut oracle: VecDeque<(u16, Vec<u8>)> = VecDeque::new();
        let mut used = 0;
        let mut out = Vec::new();
        for _ in 0..ROUNDS {
            match random.below(10) {
                0..4 => {
                    let len = match random.below(3) {
                        0 => random.below(producer.longest() + 10),
                        _ => random.below(40),
                    };
                    let payload = random.bytes(len);
                    let kind = random.next() as u16;
                    let cut = random.below(len + 1);
                    let pushed = match random.below(2) {
                        0 => producer.try_push(kind, &payload),
                        _ => producer.try_push_parts(kind, &payload[..cut], &payload[cut..]),
                    };
                    let needed = record_len::<PLAIN>(len as u32);
                    match pushed {
                        Ok(()) => {
                            used += needed;
                            oracle.push_back((kind, payload));
                        }
                        Err(PushError::TooLong { .. }) => assert!(len > producer.longest()),
                        Err(PushError::Full) => {
                            // The consumer may hold back a quarter, but no more.
                            assert!(used + needed > capacity as u64 - capacity as u64 / 4);
                        }
                        Err(other) => panic!("{other}"),
                    }
                    assert!(used <= capacity as u64);
                }
                4 => {
                    let mut batch = producer.batch();
                    let keep = random.below(4) > 0;
                    for _ in 0..random.below(5) {
                        let len = random.below(30);
                        let payload = random.bytes(len);
                        if batch.try_push(9, &payload).is_ok() && keep {
                            used += record_len::<PLAIN>(payload.len() as u32);
                            oracle.push_back((9, payload));
                        }
                    }
                    if keep {
                        batch.publish()
                    } else {
                        batch.abandon()
                    }
                }
                5..8 => match (consumer.try_pop(&mut out), oracle.pop_front()) {
                    (Ok(record), Some((kind, payload))) => {
                        used -= record_len::<PLAIN>(payload.len() as u32);
                        assert_eq!(
                            (record.kind, record.len, &out),
                            (kind, payload.len(), &payload)
                        );
                    }
                    (Err(PopError::Empty), None) => {}
                    other => panic!("{other:?}"),
                },
                8 => {
                    let mut slice = [0; 20];
                    match (consumer.try_pop_slice(&mut slice), oracle.front()) {
                        (Ok(record), Some((kind, payload))) => {
                            assert_eq!((record.kind, &slice[..record.len]), (*kind, &payload[..]));
                            used -= record_len::<PLAIN>(payload.len() as u32);
                            oracle.pop_front();
                        }
                        (Err(PopError::TooSmall { needed }), Some((_, payload))) => {
                            assert_eq!(needed, payload.len());
                        }
                        (Err(PopError::Empty), None) => {}
                        other => panic!("{other:?}"),
                    }
                }
                _ => {
                    let most = random.below(6);
                    let drained = consumer.drain(most, |kind, payload| {
                        used -= record_len::<PLAIN>(payload.len() as u32);
                        assert_eq!(oracle.pop_front(), Some((kind, payload.to_vec())));
                    });
                    match drained {
                        Ok(taken) => assert!(taken <= most),
                        Err(why) => assert_eq!((why, oracle.len()), (PopError::Empty, 0)),
                    }
                }
            }
        }
    }
}

#[test]
fn the_room_of_a_record_whose_reader_panicked_is_given_back_by_the_next_look() {
    let (mut producer, mut consumer) = queue(1024, 0);
    producer.try_push(1, &[1; 200]).unwrap();
    let reading = std::panic::AssertUnwindSafe(|| {
        let _ = consumer.drain(1, |_, _| std::panic::resume_unwind(Box::new(())));
    });
    assert!(std::panic::catch_unwind(reading).is_err());
    assert_eq!(consumer.drain(1, |_, _| {}), Err(PopError::Empty));
    producer.try_push(1, &[2; 900]).unwrap();
    assert_eq!(
        consumer.drain(9, |_, payload| assert_eq!(payload, [2; 900])),
        Ok(1)
    );
}

#[test]
fn a_drain_gives_room_back_whenever_a_quarter_was_read() {
    let (mut producer, mut consumer) = queue(64, 24);
    for kind in 1..=8 {
        producer.try_push(kind, &[]).unwrap();
    }
    let mut has_room = Vec::new();
    let taken = consumer.drain(usize::MAX, |kind, _| {
        has_room.push(producer.try_push(kind + 8, &[]).is_ok());
    });
    assert_eq!(taken, Ok(8));
    // Two records are a quarter: two are pushed for each two that were read.
    assert_eq!(has_room, [false, true, true, true, true, true, true, true]);
}

#[test]
fn a_ring_of_every_phase_takes_its_longest_record() {
    for start in (0..64).step_by(8) {
        let (mut producer, mut consumer) = queue(64, start);
        let payload: Vec<u8> = (1..=56).collect();
        let mut out = Vec::new();
        assert_eq!(producer.longest(), 56);
        assert_eq!(
            producer.try_push(1, &[0; 57]),
            Err(PushError::TooLong { len: 57, max: 56 })
        );
        producer.try_push(1, &payload).unwrap();
        assert_eq!(producer.try_push(2, &[]), Err(PushError::Full));
        assert_eq!(consumer.try_pop(&mut out).map(|record| record.len), Ok(56));
        assert_eq!(out, payload);
        producer.try_push(2, &[]).unwrap();
        assert_eq!(consumer.try_pop(&mut out).map(|record| record.kind), Ok(2));
        assert!(out.is_empty());
    }
}

#[test]
fn long_records_come_out_as_they_went_in() {
    let (mut producer, mut consumer) = queue_in(1 << 18, 1 << 17, 0);
    let mut random = Random(11);
    let (mut vec, mut slice) = (Vec::new(), vec![0; 1 << 17]);
    for n in 0..if cfg!(miri) { 4 } else { 40 } {
        let len = (32 << 10) + random.below(4) * 1000 + random.below(20);
        let payload = random.bytes(len);
        producer.try_push(n, &payload).unwrap();
        if n % 2 == 0 {
            assert_eq!(consumer.try_pop(&mut vec).unwrap().kind, n);
            assert!(vec == payload);
        } else {
            assert_eq!(consumer.try_pop_slice(&mut slice).unwrap().len, len);
            assert!(slice[..len] == payload);
        }
    }
}

#[test]
fn an_end_that_was_dropped_is_told_after_the_last_record() {
    let (mut producer, mut consumer) = queue(64, 0);
    let mut out = Vec::new();
    assert_eq!(consumer.try_pop(&mut out), Err(PopError::Empty));
    producer.try_push(3, b"last").unwrap();
    assert!(!consumer.is_closed());
    drop(producer);
    assert!(consumer.is_closed());
    assert!(consumer.try_pop(&mut out).is_ok());
    assert_eq!(consumer.try_pop(&mut out), Err(PopError::Closed));

    let (mut producer, consumer) = queue(64, 0);
    drop(consumer);
    producer.try_push(3, &[0; 40]).unwrap();
    assert_eq!(producer.try_push(3, &[0; 40]), Err(PushError::Closed));
}

#[test]
fn records_cross_between_threads_in_order() {
    let records: u64 = if cfg!(miri) { 200 } else { 200_000 };
    let (mut producer, mut consumer) = queue(256, 8u64.wrapping_neg());
    // On a busy machine each turn of the two can take a time slice: then fewer records do.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let sender = std::thread::spawn(move || {
        for number in 0..records {
            if std::time::Instant::now() > end {
                return number;
            }
            let len = (number % 90) as usize;
            let payload = [number as u8; 90];
            while let Err(full) = producer.try_push_parts(1, &number.to_ne_bytes(), &payload[..len])
            {
                assert_eq!(full, PushError::Full);
                std::thread::yield_now();
            }
        }
        records
    });
    let mut expected = 0u64;
    let mut out = Vec::new();
    loop {
        match consumer.try_pop(&mut out) {
            Ok(_) => {
                assert_eq!(out[..8], expected.to_ne_bytes());
                assert_eq!(out.len() - 8, (expected % 90) as usize);
                assert!(out[8..].iter().all(|byte| *byte == expected as u8));
                expected += 1;
            }
            Err(PopError::Empty) => std::thread::yield_now(),
            Err(PopError::Closed) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(expected, sender.join().unwrap());
}

const REQUEST: Header = Header {
    length: 0,
    kind: 1,
    flags: 0,
    generation: 7,
};

#[test]
fn a_successor_finds_what_its_predecessor_has_not_answered() {
    let memory = memory(512);
    let mut client = RawProducer::<WITH_STATE>::resume(memory.clone()).unwrap();
    let accept = Accept {
        kind_max: 1,
        flags: 0,
        ..ANY
    };
    let at: Vec<u64> = [b"0", b"1", b"2", b"3", b"4"]
        .map(|payload| client.push(REQUEST, [], payload).unwrap())
        .to_vec();
    client.publish();
    assert_eq!(client.cancel(at[3]), Ok(Cancel::Cancelled));

    let mut ledger = Ledger::default();
    let mut first = RawConsumer::<WITH_STATE>::resume(memory.clone(), accept).unwrap();
    for _ in 0..3 {
        let found = first.peek().unwrap().unwrap();
        assert_eq!(start(memory.state(found.at)), Ok(Start::Started));
        let end = first.advance(&found);
        ledger.begin(found.at, end);
    }
    super::record::answer(memory.state(at[1]));
    assert_eq!(ledger.finish(at[1]), None);
    super::record::answer(memory.state(at[0]));
    let upto = ledger.finish(at[0]).unwrap();
    first.release(upto);
    assert_eq!(upto, at[2]);
    drop(first);

    assert_eq!(client.cancel(at[2]), Ok(Cancel::Started));
    assert_eq!(client.cancel(at[0]), Ok(Cancel::Answered));
    let mut second = RawConsumer::<WITH_STATE>::resume(memory.clone(), accept).unwrap();
    let mut seen = Vec::new();
    let mut payload = Vec::new();
    while let Some(found) = second.peek().unwrap() {
        second.read_to_vec(&found, &mut payload);
        seen.push((payload.clone(), start(memory.state(found.at)).unwrap()));
        second.advance(&found);
    }
    let expected = [
        (b"2".to_vec(), Start::Found { attempts: 1 }),
        (b"3".to_vec(), Start::Cancelled),
        (b"4".to_vec(), Start::Started),
    ];
    assert_eq!(seen, expected);
    second.release_read();
    assert_eq!(
        client.cancel(at[4]),
        Ok(Cancel::Started),
        "released, but not used again"
    );
}

#[test]
fn a_place_that_is_used_again_cannot_be_cancelled_by_its_old_index() {
    let memory = memory(64);
    let mut client = RawProducer::<WITH_STATE>::resume(memory.clone()).unwrap();
    let mut server = RawConsumer::<WITH_STATE>::resume(memory.clone(), ANY).unwrap();
    let old = client.push(REQUEST, [], &[1; 40]).unwrap();
    client.publish();
    assert!(matches!(client.push(REQUEST, [], &[]), Err(Refused::Full)));
    let found = server.peek().unwrap().unwrap();
    server.advance(&found);
    server.release_read();
    let new = client.push(REQUEST, [], &[2; 40]).unwrap();
    client.publish();
    assert_eq!(client.cancel(old), Ok(Cancel::Answered));
    assert_eq!(
        State::unpack(memory.state(new).load(Ordering::Relaxed)),
        Ok(State::New)
    );
}

#[test]
fn each_side_is_rung_once_a_sleep() {
    let memory = memory(64);
    let mut producer = RawProducer::<OF_SESSION>::resume(memory.clone()).unwrap();
    let mut consumer = RawConsumer::<OF_SESSION>::resume(memory, ANY).unwrap();
    assert_eq!(consumer.sleep(), Ok(true));
    producer.push(REQUEST, [], &[0; 48]).unwrap();
    producer.publish();
    fence();
    assert!(producer.must_ring() && !producer.must_ring());
    consumer.wake();
    assert_eq!(consumer.sleep(), Ok(false), "there is a record");
    assert_eq!(producer.sleep(0), Ok(true), "there is no room");
    let found = consumer.peek().unwrap().unwrap();
    consumer.advance(&found);
    assert_eq!(producer.sleep(0), Ok(true), "it was read, not freed");
    consumer.release_read();
    fence();
    assert!(consumer.must_ring() && !consumer.must_ring());
    assert_eq!(producer.sleep(0), Ok(false));
    consumer.forget_bell();
    assert!(!consumer.must_ring(), "the producer is awake");
}

/// Takes out whatever a hostile producer may have put in, as a session would.
fn consume<const WORDS: usize>(
    consumer: &mut RawConsumer<WORDS>,
    capacity: usize,
) -> Result<(), Corrupt> {
    let mut payload = Vec::new();
    for _ in 0..capacity {
        let Some(found) = consumer.peek()? else { break };
        assert!(found.len() < capacity);
        consumer.read_to_vec(&found, &mut payload);
        if WORDS == WITH_STATE {
            start(consumer.memory().state(found.at))?;
        }
        consumer.advance(&found);
        consumer.release_read();
    }
    Ok(())
}

fn hostile<const WORDS: usize>(seed: u64) {
    const CAPACITY: usize = 256;
    let mut random = Random(seed);
    let mut refused = 0;
    for _ in 0..ROUNDS / 10 {
        let region = region(CAPACITY);
        let memory = RingMemory::new(&region).unwrap();
        let mut producer = RawProducer::<WORDS>::resume(memory.clone()).unwrap();
        let mut consumer = RawConsumer::<WORDS>::resume(memory.clone(), ANY).unwrap();
        for _ in 0..random.below(6) {
            let payload = [5; 40];
            let _ = producer.push(REQUEST, [], &payload[..random.below(40)]);
            producer.publish();
        }
        // Anything, anywhere: mostly one word of the control block or of a header.
        for _ in 0..1 + random.below(3) {
            let offset = match random.below(8) {
                0 => 0,
                1 => 128,
                2 => 16,
                3 => random.below(region.len() / 8) * 8,
                _ => CONTROL_LEN + random.below(16) * 8,
            };
            region
                .word(offset)
                .unwrap()
                .store(random.nasty(), Ordering::Relaxed);
        }
        let mut bad = consume(&mut consumer, CAPACITY).is_err();
        bad |= matches!(
            producer.push(REQUEST, [], &[1; 100]),
            Err(Refused::Corrupt(_))
        );
        bad |= producer.sleep(100).is_err();
        bad |= producer.sleep(100).is_err();
        bad |= consumer.sleep().is_err();
        let _ = (producer.must_ring(), consumer.must_ring());
        match RawConsumer::<WORDS>::resume(memory.clone(), ANY) {
            Ok(mut successor) => bad |= consume(&mut successor, CAPACITY).is_err(),
            Err(_) => bad = true,
        }
        bad |= RawProducer::<WORDS>::resume(memory).is_err();
        refused += usize::from(bad);
    }
    assert!(
        refused > ROUNDS / 40,
        "the test is blind: only {refused} refused"
    );
}

#[test]
fn a_peer_that_writes_anything_is_corrupt_or_harmless() {
    hostile::<PLAIN>(11);
    hostile::<OF_SESSION>(12);
    hostile::<WITH_STATE>(13);
}

#[test]
fn a_drain_gives_what_one_look_after_the_other_would_whatever_stands_there() {
    let mut random = Random(0x00d4_a111);
    let mut corrupt = 0;
    for _ in 0..ROUNDS / 10 {
        let region = region(256);
        let memory = RingMemory::new(&region).unwrap();
        let mut producer = RawProducer::<PLAIN>::resume(memory.clone()).unwrap();
        let accept = Accept {
            generation: 0,
            flags: 0,
            ..ANY
        };
        let mut looked = RawConsumer::<PLAIN>::resume(memory.clone(), accept).unwrap();
        let hold = Hold::take(&memory, End::Consumer).unwrap();
        let mut drained = Consumer::new(memory, hold).unwrap();
        for _ in 0..random.below(9) {
            let len = if random.below(4) == 0 { 9 } else { 24 };
            let _ = producer.push(REQUEST, [], &[random.below(256) as u8; 24][..len]);
        }
        producer.publish();
        for _ in 0..random.below(3) {
            let offset = match random.below(4) {
                0 => 0,
                _ => CONTROL_LEN + random.below(32) * 8,
            };
            let word = region.word(offset).unwrap();
            let copied = region.word(CONTROL_LEN).unwrap().load(Ordering::Relaxed);
            let value = [random.nasty(), copied][random.below(2)];
            word.store(value, Ordering::Relaxed);
        }
        let mut expected = Vec::new();
        let end = loop {
            match looked.peek() {
                Ok(None) => break PopError::Empty,
                Err(why) => break PopError::Corrupt(why),
                Ok(Some(found)) => {
                    let mut payload = Vec::new();
                    looked.read_to_vec(&found, &mut payload);
                    expected.push((found.kind(), payload));
                    looked.advance(&found);
                }
            }
        };
        let mut seen = Vec::new();
        let most = 1 + random.below(4);
        let stopped = loop {
            let each = |kind, payload: &[u8]| seen.push((kind, payload.to_vec()));
            if let Err(why) = drained.drain(most, each) {
                break why;
            }
        };
        assert_eq!((seen, stopped), (expected, end));
        corrupt += usize::from(end != PopError::Empty);
    }
    assert!(corrupt > ROUNDS / 100, "{corrupt}");
}

#[test]
fn a_header_that_is_rewritten_while_it_is_looked_at_leads_nowhere_else() {
    let memory = memory(256);
    let mut producer = RawProducer::<PLAIN>::resume(memory.clone()).unwrap();
    let mut consumer = RawConsumer::<PLAIN>::resume(memory.clone(), ANY).unwrap();
    let at = producer.push(REQUEST, [], &[1; 16]).unwrap();
    producer.publish();
    let found = consumer.peek().unwrap().unwrap();
    memory.records().word(at).store(u64::MAX, Ordering::Relaxed);
    let mut payload = Vec::new();
    consumer.read_to_vec(&found, &mut payload);
    assert_eq!(payload, [1; 16]);
    assert_eq!(consumer.advance(&found), 24);
    assert_eq!(consumer.peek().map(|found| found.is_none()), Ok(true));
}

#[test]
fn who_only_looks_leaves_the_sleep_word_to_whose_it_is() {
    let memory = memory(256);
    let word = &memory.control().consumer_sleep;
    word.store(7, Ordering::Relaxed);
    let mut looks = RawConsumer::<OF_SESSION>::looking(memory.clone(), ANY).unwrap();
    let header = Header {
        length: 0,
        kind: 1,
        flags: 0,
        generation: ANY.generation,
    };
    let mut puts = RawProducer::<OF_SESSION>::resume(memory.clone()).unwrap();
    puts.push(header, [], b"one").unwrap();
    puts.publish();
    assert!(looks.peek().unwrap().is_some());
    assert_eq!(word.load(Ordering::Relaxed), 7, "it sleeps");
    RawConsumer::<OF_SESSION>::resume(memory.clone(), ANY).unwrap();
    assert_eq!(word.load(Ordering::Relaxed), 8, "its successor is awake");
}
