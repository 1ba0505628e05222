//! Rings that are rewound, against a queue that is obviously right, and against producers that rewind as none may.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers at random are cut down on purpose"
)]

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::corrupt::Corrupt;
use super::cursor::Refused;
use super::memory::RingMemory;
use super::raw::{RawConsumer, RawProducer};
use super::record::{Header, OF_SESSION, PLAIN, record_len};
use super::tests::{ANY, ROUNDS, Random, memory};

const HEADER: Header = Header {
    length: 0,
    kind: 1,
    flags: 0,
    generation: 7,
};

fn producer(memory: &RingMemory) -> RawProducer<OF_SESSION> {
    RawProducer::resume(memory.clone()).unwrap()
}

fn consumer(memory: &RingMemory) -> RawConsumer<OF_SESSION> {
    RawConsumer::resume(memory.clone(), ANY).unwrap()
}

/// A record, as the queue that is right has it.
#[derive(Clone)]
struct Sent {
    at: u64,
    payload: Vec<u8>,
}

impl Sent {
    fn len(&self) -> u64 {
        record_len::<OF_SESSION>(self.payload.len() as u32)
    }
}

/// Reads a record and goes past it; frees nothing.
fn take(consumer: &mut RawConsumer<OF_SESSION>) -> Option<(u64, Vec<u8>)> {
    let found = consumer.peek().unwrap()?;
    let mut payload = Vec::new();
    consumer.read_to_vec(&found, &mut payload);
    consumer.advance(&found);
    Some((found.at, payload))
}

/// One that is published: its index.
fn put(producer: &mut RawProducer<OF_SESSION>, payload: &[u8]) -> u64 {
    let at = producer.push(HEADER, [], payload).unwrap();
    producer.publish();
    at
}

/// As a producer does that has heard of all that is freed.
fn rewind(puts: &mut RawProducer<OF_SESSION>, memory: &RingMemory) {
    puts.rewind(memory.control().head.load(Ordering::Relaxed));
}

#[test]
fn a_ring_that_is_rewound_does_what_a_queue_does() {
    for (seed, capacity) in [(1, 128), (2, 256), (3, 1024), (4, 4096)] {
        let mut random = Random(seed);
        let memory = memory(capacity);
        // The indices wrap early on.
        let start = (capacity as u64 * 2).wrapping_neg();
        memory.control().tail.store(start, Ordering::Relaxed);
        memory.control().head.store(start, Ordering::Relaxed);
        let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
        // In memory and not freed; so many of them were read, and so many are published.
        let mut sent: VecDeque<Sent> = VecDeque::new();
        let (mut read, mut published) = (0, 0);
        let mut rewinds = 0;
        for _ in 0..ROUNDS {
            match random.below(16) {
                0..5 => {
                    let len = random.below(capacity / 2);
                    let payload = random.bytes(len);
                    let used: u64 = sent.iter().map(Sent::len).sum();
                    match puts.push(HEADER, [], &payload) {
                        Ok(at) => sent.push_back(Sent { at, payload }),
                        Err(Refused::Full) => {
                            let needed = record_len::<OF_SESSION>(len as u32);
                            assert!(used + needed > capacity as u64);
                        }
                        Err(Refused::Corrupt(why)) => panic!("{why}"),
                    }
                }
                5..8 => {
                    puts.publish();
                    published = sent.len();
                }
                8..12 => match take(&mut takes) {
                    Some((at, payload)) => {
                        assert_eq!((at, &payload), (sent[read].at, &sent[read].payload));
                        read += 1;
                    }
                    None => assert_eq!(read, published),
                },
                12 => {
                    takes.release_read();
                    sent.drain(..read);
                    published -= read;
                    read = 0;
                }
                13 => {
                    // What it has heard of is old at times, or wrong.
                    let [tail, head] = [&memory.control().tail, &memory.control().head]
                        .map(|word| word.load(Ordering::Relaxed));
                    let heard = match random.below(9) {
                        0 => head.wrapping_sub(64 * random.below(8) as u64),
                        1 => tail.wrapping_add(64 + random.below(1 << 20) as u64),
                        2 => head | (1 + random.below(7) as u64),
                        _ => head,
                    };
                    puts.rewind(heard);
                    if heard == head && sent.is_empty() {
                        let at = puts.push(HEADER, [], &[]).unwrap();
                        assert_eq!(at % capacity as u64, 0, "the memory's first byte");
                        rewinds += 1;
                        // Dropped, or kept, or its producer dies.
                        match random.below(3) {
                            0 => puts.abandon(),
                            1 => puts = producer(&memory),
                            _ => sent.push_back(Sent {
                                at,
                                payload: Vec::new(),
                            }),
                        }
                    }
                }
                14 => {
                    puts = producer(&memory);
                    sent.truncate(published);
                }
                _ => {
                    takes = consumer(&memory);
                    read = 0;
                }
            }
        }
        assert!(rewinds > ROUNDS / 1000, "{rewinds}");
    }
}

