//! How the two ends of a queue come to the same memory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::{CAPACITY_MIN, CLOSED, CONTROL_LEN, Control, RingMemory, TAKEN, VACANT};
use super::{Consumer, Corrupt, Producer};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::segment::{Raw, SegmentOptions, SharedSegment};
use crate::sys::fork::{self, Stamp};
use crate::sys::map::Region;

/// What a queue's segment says that it holds.
const FINGERPRINT: u64 = u64::from_le_bytes(*b"queue\0\0\x03");

/// The greatest capacity. What fits into memory is less.
const CAPACITY_MAX: usize = 1 << 40;

/// Makes a ring in memory without a name, for two threads of one process.
///
/// `capacity` is the bytes for records, of which each takes 8 and its payload, rounded up to a multiple of 8; it is
/// rounded up to a power of two, and to 64. From 64 KiB on the ring takes up to four times as much memory, but no more than
/// 4 MiB for that (1 MiB where the processor is not AMD's): the records move around in it, which is up to three times as fast
/// between two cores.
///
/// # Errors
///
/// [`Error::NoSpace`] if there is not so much memory, [`Error::TooLong`] for more than 2⁴⁰ bytes.
///
/// # Examples
///
/// ```
/// let (mut producer, mut consumer) = osps_ipc::ring::pair(64 * 1024)?;
/// std::thread::spawn(move || producer.try_push(1, b"hello"));
/// let mut payload = Vec::new();
/// while consumer.try_pop(&mut payload).is_err() {
///     std::thread::yield_now();
/// }
/// assert_eq!(payload, b"hello");
/// # Ok::<(), osps_ipc::Error>(())
/// ```
pub fn pair(capacity: usize) -> Result<(Producer, Consumer)> {
    let (capacity, options) = options(capacity)?;
    let segment = options.anonymous()?;
    let memory = RingMemory::new_queue(segment.region(), capacity);
    let memory = memory.ok_or_else(|| unfit(segment.region(), segment.path()))?;
    let producer = take(&memory, End::Producer, segment.path())?;
    let consumer = take(&memory, End::Consumer, segment.path())?;
    let broken = |why| broken(&segment, why);
    Ok((
        Producer::new(memory.clone(), producer).map_err(broken)?,
        Consumer::new(memory, consumer).map_err(broken)?,
    ))
}

