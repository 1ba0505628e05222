//! The figures that `--check` judges: what osps-ipc must show, and beside what.

use crate::entry::*;

/// How far from the other one may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// The time of one operation, at most so many times the other's.
    Time(f64),
    /// The operations in a time, at least so many times the other's.
    Rate(f64),
    /// The number itself, at most.
    Most(f64),
}

/// What a figure is judged on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Entries of a group: this one beside the best of those.
    Group {
        group: &'static str,
        ours: &'static str,
        others: &'static [&'static str],
    },
    /// Numbers of one-off measurements: this one, alone or beside that one. See `points.rs`.
    Points {
        ours: &'static str,
        other: Option<&'static str>,
    },
}

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) beside: Beside,
    pub(crate) bound: Bound,
}

const fn of(
    id: &'static str,
    what: &'static str,
    group: &'static str,
    ours: &'static str,
    bound: Bound,
    others: &'static [&'static str],
) -> Figure {
    Figure {
        id,
        what,
        beside: Beside::Group {
            group,
            ours,
            others,
        },
        bound,
    }
}

const fn point(
    id: &'static str,
    what: &'static str,
    ours: &'static str,
    bound: Bound,
    other: Option<&'static str>,
) -> Figure {
    Figure {
        id,
        what,
        beside: Beside::Points { ours, other },
        bound,
    }
}

const RINGS: &[&str] = &[RING, RING_BACK_OFF, RING_BATCH, RING_BATCH_BACK_OFF];

use Bound::{Most, Rate, Time};

/// Every figure, in the order of the table.
#[rustfmt::skip]
pub(crate) const FIGURES: &[Figure] = &[
    of("trip-64-limit", "round trip 64 B, Wait::Spin, beside the bare spin ping-pong with copies",
        "trip-64", OURS_SPIN, Time(2.0), &[SPIN_COPIES]),
    of("trip-64-peer", "round trip 64 B, Wait::Spin, beside iceoryx2 request-response",
        "trip-64", OURS_SPIN, Time(0.35), &[REQUESTS]),
    of("trip-64-adaptive", "round trip 64 B, Wait::Adaptive, beside Wait::Spin",
        "trip-64", OURS, Time(1.25), &[OURS_SPIN]),
    of("park-two", "round trip 64 B, Wait::Park, two cores, beside a FIFO pair with poll",
        "sleep-two", OURS_PARK, Time(1.15), &[FIFO]),
    of("park-one", "round trip 64 B, Wait::Park, one core, beside a FIFO pair with poll",
        "sleep-one", OURS_PARK, Time(1.15), &[FIFO]),
    of("trip-4k", "round trip 4 KiB, adaptive, beside the bare spin with copies",
        "trip-4k", OURS, Time(1.5), &[SPIN_COPIES]),
    of("trip-64k", "round trip 64 KiB, adaptive, beside the bare spin with copies",
        "trip-64k", OURS, Time(1.3), &[SPIN_COPIES]),
    of("trip-1m", "round trip 1 MiB, adaptive, beside the bare spin with copies",
        "trip-1m", OURS, Time(1.2), &[SPIN_COPIES]),
    of("hand-over", "hand-over of 16 MiB, untouched, beside the round trip of 64 B",
        "hand-over", OURS_HAND_OVER, Time(1.5), &[SMALL_CALL]),
    of("stream-64", "stream 64 B through the ring, a record a call, beside the plain ring",
        "stream-64", OURS_RING, Rate(0.5), RINGS),
    of("stream-64-batch", "stream 64 B through the ring, batches, beside the plain ring",
        "stream-64", OURS_RING_BATCH, Rate(0.8), RINGS),
    of("pipelined", "stream 64 B of pipelined requests, beside iceoryx2 publish-subscribe",
        "stream-64", OURS_SUBMIT, Rate(4.0), &[TOPICS]),
    of("notify", "stream 64 B by notify, beside iceoryx2 publish-subscribe",
        "stream-64", OURS_NOTIFY, Rate(8.0), &[TOPICS]),
    of("stream-64k-limit", "stream 64 KiB through the ring, beside the plain ring",
        "stream-64k", OURS_RING, Rate(0.7), &[RING, RING_BACK_OFF]),
    of("stream-64k-peer", "stream 64 KiB through the ring, beside iceoryx2",
        "stream-64k", OURS_RING, Rate(2.0), &[TOPICS]),
    of("crowd-8-free", "8 clients, unpinned, beside a Unix stream server on epoll",
        "crowd-8-free", OURS, Rate(1.9), &[EPOLL]),
    of("crowd-64-free", "64 clients, unpinned, beside a Unix stream server on epoll",
        "crowd-64-free", OURS, Rate(1.8), &[EPOLL]),
    of("crowd-8-pinned", "8 clients on one core, server on the other, beside the same on epoll",
        "crowd-8-pinned", OURS, Rate(2.8), &[EPOLL]),
    of("crowd-64-pinned", "64 clients on one core, server on the other, beside the same on epoll",
        "crowd-64-pinned", OURS, Rate(3.0), &[EPOLL]),
    of("beside-idle", "1 busy client beside 1000 idle sessions, beside none",
        "beside-idle", BESIDE_1000, Rate(0.9), &[BESIDE_0]),
    of("connect-peer", "connect and first call, beside iceoryx2 (node, client, first response)",
        "connect", OURS, Time(0.1), &[REQUESTS]),
    of("connect-unix", "connect and first call, beside a Unix connect and first round trip",
        "connect", OURS, Time(5.0), &[EPOLL]),
    point("idle-cpu", "idle: 100 sessions, % of one CPU",
        "idle-cpu osps-ipc", Most(0.1), None),
    point("idle-wakeups", "idle: 100 sessions, context switches",
        "idle-switches osps-ipc", Most(0.0), None),
    point("memory", "memory mapped for a session with default options, KiB",
        "mapped osps-ipc", Most(96.0), None),
    point("build", "clean release build with dependencies, beside iceoryx2's",
        "build osps-ipc", Time(0.2), Some("build iceoryx2")),
];