#[test]
fn what_is_heard_of_what_is_freed_is_used_only_if_it_can_be() {
    let memory = memory(256);
    let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
    for at in [0, 64, 128] {
        assert_eq!(put(&mut puts, b"one"), at);
    }
    // Old, odd, more than there is.
    for heard in [0, u64::MAX - 63, 188, 256, u64::MAX] {
        puts.rewind(heard);
        assert_eq!(puts.push(HEADER, [], &[0; 112]), Err(Refused::Full));
    }
    for _ in 0..3 {
        take(&mut takes).unwrap();
    }
    takes.release_read();
    puts.rewind(192);
    assert_eq!(put(&mut puts, b"two"), 256);
    // The same again says nothing of that one.
    puts.rewind(192);
    assert_eq!(put(&mut puts, b"three"), 320);
    assert_eq!([0; 2].map(|_| take(&mut takes).unwrap().0), [256, 320]);
}

#[test]
fn a_ring_is_not_rewound_while_anything_in_it_is_not_freed() {
    let memory = memory(256);
    let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
    assert_eq!(put(&mut puts, b"one"), 0);
    rewind(&mut puts, &memory);
    assert_eq!(put(&mut puts, b"two"), 64, "not read");
    assert_eq!(take(&mut takes).unwrap().0, 0);
    assert_eq!(take(&mut takes).unwrap().0, 64);
    rewind(&mut puts, &memory);
    assert_eq!(put(&mut puts, b"three"), 128, "not freed");
    assert_eq!(take(&mut takes).unwrap().0, 128);
    takes.release_read();
    let unpublished = puts.push(HEADER, [], b"four").unwrap();
    rewind(&mut puts, &memory);
    puts.publish();
    assert_eq!(take(&mut takes).unwrap().0, unpublished, "not published");
    takes.release_read();
    rewind(&mut puts, &memory);
    assert_eq!(puts.push(HEADER, [], &[0; 240]), Ok(256));
    assert_eq!(puts.push(HEADER, [], &[]), Err(Refused::Full), "it is full");
    puts.publish();
    assert_eq!(take(&mut takes), Some((256, vec![0; 240])));
}

#[test]
fn the_one_after_a_producer_that_died_in_a_rewind_goes_on_where_it_was() {
    let memory = memory(256);
    let mut takes = consumer(&memory);
    let mut before = producer(&memory);
    assert_eq!(put(&mut before, b"one"), 0);
    take(&mut takes).unwrap();
    takes.release_read();
    rewind(&mut before, &memory);
    assert_eq!(before.push(HEADER, [], b"lost"), Ok(256));
    assert_eq!(take(&mut takes), None, "it was not published");
    let mut after = producer(&memory);
    for at in [64, 128, 192, 256, 320, 384] {
        assert_eq!(put(&mut after, b"two"), at);
        assert_eq!(take(&mut takes), Some((at, b"two".to_vec())));
        takes.release_read();
    }
}

