//! The index arithmetic and the memory orderings of a ring, and nothing else.
//!
//! One producer and one consumer share two words: `tail`, the count of bytes that were ever published, and
//! `head`, the count of bytes that were ever freed. Both only grow (and wrap at 2⁶⁴), both are multiples of 8,
//! and `tail - head` is at most the capacity, which is a power of two. A byte with index `i` lies at
//! `i & (capacity - 1)`.
//!
//! ```text
//!      head             next            published        reserved
//! ───────┼────────────────┼─────────────────┼───────────────┼──────▶
//!  free  │ read, not yet  │ published, not  │ being written │  free
//!        │ freed          │ yet read        │               │
//! ```
//!
//! `head` and `published` (the tail) are shared; `next` is the consumer's secret and `reserved` the producer's.
//! A queue frees a record as soon as it has been copied out; a session's request ring frees one that wants an answer only
//! when it has been answered, so that a successor of a dead server finds it again.
//!
//! Where all that was published is freed, the producer of a session's ring may *rewind*: both sides go on at the next multiple
//! of the capacity, where the memory begins, so that the same cache lines are used again and again. The lowest bit of the tail's
//! word says so ([`REWOUND`]), until the producer knows that the consumer has freed something behind that index, which is the
//! last multiple before the tail. A consumer that has not been there yet goes on there. To the producer, a
//! `head` that stands where it stood before means that index too. (A word of its own would be a second store to a line that
//! the consumer looks at, which takes it away between the two.)
//!
//! A producer that finds no room looks at `head` again and again, and the consumer's stores to it then wait for its line each
//! time. So where nothing else wants it sooner, many records are freed by one store; a third word, `done`, which the producer does not
//! look at, says where a successor is to begin if it is ahead of `head`.
//!
//! Each side keeps a copy of the other's index and looks at the shared word only when the copy says that there
//! is nothing to read, or no room. What it then reads is checked against what it knew before: an index that is
//! misaligned, that went back, or that ran past the other one is [`Corrupt`], never clamped.
//!
//! Pairs of orderings carry everything:
//!
//! * `SYNC(record)`: [`ProducerCursor::publish`] stores the tail with release; [`ConsumerCursor::look`]
//!   loads it with acquire. What the producer wrote before is seen by the consumer after.
//! * `SYNC(room)`: [`ConsumerCursor::release`] stores the head with release; [`ProducerCursor::reserve`]
//!   loads it with acquire. The consumer's reads are over before the producer writes over them.
//! * `SYNC(ack)`: so does what the consumer says elsewhere of what it has freed, which the producer [hears](ProducerCursor::hear).
//! * `SYNC(done)`: [`ConsumerCursor::pass`] stores that word with release; [`ConsumerCursor::go_on`] loads it with acquire. What
//!   was read is not read again.
//!
//! This file uses no memory, and no other module than [`Corrupt`] and [`Word`], so that a model checker can run it on
//! words of its own (`tests/models`).

use super::corrupt::Corrupt;
use super::word::Word;

/// Why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room now; the consumer may make some.
    Full,
    /// The consumer wrote an index that cannot be.
    Corrupt(Corrupt),
}

/// Whether `found` is a multiple of 8 at most `span` bytes after `from`.
#[inline]
fn within(found: u64, from: u64, span: u64) -> bool {
    found.is_multiple_of(8) && found.wrapping_sub(from) <= span
}

/// In the word of a tail: the ring was rewound, and the consumer is not known to have freed anything since.
const REWOUND: u64 = 1;

/// What the word of a tail says, in a ring that may be rewound: the index, and the one to which it was rewound.
#[inline]
fn told(word: u64, capacity: u64) -> (u64, Option<u64>) {
    let index = word & !REWOUND;
    // Something was published behind it, and no more than the capacity.
    let to = index.wrapping_sub(1) & !(capacity - 1);
    (index, (word != index).then_some(to))
}

/// Where the bytes begin that are not freed, in a ring that was taken up: at the head, or further on, where it was rewound to or
/// passed since.
fn begin(tail: u64, head: u64, since: Option<u64>) -> u64 {
    match since {
        Some(since) if is_ahead(since, head, tail) => since,
        _ => head,
    }
}

/// Whether an index is another one than `from` and lies between it and `to`, or is that.
#[inline]
fn is_ahead(index: u64, from: u64, to: u64) -> bool {
    index != from && index.wrapping_sub(from) <= to.wrapping_sub(from)
}

