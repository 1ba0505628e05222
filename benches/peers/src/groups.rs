//! What is run side by side: a group's contenders take turns, slice by slice, in one run.

use crate::contender::{Job, Kind};
use crate::crew::Pins;
use crate::entry::*;

/// How a group's slices are cut and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Short slices of a counted number of operations; medians per placement are compared. In a full run's budget each contender is
    /// launched so many times: which lines its memory gets is chance, which decides up to a third of a call between distant cores.
    Counted { launches: u64 },
    /// The same, but the ratio is taken for each round's pair of slices, and its median compared.
    Paired,
    /// All clients at once for a while.
    Windowed,
}

/// Contenders that run side by side.
pub(crate) struct Group {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) pins: Pins,
    pub(crate) pace: Pace,
    pub(crate) entries: &'static [Entry],
}

/// Where a few lines decide.
const CALLS: Pace = Pace::Counted { launches: 20 };
/// Where they are many, or a launch takes long.
const COUNTED: Pace = Pace::Counted { launches: 5 };

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

macro_rules! trips {
    ($id:literal, $title:literal, $size:expr) => {
        Group {
            id: $id,
            title: $title,
            pins: Pins::Two,
            pace: COUNTED,
            entries: &[
                trip(MEMCPY, $size),
                trip(SPIN_COPIES, $size),
                trip(SPIN_COPIES_2, $size),
                trip(OURS, $size),
                trip(REQUESTS, $size),
                trip(TOPICS, $size),
                trip(SHMEM_SPIN, $size),
                trip(UNIX, $size),
                trip(CHANNEL, $size),
                trip(INTERPROCESS, $size),
            ],
        }
    };
}

macro_rules! sleepers {
    ($id:literal, $title:literal, $pins:expr) => {
        Group {
            id: $id,
            title: $title,
            pins: $pins,
            pace: Pace::Paired,
            entries: &[
                trip(FUTEX, 64),
                trip(FIFO, 64),
                trip(OURS_PARK, 64),
                trip(UNIX, 64),
                trip(INTERPROCESS, 64),
                trip(CHANNEL, 64),
                trip(SHMEM, 64),
            ],
        }
    };
}

macro_rules! crowds {
    ($id:literal, $title:literal, $pins:expr, $clients:literal) => {
        Group {
            id: $id,
            title: $title,
            pins: $pins,
            pace: Pace::Windowed,
            entries: &[
                crowd(EPOLL, $clients),
                crowd(OURS, $clients),
                crowd(CHANNEL, $clients),
                crowd(REQUESTS_YIELDING, $clients),
            ],
        }
    };
}

/// All groups, in the order in which they run.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        id: "trip-64",
        title: "Round trip, 64 B, busy",
        pins: Pins::Two,
        pace: CALLS,
        entries: &[
            trip(SPIN_LINE, 64),
            trip(SPIN_COPIES, 64),
            trip(OURS_SPIN, 64),
            trip(OURS, 64),
            trip(REQUESTS, 64),
            trip(TOPICS, 64),
            trip(SHMEM_SPIN, 64),
        ],
    },
    trips!("trip-4k", "Round trip, 4 KiB", 4 * KIB),
    trips!("trip-64k", "Round trip, 64 KiB", 64 * KIB),
    trips!("trip-1m", "Round trip, 1 MiB", MIB),
    trips!("trip-16m", "Round trip, 16 MiB", 16 * MIB),
    Group {
        id: "hand-over",
        title: "Hand-over of 16 MiB that neither side touches",
        pins: Pins::Two,
        pace: CALLS,
        entries: &[
            trip(OURS, 64).label(SMALL_CALL),
            Entry::new(OURS_HAND_OVER, Job::new(Kind::Untouched, 16 * MIB)),
            Entry::new(TOPICS, Job::new(Kind::Untouched, 16 * MIB)),
        ],
    },
    sleepers!(
        "sleep-two",
        "Round trip, 64 B, sleeping, on two cores",
        Pins::Two
    ),
    sleepers!(
        "sleep-one",
        "Round trip, 64 B, sleeping, on one core",
        Pins::One
    ),
    Group {
        id: "stream-64",
        title: "Stream, 64 B, 1 MiB of capacity",
        pins: Pins::Two,
        pace: COUNTED,
        entries: &[
            stream(RING, 64, MIB),
            stream(RING_BACK_OFF, 64, MIB),
            stream(RING_BATCH, 64, MIB),
            stream(RING_BATCH_BACK_OFF, 64, MIB),
            stream(OURS_RING, 64, MIB),
            stream(OURS_RING_BATCH, 64, MIB),
            stream(OURS_SUBMIT, 64, MIB),
            stream(OURS_SUBMIT_BATCH, 64, MIB),
            stream(OURS_NOTIFY, 64, MIB),
            stream(OURS_NOTIFY_BATCH, 64, MIB),
            stream(TOPICS, 64, MIB),
            stream(SHMEM_SPIN, 64, MIB),
            stream(UNIX, 64, MIB),
            stream(UNIX_BATCH, 64, MIB),
            stream(FIFO, 64, MIB),
        ],
    },
    Group {
        id: "stream-64k",
        title: "Stream, 64 KiB, 1 MiB of capacity",
        pins: Pins::Two,
        pace: COUNTED,
        entries: &[
            stream(RING, 64 * KIB, MIB),
            stream(RING_BACK_OFF, 64 * KIB, MIB),
            stream(OURS_RING, 64 * KIB, MIB),
            stream(TOPICS, 64 * KIB, MIB),
            stream(SHMEM_SPIN, 64 * KIB, MIB),
            stream(UNIX, 64 * KIB, MIB),
            stream(FIFO, 64 * KIB, MIB),
        ],
    },
    crowds!("crowd-1-free", "1 client, 64 B, unpinned", Pins::Free, 1),
    crowds!("crowd-8-free", "8 clients, 64 B, unpinned", Pins::Free, 8),
    crowds!(
        "crowd-64-free",
        "64 clients, 64 B, unpinned",
        Pins::Free,
        64
    ),
    crowds!(
        "crowd-1-pinned",
        "1 client, 64 B, server on the other core",
        Pins::Two,
        1
    ),
    crowds!(
        "crowd-8-pinned",
        "8 clients on one core, server on the other",
        Pins::Two,
        8
    ),
    crowds!(
        "crowd-64-pinned",
        "64 clients on one core, server on the other",
        Pins::Two,
        64
    ),
    Group {
        id: "beside-idle",
        title: "1 busy client beside idle sessions, 64 B",
        pins: Pins::Two,
        pace: Pace::Counted { launches: 10 },
        entries: &[
            beside(OURS, 0).label(BESIDE_0),
            beside(OURS, 100).label(BESIDE_100),
            beside(OURS, 1000).label(BESIDE_1000),
            beside(EPOLL, 0).label("Unix epoll server, beside none"),
            beside(EPOLL, 1000).label("Unix epoll server, beside 1000 idle"),
        ],
    },
    Group {
        id: "connect",
        title: "Connect and first round trip",
        pins: Pins::Two,
        pace: COUNTED,
        entries: &[fresh(EPOLL), fresh(OURS), fresh(REQUESTS)],
    },
];