#[test]
fn a_tail_says_that_the_ring_was_rewound_until_something_behind_that_is_freed() {
    let memory = memory(256);
    let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
    let tail = || memory.control().tail.load(Ordering::Relaxed);
    put(&mut puts, b"one");
    take(&mut takes).unwrap();
    takes.release_read();
    assert_eq!(tail(), 64);
    rewind(&mut puts, &memory);
    put(&mut puts, b"two");
    assert_eq!(tail(), 320 | 1);
    assert_eq!(take(&mut takes).unwrap().0, 256);
    // Not freed yet; and the next producer says so too.
    put(&mut puts, b"three");
    assert_eq!(tail(), 384 | 1);
    let mut puts = producer(&memory);
    put(&mut puts, b"four");
    assert_eq!(tail(), 448 | 1);
    assert_eq!([0; 2].map(|_| take(&mut takes).unwrap().0), [320, 384]);
    takes.release(320);
    // It learns of that when it needs room.
    assert_eq!(puts.push(HEADER, [], &[0; 100]), Ok(448));
    puts.publish();
    assert_eq!(tail(), 576);
    assert_eq!(take(&mut takes).unwrap().0, 448);
}

#[test]
fn a_successor_begins_at_what_was_put_after_a_rewind() {
    let memory = memory(256);
    let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
    put(&mut puts, b"one");
    take(&mut takes).unwrap();
    takes.release_read();
    rewind(&mut puts, &memory);
    assert_eq!(put(&mut puts, b"two"), 256);
    assert_eq!(memory.control().head.load(Ordering::Relaxed), 64);
    for looked in [false, true] {
        if looked {
            assert_eq!(take(&mut takes).unwrap().0, 256);
        }
        let mut after = consumer(&memory);
        assert_eq!(take(&mut after), Some((256, b"two".to_vec())));
        let mut after = producer(&memory);
        assert_eq!(after.push(HEADER, [], &[0; 170]), Ok(320));
        assert_eq!(after.push(HEADER, [], &[]), Err(Refused::Full));
    }
}

#[test]
fn a_rewind_that_no_producer_makes_is_corrupt() {
    // Not free; and further on than where the memory begins again.
    for (is_free, found) in [(false, 256), (true, 512), (true, 1 << 40), (false, 512)] {
        let memory = memory(256);
        let (mut puts, mut takes) = (producer(&memory), consumer(&memory));
        put(&mut puts, b"one");
        take(&mut takes).unwrap();
        if is_free {
            takes.release_read();
        }
        let tail = |word| memory.control().tail.store(word, Ordering::Relaxed);
        tail((found + 64) | 1);
        for _ in 0..2 {
            assert_eq!(takes.look(), Err(Corrupt::Rewound { found }));
        }
        let again = RawConsumer::<OF_SESSION>::resume(memory.clone(), ANY);
        assert_eq!(again.is_ok(), found == 256, "whoever comes next frees all");
    }
}

/// What a consumer says of this word for a tail, each time it looks.
fn looks_at<const WORDS: usize>(word: u64) -> [Result<bool, Corrupt>; 2] {
    let memory = memory(256);
    let mut takes = RawConsumer::<WORDS>::resume(memory.clone(), ANY).unwrap();
    memory.control().tail.store(word, Ordering::Relaxed);
    [(); 2].map(|()| takes.look())
}

#[test]
fn a_tail_that_says_what_no_tail_says_is_corrupt() {
    let corrupt = |found| {
        let (from, to) = (0, 256);
        [Err(Corrupt::Tail { found, from, to }); 2]
    };
    assert_eq!(looks_at::<OF_SESSION>(64 | 2), corrupt(64 | 2));
    assert_eq!(looks_at::<OF_SESSION>(64 | 5), corrupt(64 | 4));
    assert_eq!(looks_at::<PLAIN>(64 | 1), corrupt(64 | 1));
}

#[test]
fn a_queue_whose_tail_says_that_it_was_rewound_is_not_taken_up() {
    for word in [73, 64 | 1, 320 | 1] {
        let memory = memory(256);
        memory.control().tail.store(word, Ordering::Relaxed);
        let (from, to) = (0, 256);
        let corrupt = Some(Corrupt::Tail {
            found: word,
            from,
            to,
        });
        assert_eq!(
            RawConsumer::<PLAIN>::resume(memory.clone(), ANY).err(),
            corrupt
        );
        assert_eq!(RawProducer::<PLAIN>::resume(memory).err(), corrupt);
    }
}