/// The producer's side of the arithmetic.
#[derive(Debug)]
pub(crate) struct ProducerCursor {
    capacity: u64,
    /// Up to here the consumer may read.
    published: u64,
    /// Up to here records have been reserved. Invariant: `reserved - head <= capacity`.
    reserved: u64,
    /// The consumer's index as last seen.
    head: u64,
    /// What a rewind has passed over since the consumer has last freed anything: its word is so far behind `head`.
    passed: u64,
}

impl ProducerCursor {
    /// Takes up a ring of `capacity` bytes whose words are `tail` and `head`: zeros for a new one, else what a predecessor left.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if no correct pair of users could have left these.
    pub(crate) fn resume(capacity: u64, tail: u64, head: u64) -> Result<Self, Corrupt> {
        debug_assert!(capacity.is_power_of_two() && capacity >= 8);
        let (tail, rewound) = told(tail, capacity);
        let rewound = rewound.filter(|to| to.wrapping_sub(head) <= capacity);
        let (found, head) = (head, begin(tail, head, rewound));
        if !found.is_multiple_of(8) {
            return Err(Corrupt::Head {
                found,
                from: tail.wrapping_sub(capacity),
                to: tail,
            });
        }
        if !within(tail, head, capacity) {
            return Err(Corrupt::Tail {
                found: tail,
                from: head,
                to: head.wrapping_add(capacity),
            });
        }
        Ok(Self {
            capacity,
            published: tail,
            reserved: tail,
            head,
            passed: head.wrapping_sub(found),
        })
    }

    /// Sets aside the next `len` bytes (a multiple of 8) and gives their index. The consumer does not see them
    /// before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] if the consumer has not freed enough; nothing has changed then.
    #[inline(always)]
    pub(crate) fn reserve<W: Word>(&mut self, len: u64, head: &W) -> Result<u64, Refused> {
        debug_assert!(len > 0 && len.is_multiple_of(8));
        if self.room() < len {
            self.find_room(len, head)?;
        }
        let at = self.reserved;
        self.reserved = at.wrapping_add(len);
        Ok(at)
    }

    /// Looks whether there is room for `len` bytes by now.
    #[cold]
    fn find_room<W: Word>(&mut self, len: u64, head: &W) -> Result<(), Refused> {
        match self.look(head) {
            Ok(room) if room >= len => Ok(()),
            Ok(_) => Err(Refused::Full),
            Err(corrupt) => Err(Refused::Corrupt(corrupt)),
        }
    }

    /// Looks at the consumer's index now, and gives the room that there is: for a second look before a sleep.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Head`] if the index went back, passed what was reserved, or is misaligned.
    pub(crate) fn look<W: Word>(&mut self, head: &W) -> Result<u64, Corrupt> {
        // SYNC(room): pairs with ConsumerCursor::release.
        let mut found = head.load_acquire();
        if found == self.head.wrapping_sub(self.passed) {
            found = self.head;
        }
        // The consumer cannot have freed what it cannot have seen: the bound is what was published.
        if !within(found, self.head, self.published.wrapping_sub(self.head)) {
            return Err(Corrupt::Head {
                found,
                from: self.head,
                to: self.published,
            });
        }
        self.hear(found);
        Ok(self.room())
    }

    /// Goes on where the memory begins, if the consumer is known to have freed all that was published. Nothing may be reserved
    /// and not published.
    #[inline(always)]
    pub(crate) fn rewind(&mut self) {
        debug_assert_eq!(self.unpublished(), 0);
        let at = self.published & (self.capacity - 1);
        if at != 0 && self.room() == self.capacity {
            self.passed = self.capacity - at;
            self.head = self.published.wrapping_add(self.passed);
            (self.published, self.reserved) = (self.head, self.head);
        }
    }

    /// Takes in what the consumer has acknowledged: that it has freed everything before `upto`, a word that was loaded with
    /// acquire. Where it is not between what is known to be freed and what is published it is old, or wrong, and nothing is learnt
    /// from it.
    #[inline]
    pub(crate) fn hear(&mut self, upto: u64) {
        if upto != self.head && within(upto, self.head, self.published.wrapping_sub(self.head)) {
            self.head = upto;
            self.passed = 0;
        }
    }

    /// Shows all that was reserved to the consumer. Whatever was to be written there must have been.
    #[inline]
    pub(crate) fn publish<W: Word>(&mut self, tail: &W) {
        if self.unpublished() == 0 {
            // A tail that says that the ring was rewound lies behind that index.
            return;
        }
        let rewound = REWOUND * u64::from(self.passed != 0);
        // SYNC(record): pairs with ConsumerCursor::look.
        tail.store_release(self.reserved | rewound);
        self.published = self.reserved;
    }

    /// Gives back what was reserved and not published.
    pub(crate) fn abandon(&mut self) {
        self.reserved = self.published;
    }