impl Producer {
    /// Makes a ring with a name, which must be free, and is its producer. `capacity` is as for [`pair`].
    ///
    /// The name is only for the consumer to find the ring: it is removed when the consumer has opened it, or when the
    /// producer is dropped before. A process that is killed before that leaves it; see [`SharedSegment::unlink`].
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::TooLong`], and [`Error::Os`] if the name is taken; nothing is left behind.
    pub fn create(directory: &Directory, name: &Name, capacity: usize) -> Result<Producer> {
        let (memory, hold, segment) = create(directory, name, capacity, End::Producer)?;
        Producer::new(memory, hold).map_err(|why| broken(&segment, why))
    }

    /// Opens a ring that another process has made as its consumer, and is its producer. Its name is gone then.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is none; [`Error::BadSegment`] if it is no ring, or has a producer, or had one.
    pub fn open(directory: &Directory, name: &Name) -> Result<Producer> {
        let (memory, hold, segment) = open(directory, name, End::Producer)?;
        Producer::new(memory, hold).map_err(|why| broken(&segment, why))
    }
}

impl Consumer {
    /// Makes a ring with a name, which must be free, and is its consumer. `capacity` is as for [`pair`].
    ///
    /// The name is only for the producer to find the ring: it is removed when the producer has opened it, or when the
    /// consumer is dropped before. A process that is killed before that leaves it; see [`SharedSegment::unlink`].
    ///
    /// # Errors
    ///
    /// As for [`Producer::create`].
    pub fn create(directory: &Directory, name: &Name, capacity: usize) -> Result<Consumer> {
        let (memory, hold, segment) = create(directory, name, capacity, End::Consumer)?;
        Consumer::new(memory, hold).map_err(|why| broken(&segment, why))
    }

    /// Opens a ring that another process has made as its producer, and is its consumer. Its name is gone then.
    ///
    /// # Errors
    ///
    /// As for [`Producer::open`].
    pub fn open(directory: &Directory, name: &Name) -> Result<Consumer> {
        let (memory, hold, segment) = open(directory, name, End::Consumer)?;
        Consumer::new(memory, hold).map_err(|why| broken(&segment, why))
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Producer,
    Consumer,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Producer => End::Consumer,
            End::Consumer => End::Producer,
        }
    }

    fn word(self, control: &Control) -> &AtomicU64 {
        match self {
            End::Producer => &control.producer_end,
            End::Consumer => &control.consumer_end,
        }
    }
}

/// An end of a ring that is taken. Dropping it closes the end, and removes the name by which the other end would
/// find the ring, unless that has come; a forked child's copy does neither.
#[derive(Debug)]
pub(super) struct Hold {
    memory: RingMemory,
    end: End,
    /// For the end that made a named ring.
    name: Option<(Directory, Name)>,
    stamp: Stamp,
}

impl Hold {
    /// Takes an end that nobody has or had; else tells what has become of it.
    pub(super) fn take(memory: &RingMemory, end: End) -> Result<Hold, &'static str> {
        let word = end.word(memory.control());
        match word.compare_exchange(VACANT, TAKEN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Hold {
                memory: memory.clone(),
                end,
                name: None,
                stamp: fork::stamp(),
            }),
            Err(CLOSED) => Err("closed"),
            Err(_) => Err("taken"),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.stamp.is_current() {
            return;
        }
        let control = self.memory.control();
        // SYNC(closed): pairs with Consumer::is_closed and Producer::is_closed. The last records were published before.
        self.end.word(control).store(CLOSED, Ordering::Release);
        let Some((directory, name)) = &self.name else {
            return;
        };
        // Keeps the other end from coming any more. Exactly one of the two removes the name, so that neither removes
        // that of a ring that is made later.
        let other = self.end.other().word(control);
        if other
            .compare_exchange(VACANT, CLOSED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            // Somebody may have removed it by hand; there is nobody to tell.
            let _ = SharedSegment::unlink(directory, name);
        }
    }
}

/// The capacity that is taken for this one, and the segment for it.
fn options(capacity: usize) -> Result<(usize, SegmentOptions<Raw>)> {
    let too_long = Error::TooLong {
        what: "a ring",
        len: capacity as u64,
        max: CAPACITY_MAX as u64,
    };
    if capacity > CAPACITY_MAX {
        return Err(too_long);
    }
    let capacity = capacity.next_power_of_two().max(CAPACITY_MIN);
    let len = RingMemory::len_for(capacity);
    Ok((capacity, SegmentOptions::raw(FINGERPRINT, len)))
}

/// What is told of memory in which there can be no ring.
fn unfit(region: &Region, path: &Path) -> Error {
    Error::BadSegment {
        path: path.to_owned(),
        what: "capacity",
        found: format!("{} bytes", region.len().saturating_sub(CONTROL_LEN)),
        expected: format!(
            "a power of two of at least {CAPACITY_MIN}, and a note of how much of it is used"
        ),
    }
}

fn take(memory: &RingMemory, end: End, path: &Path) -> Result<Hold> {
    Hold::take(memory, end).map_err(|found| Error::BadSegment {
        path: path.to_owned(),
        what: match end {
            End::Producer => "producing end",
            End::Consumer => "consuming end",
        },
        found: found.to_owned(),
        expected: "vacant".to_owned(),
    })
}

fn create(
    directory: &Directory,
    name: &Name,
    capacity: usize,
    end: End,
) -> Result<(RingMemory, Hold, SharedSegment<Raw>)> {
    let own = directory.try_clone()?;
    let (capacity, options) = options(capacity)?;
    let prepare = |region: &Region, path: &Path| {
        let memory = RingMemory::new_queue(region, capacity).ok_or_else(|| unfit(region, path))?;
        let hold = take(&memory, end, path)?;
        Ok((memory, hold))
    };
    let (segment, (memory, mut hold)) =
        options.create_prepared(directory, name.as_str(), prepare)?;
    hold.name = Some((own, name.clone()));
    Ok((memory, hold, segment))
}

fn open(
    directory: &Directory,
    name: &Name,
    end: End,
) -> Result<(RingMemory, Hold, SharedSegment<Raw>)> {
    let (_, options) = options(CAPACITY_MIN)?;
    let segment = options.open(directory, name)?;
    let memory = RingMemory::of_queue(segment.region());
    let memory = memory.ok_or_else(|| unfit(segment.region(), segment.path()))?;
    let hold = take(&memory, end, segment.path())?;
    // Whoever takes the second end removes the name (see Hold).
    SharedSegment::unlink(directory, name)?;
    Ok((memory, hold, segment))
}

fn broken(segment: &SharedSegment<Raw>, why: Corrupt) -> Error {
    Error::Corrupt {
        at: segment.path().display().to_string(),
        what: why.to_string(),
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut down on purpose"
)]
mod tests {
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::directory::testing::Scratch;
    use crate::ring::{PopError, PushError};
    use crate::sys::copy;
    use crate::sys::fork::{fork_for_test, wait_for_test};
    use crate::sys::testing::alone;

    const ROLE: &str = "OSPS_RING_ROLE";

    fn name() -> Name {
        Name::new("ring").unwrap()
    }

    /// Tries until it succeeds, for at most 20 seconds.
    fn in_time<T, E: std::fmt::Debug>(mut attempt: impl FnMut() -> std::result::Result<T, E>) -> T {
        let begin = Instant::now();
        loop {
            match attempt() {
                Ok(done) => return done,
                Err(why) => assert!(begin.elapsed() < Duration::from_secs(20), "{why:?}"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn two_mappings_of_a_named_ring_are_its_ends_and_the_name_goes() {
        let place = Scratch::new();
        let mut consumer = Consumer::create(&place, &name(), 1000).unwrap();
        assert_eq!(consumer.capacity(), 1024);
        let taken = Consumer::open(&place, &name()).unwrap_err();
        assert!(
            matches!(
                taken,
                Error::BadSegment {
                    what: "consuming end",
                    ..
                }
            ),
            "{taken}"
        );
        assert!(!place.is_empty());
        let mut producer = Producer::open(&place, &name()).unwrap();
        assert!(place.is_empty());
        producer.try_push(4, b"across").unwrap();
        let mut payload = Vec::new();
        assert_eq!(consumer.try_pop(&mut payload).unwrap().kind, 4);
        assert_eq!(payload, b"across");
        let another = Producer::create(&place, &name(), 64).unwrap();
        drop(consumer);
        assert!(producer.is_closed());
        assert!(!place.is_empty(), "the name is another ring's now");
        drop(another);
        assert!(place.is_empty());
    }

    #[test]
    fn a_ring_that_was_broken_while_it_was_made_leaves_no_name() {
        let place = Scratch::new();
        let (memory, hold, _) = create(&place, &name(), 64, End::Producer).unwrap();
        memory.control().head.store(8, Ordering::Relaxed);
        assert!(Producer::new(memory, hold).is_err());
        assert!(place.is_empty());
    }

    #[test]
    fn a_forked_child_neither_closes_its_parents_ring_nor_removes_its_name() {
        alone!(
            "a_forked_child_neither_closes_its_parents_ring_nor_removes_its_name",
            || {
                let place = Scratch::new();
                let mut made = Some(Producer::create(&place, &name(), 64).unwrap());
                for past_the_handlers in [false, true] {
                    let pid = fork_for_test(past_the_handlers, || {
                        drop(made.take());
                        0
                    });
                    assert_eq!(wait_for_test(pid), 0);
                }
                assert!(!place.is_empty());
                let consumer = Consumer::open(&place, &name()).unwrap();
                assert!(!consumer.is_closed());
                drop(made);
                assert!(consumer.is_closed());
            }
        );
    }

    #[test]
    fn a_ring_whose_maker_is_gone_cannot_be_opened() {
        let place = Scratch::new();
        let producer = Producer::create(&place, &name(), 64).unwrap();
        let Err(Error::Os {
            doing: "create", ..
        }) = Producer::create(&place, &name(), 64)
        else {
            panic!("the name is taken");
        };
        drop(producer);
        assert!(matches!(
            Consumer::open(&place, &name()),
            Err(Error::Os { .. })
        ));
        assert!(place.is_empty());
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let place = Scratch::new();
        SegmentOptions::bytes(4096).create(&place, &name()).unwrap();
        let refused = Consumer::open(&place, &name()).unwrap_err();
        assert!(matches!(refused, Error::BadSegment { .. }), "{refused}");
        SharedSegment::unlink(&place, &name()).unwrap();
        SegmentOptions::raw(FINGERPRINT, CONTROL_LEN + 72)
            .create(&place, &name())
            .unwrap();
        let refused = Consumer::open(&place, &name()).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::BadSegment {
                    what: "capacity",
                    ..
                }
            ),
            "{refused}"
        );
        assert!(matches!(pair(usize::MAX), Err(Error::TooLong { .. })));
        assert_eq!(pair(1000).unwrap().0.capacity(), 1024);
    }

    #[test]
    fn who_makes_a_ring_takes_its_capacity_and_its_end_before_anybody_sees_it() {
        let place = Scratch::new();
        let (_, options) = options(1024).unwrap();
        let prepare = |region: &Region, _: &Path| {
            assert!(Producer::open(&place, &name()).is_err());
            let memory = RingMemory::new_queue(region, 512).unwrap();
            memory.control().limit.store(64, Ordering::Relaxed);
            assert_eq!(memory.capacity(), 512, "is not read again");
            Ok(())
        };
        options.create_prepared(&place, "ring", prepare).unwrap();
        let opened = Producer::open(&place, &name()).unwrap();
        assert_eq!(opened.capacity(), 64);
        let refuse = |region: &Region, path: &Path| -> Result<()> { Err(unfit(region, path)) };
        assert!(options.create_prepared(&place, "ring", refuse).is_err());
        assert!(place.is_empty());
    }

    #[test]
    fn a_capacity_that_cannot_be_is_refused() {
        let place = Scratch::new();
        for (noted, is_good) in [
            (0, false),
            (32, false),
            (96, false),
            (64, true),
            (256, true),
            (512, false),
        ] {
            let options = SegmentOptions::raw(FINGERPRINT, CONTROL_LEN + 256);
            let made = options.create(&place, &name()).unwrap();
            let control = made.region().words::<Control>(0).unwrap();
            control.limit.store(noted as u64, Ordering::Relaxed);
            match Producer::open(&place, &name()) {
                Ok(producer) => assert!(is_good && producer.capacity() == noted),
                Err(refused) => {
                    assert!(
                        !is_good && refused.to_string().contains("capacity"),
                        "{refused}"
                    );
                    SharedSegment::unlink(&place, &name()).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_large_ring_moves_around_in_more_memory_than_may_be_used_at_a_time() {
        const KIB: usize = 1 << 10;
        let lens = [32, 64, 512, 1024, 2048, 4096, 8192].map(|kib| RingMemory::len_for(kib * KIB));
        let kib = lens.map(|len| (len - CONTROL_LEN) / KIB);
        assert_eq!(
            kib,
            match copy::is_amd() {
                true => [32, 256, 2048, 4096, 4096, 4096, 8192],
                false => [32, 256, 1024, 1024, 2048, 4096, 8192],
            }
        );
        let place = Scratch::new();
        let mut consumer = Consumer::create(&place, &name(), 256 * KIB).unwrap();
        let mut producer = Producer::open(&place, &name()).unwrap();
        assert_eq!(
            (producer.capacity(), consumer.capacity()),
            (256 * KIB, 256 * KIB)
        );
        let payload = vec![7; 32 * KIB - 8];
        let mut into = Vec::new();
        for _ in 0..5 {
            for _ in 0..8 {
                producer.try_push(1, &payload).unwrap();
            }
            assert_eq!(producer.try_push(1, &[]), Err(PushError::Full));
            // What was read is given back soon.
            consumer.try_pop(&mut into).unwrap();
            producer.try_push(2, &payload).unwrap();
            for _ in 0..8 {
                consumer.try_pop(&mut into).unwrap();
                assert_eq!(into, payload);
            }
            assert_eq!(consumer.try_pop(&mut into), Err(PopError::Empty));
        }
    }

    /// Ends the other process, whatever happens.
    struct Other(Child);

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn other(role: &str, place: &Scratch) -> Other {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ring::named::tests::another_process",
                "--nocapture",
            ])
            .env(ROLE, role)
            .env("OSPS_RING_PLACE", place.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Other(child)
    }

    const RECORDS: u64 = 20_000;

    /// The other process: a producer that ends in good order, or waits to be killed with a batch half written.
    #[test]
    fn another_process() {
        let Ok(role) = std::env::var(ROLE) else {
            return;
        };
        let place = std::env::var_os("OSPS_RING_PLACE").unwrap();
        let directory = Directory::open(place).unwrap();
        let mut producer = in_time(|| Producer::open(&directory, &name()));
        for number in 0..RECORDS {
            let len = 8 + (number % 50) as usize;
            let mut payload = [number as u8; 58];
            payload[..8].copy_from_slice(&number.to_ne_bytes());
            in_time(|| producer.try_push(number as u16, &payload[..len]));
        }
        if role == "killed" {
            let mut batch = producer.batch();
            while batch.try_push(0, b"never seen") != Err(PushError::Full) {}
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn records_cross_between_processes_and_the_end_is_told() {
        let place = Scratch::new();
        let mut consumer = Consumer::create(&place, &name(), 4096).unwrap();
        let _other = other("orderly", &place);
        let mut payload = Vec::new();
        for number in 0..RECORDS {
            let record = in_time(|| consumer.try_pop(&mut payload));
            assert_eq!(
                (record.kind, record.len),
                (number as u16, 8 + (number % 50) as usize)
            );
            assert_eq!(payload[..8], number.to_ne_bytes());
        }
        in_time(|| match consumer.try_pop(&mut payload) {
            Err(PopError::Closed) => Ok(()),
            other => Err(other),
        });
        assert!(place.is_empty());
    }

    #[test]
    fn a_producer_that_is_killed_leaves_whole_records_only() {
        let place = Scratch::new();
        let mut consumer = Consumer::create(&place, &name(), 4096).unwrap();
        let other = other("killed", &place);
        let mut payload = Vec::new();
        for number in 0..RECORDS {
            in_time(|| consumer.try_pop(&mut payload));
            assert_eq!(payload[..8], number.to_ne_bytes());
        }
        drop(other);
        assert_eq!(consumer.try_pop(&mut payload), Err(PopError::Empty));
        assert!(!consumer.is_closed(), "the dead close nothing");
        assert!(place.is_empty(), "but they leave nothing either");
    }
}