    /// The bytes that were reserved and not published.
    #[inline]
    pub(crate) fn unpublished(&self) -> u64 {
        self.reserved.wrapping_sub(self.published)
    }

    /// The bytes that could be reserved as far as this side knows without looking.
    #[inline]
    pub(crate) fn room(&self) -> u64 {
        self.capacity - self.reserved.wrapping_sub(self.head)
    }

    /// Whether the record at index `at` is known to be freed; else it is still what this producer wrote there. One that was given
    /// back before it was published counts as freed.
    #[inline]
    pub(crate) fn has_freed(&self, at: u64) -> bool {
        let age = self.reserved.wrapping_sub(at);
        age == 0 || age > self.reserved.wrapping_sub(self.head)
    }
}

/// The consumer's side of the arithmetic.
#[derive(Debug)]
pub(crate) struct ConsumerCursor {
    capacity: u64,
    /// Up to here the producer may write again.
    head: u64,
    /// Up to here this side has read. Invariants: `next - head <= tail - head <= capacity`.
    next: u64,
    /// The producer's index as last seen.
    tail: u64,
    /// The word that it was seen in, in a ring that may be rewound.
    word: u64,
    /// Whether the producer had rewound the ring when it last published something.
    rewinds: bool,
}

impl ConsumerCursor {
    /// Takes up a ring of `capacity` bytes, as [`ProducerCursor::resume`]. Reading starts again where the bytes
    /// begin that were not freed.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn resume(capacity: u64, head: u64, tail: u64) -> Result<Self, Corrupt> {
        let before = ProducerCursor::resume(capacity, tail, head)?;
        Ok(Self {
            capacity,
            head: before.head,
            next: before.head,
            tail: before.published,
            word: tail,
            rewinds: false,
        })
    }

    /// Goes on where a predecessor has [passed](Self::pass) more than it has released, before anything is read: frees that.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Head`] if no correct predecessor could have left that.
    pub(crate) fn go_on<W: Word>(&mut self, done: &W, head: &W) -> Result<(), Corrupt> {
        // SYNC(done): pairs with pass.
        let begin = begin(self.tail, self.head, Some(done.load_acquire()));
        if begin != self.head {
            ProducerCursor::resume(self.capacity, self.tail, begin)?;
            self.next = begin;
            self.release(begin, head);
        }
        Ok(())
    }

    /// Looks at the producer's index now, and gives the published bytes that were not read yet.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Tail`] if the index went back, is misaligned, or more than the capacity ahead.
    #[inline]
    pub(crate) fn look<W: Word>(&mut self, tail: &W) -> Result<u64, Corrupt> {
        // SYNC(record): pairs with ProducerCursor::publish.
        self.see(tail.load_acquire())
    }

    /// As [`look`](Self::look), in a ring that may be rewound.
    ///
    /// # Errors
    ///
    /// Besides, [`Corrupt::Rewound`] if it was rewound when not everything was freed, or further than to where the memory begins next.
    #[inline]
    pub(crate) fn look_on<W: Word>(&mut self, tail: &W) -> Result<u64, Corrupt> {
        // SYNC(record): as there.
        let word = tail.load_acquire();
        if word == self.word {
            return Ok(self.known());
        }
        let (found, rewound) = told(word, self.capacity);
        let rewound = rewound.filter(|to| is_ahead(*to, self.tail, found));
        self.rewinds = rewound.is_some();
        if let Some(to) = rewound {
            if self.head != self.tail || to.wrapping_sub(self.tail) > self.capacity {
                return Err(Corrupt::Rewound { found: to });
            }
            (self.head, self.next, self.tail) = (to, to, to);
        }
        let known = self.see(found)?;
        self.word = word;
        Ok(known)
    }

    /// Takes in the producer's index.
    #[inline(always)]
    fn see(&mut self, found: u64) -> Result<u64, Corrupt> {
        let to = self.head.wrapping_add(self.capacity);
        if !within(found, self.tail, to.wrapping_sub(self.tail)) {
            return Err(Corrupt::Tail {
                found,
                from: self.tail,
                to,
            });
        }
        self.tail = found;
        Ok(self.known())
    }

    /// The word of the tail as last seen, in a ring that may be rewound.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.word
    }

    /// The published bytes that were not read yet, as far as this side knows without looking.
    #[inline]
    pub(crate) fn known(&self) -> u64 {
        self.tail.wrapping_sub(self.next)
    }

    /// The index of the next byte to read.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Where the next record will probably stand: where the memory begins, if the producer can rewind and did so last time.
    #[inline]
    pub(crate) fn expected(&self) -> u64 {
        match self.rewinds && self.unreleased() == 0 {
            true => 0,
            false => self.next,
        }
    }

    /// Marks the next `len` bytes as read. They stay where they are until [`release`](Self::release).
    #[inline]
    pub(crate) fn advance(&mut self, len: u64) {
        debug_assert!(len.is_multiple_of(8) && len <= self.known());
        self.next = self.next.wrapping_add(len);
    }

    /// Has a successor begin at the index `upto`, where a record ends that was read, though what is before it will be
    /// [released](Self::release) only later. Nothing before it may be wanted by a successor.
    #[inline]
    pub(crate) fn pass<W: Word>(&self, upto: u64, done: &W) {
        debug_assert!(within(upto, self.head, self.next.wrapping_sub(self.head)));
        // SYNC(done): what was read before is not read again by who begins there.
        done.store_release(upto);
    }

    /// Up to here the producer may write again.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Lets the producer write over everything before the index `upto`, all of which was read.
    #[inline]
    pub(crate) fn release<W: Word>(&mut self, upto: u64, head: &W) {
        debug_assert!(within(upto, self.head, self.next.wrapping_sub(self.head)));
        // SYNC(room): pairs with ProducerCursor::look.
        head.store_release(upto);
        self.head = upto;
    }

    /// The bytes that were read and not yet freed.
    #[inline]
    pub(crate) fn unreleased(&self) -> u64 {
        self.next.wrapping_sub(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    const CAPACITY: u64 = 64;

    fn words(index: u64) -> (AtomicU64, AtomicU64) {
        (AtomicU64::new(index), AtomicU64::new(index))
    }

    #[test]
    fn a_reservation_is_refused_until_the_consumer_has_freed_enough() {
        // Just before the indices wrap.
        let start = u64::MAX - 39;
        let (tail, head) = words(start);
        let mut producer = ProducerCursor::resume(CAPACITY, start, start).unwrap();
        let mut consumer = ConsumerCursor::resume(CAPACITY, start, start).unwrap();
        assert_eq!(producer.reserve(40, &head), Ok(start));
        assert_eq!(producer.reserve(24, &head), Ok(0));
        assert_eq!(producer.reserve(8, &head), Err(Refused::Full));
        assert_eq!(consumer.look(&tail), Ok(0), "nothing is published yet");
        producer.publish(&tail);
        assert_eq!(consumer.look(&tail), Ok(64));
        consumer.advance(40);
        assert_eq!(
            producer.reserve(8, &head),
            Err(Refused::Full),
            "read is not freed"
        );
        consumer.release(consumer.next(), &head);
        assert_eq!(producer.reserve(48, &head), Err(Refused::Full));
        assert_eq!(producer.reserve(40, &head), Ok(24));
        assert_eq!(consumer.look(&tail), Ok(24));
    }

    #[test]
    fn what_was_abandoned_is_never_seen() {
        let (tail, head) = words(0);
        let mut producer = ProducerCursor::resume(CAPACITY, 0, 0).unwrap();
        assert_eq!(producer.reserve(24, &head), Ok(0));
        producer.publish(&tail);
        assert_eq!(producer.reserve(40, &head), Ok(24));
        assert_eq!(producer.unpublished(), 40);
        producer.abandon();
        assert_eq!((producer.unpublished(), producer.room()), (0, 40));
        producer.publish(&tail);
        assert_eq!(tail.load_relaxed(), 24);
    }

    #[test]
    fn a_record_is_freed_when_the_index_has_passed_it() {
        let start = u64::MAX - 31;
        let (tail, head) = words(start);
        let mut producer = ProducerCursor::resume(CAPACITY, start, start).unwrap();
        let ats = [(); 3].map(|()| producer.reserve(16, &head).unwrap());
        producer.publish(&tail);
        let freed = |producer: &ProducerCursor| ats.map(|at| producer.has_freed(at));
        assert_eq!(freed(&producer), [false; 3]);
        head.store_release(ats[2]);
        producer.look(&head).unwrap();
        assert_eq!(freed(&producer), [true, true, false]);
        head.store_release(tail.load_relaxed());
        producer.look(&head).unwrap();
        producer.rewind();
        assert_eq!(freed(&producer), [true; 3]);
        let next = producer.reserve(16, &head).unwrap();
        assert!(freed(&producer) == [true; 3] && !producer.has_freed(next));
        producer.abandon();
        assert!(producer.has_freed(next), "given back");
        assert!(producer.has_freed(next.wrapping_add(8)), "not reserved");
    }

    #[test]
    fn the_next_record_is_expected_where_the_last_one_would_have_had_it() {
        let (tail, head) = words(0);
        let mut producer = ProducerCursor::resume(CAPACITY, 0, 0).unwrap();
        let mut consumer = ConsumerCursor::resume(CAPACITY, 0, 0).unwrap();
        for (rewinds, expected) in [(false, 8), (true, 0), (true, 0), (false, 16), (true, 0)] {
            if rewinds {
                producer.look(&head).unwrap();
                producer.rewind();
            }
            producer.reserve(8, &head).unwrap();
            producer.publish(&tail);
            assert_eq!(consumer.look_on(&tail), Ok(8));
            consumer.advance(8);
            consumer.release(consumer.next(), &head);
            assert_eq!(consumer.look_on(&tail), Ok(0));
            assert_eq!(consumer.expected() & (CAPACITY - 1), expected);
        }
    }

    #[test]
    fn who_takes_over_goes_on_behind_what_was_passed_and_frees_it() {
        let start = u64::MAX - 15;
        let ((tail, head), done) = (words(start), AtomicU64::new(start));
        let mut producer = ProducerCursor::resume(CAPACITY, start, start).unwrap();
        let take_over = || {
            let [head_was, tail_was] = [&head, &tail].map(Word::load_relaxed);
            let mut consumer = ConsumerCursor::resume(CAPACITY, head_was, tail_was)?;
            consumer.go_on(&done, &head)?;
            Ok(consumer)
        };
        for _ in 0..CAPACITY / 16 {
            producer.reserve(16, &head).unwrap();
        }
        producer.publish(&tail);
        let mut first = take_over().unwrap();
        assert_eq!(first.next(), start, "nothing was passed yet");
        first.advance(32);
        first.pass(start.wrapping_add(16), &done);
        assert_eq!(producer.reserve(16, &head), Err(Refused::Full));
        let mut second = take_over().unwrap();
        assert_eq!(
            (second.next(), second.unreleased()),
            (start.wrapping_add(16), 0)
        );
        assert_eq!(
            producer.reserve(16, &head),
            Ok(start.wrapping_add(CAPACITY))
        );
        second.advance(32);
        second.release(second.next(), &head);
        let third = take_over().unwrap();
        assert_eq!(
            third.next(),
            start.wrapping_add(48),
            "what is behind the head is old"
        );
        // Within a record, beyond the tail, before the head.
        for left in [49, 72, 16] {
            done.store_release(start.wrapping_add(left));
            let begun: Result<ConsumerCursor, Corrupt> = take_over();
            assert_eq!(begun.is_err(), left == 49, "{left}");
            assert!(begun.is_err() || begun.unwrap().next() == start.wrapping_add(48));
        }
    }

    #[test]
    fn indices_that_no_correct_pair_leaves_are_corrupt() {
        for (tail, head) in [(72, 0), (8, 16), (0, 8), (4, 0), (8, 4), (u64::MAX, 0)] {
            assert!(
                ProducerCursor::resume(CAPACITY, tail, head).is_err(),
                "{tail} {head}"
            );
            assert!(
                ConsumerCursor::resume(CAPACITY, head, tail).is_err(),
                "{tail} {head}"
            );
        }
        for (tail, head) in [(64, 0), (0, 0), (8, 8), (24, u64::MAX - 39)] {
            assert!(
                ProducerCursor::resume(CAPACITY, tail, head).is_ok(),
                "{tail} {head}"
            );
            assert!(
                ConsumerCursor::resume(CAPACITY, head, tail).is_ok(),
                "{tail} {head}"
            );
        }
    }

    #[test]
    fn a_head_that_is_misaligned_went_back_or_ran_ahead_is_corrupt() {
        for found in [4, 65, 8, u64::MAX - 7, 56, 104, u64::MAX] {
            let head = AtomicU64::new(found);
            let mut producer = ProducerCursor::resume(CAPACITY, 48, 16).unwrap();
            let _ = producer.reserve(32, &head).unwrap();
            let refused = Refused::Corrupt(Corrupt::Head {
                found,
                from: 16,
                to: 48,
            });
            assert_eq!(producer.reserve(8, &head), Err(refused));
        }
    }

    #[test]
    fn a_tail_that_is_misaligned_went_back_or_ran_ahead_is_corrupt() {
        for found in [4, 65, 40, 24, 88, u64::MAX - 7, u64::MAX] {
            let tail = AtomicU64::new(found);
            let mut consumer = ConsumerCursor::resume(CAPACITY, 16, 48).unwrap();
            consumer.advance(32);
            let corrupt = Corrupt::Tail {
                found,
                from: 48,
                to: 80,
            };
            assert_eq!(consumer.look(&tail), Err(corrupt));
        }
    }
}
