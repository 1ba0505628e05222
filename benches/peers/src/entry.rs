//! One contender with one job, and the names by which tables know contenders.

use crate::contender::{Job, Kind};

pub(crate) const SPIN_LINE: &str = "spin, one line";
pub(crate) const SPIN_COPIES: &str = "spin, copies";
pub(crate) const SPIN_COPIES_2: &str = "spin, copies, 2 buffers in turn";
pub(crate) const MEMCPY: &str = "memcpy, one copy";
pub(crate) const FUTEX: &str = "futex";
pub(crate) const FIFO: &str = "FIFO pair, poll";
pub(crate) const RING: &str = "plain ring";
pub(crate) const RING_BACK_OFF: &str = "plain ring, backing off";
pub(crate) const RING_BATCH: &str = "plain ring, batches";
pub(crate) const RING_BATCH_BACK_OFF: &str = "plain ring, batches, backing off";
pub(crate) const REQUESTS: &str = "iceoryx2 request-response";
pub(crate) const REQUESTS_YIELDING: &str = "iceoryx2 request-response, yielding";
pub(crate) const TOPICS: &str = "iceoryx2 publish-subscribe";
pub(crate) const CHANNEL: &str = "ipc-channel";
pub(crate) const INTERPROCESS: &str = "interprocess local socket";
pub(crate) const SHMEM_SPIN: &str = "shmem-ipc, spun on";
pub(crate) const SHMEM: &str = "shmem-ipc";
pub(crate) const UNIX: &str = "Unix stream";
pub(crate) const UNIX_BATCH: &str = "Unix stream, 64 KiB batches";
pub(crate) const EPOLL: &str = "Unix stream, epoll server";

// osps-ipc's own.
pub(crate) const OURS_SPIN: &str = "osps-ipc, Wait::Spin";
pub(crate) const OURS: &str = "osps-ipc";
pub(crate) const OURS_PARK: &str = "osps-ipc, Wait::Park";
pub(crate) const OURS_HAND_OVER: &str = "osps-ipc, hand-over";
pub(crate) const OURS_RING: &str = "osps-ipc ring";
pub(crate) const OURS_RING_BATCH: &str = "osps-ipc ring, batches";
pub(crate) const OURS_SUBMIT: &str = "osps-ipc, submit / next_reply";
pub(crate) const OURS_SUBMIT_BATCH: &str = "osps-ipc, submit / next_reply, batches";
pub(crate) const OURS_NOTIFY: &str = "osps-ipc, notify";
pub(crate) const OURS_NOTIFY_BATCH: &str = "osps-ipc, notify, batches";

pub(crate) const BESIDE_0: &str = "osps-ipc, beside none";
pub(crate) const BESIDE_100: &str = "osps-ipc, beside 100 idle";
pub(crate) const BESIDE_1000: &str = "osps-ipc, beside 1000 idle";
pub(crate) const SMALL_CALL: &str = "osps-ipc, 64 B";

/// One contender in a group.
pub(crate) struct Entry {
    pub(crate) contender: &'static str,
    pub(crate) job: Job,
    /// Its name within the group, where the contender's does not say all.
    label: &'static str,
}

impl Entry {
    pub(crate) const fn new(contender: &'static str, job: Job) -> Entry {
        Entry {
            contender,
            job,
            label: "",
        }
    }

    pub(crate) const fn label(self, label: &'static str) -> Entry {
        Entry { label, ..self }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.label.is_empty() {
            self.contender
        } else {
            self.label
        }
    }

    pub(crate) fn class(&self) -> Class {
        const LIMITS: [&str; 4] = ["spin", "futex", "FIFO", "plain ring"];
        let begins = |start: &&str| self.contender.starts_with(*start);
        match self.contender {
            MEMCPY => Class::Yardstick,
            _ if begins(&OURS) => Class::Ours,
            _ if LIMITS.iter().any(begins) => Class::Limit,
            _ => Class::Peer,
        }
    }
}

/// What a contender is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// osps-ipc.
    Ours,
    /// What the machine allows, with nothing around it.
    Limit,
    /// What others build.
    Peer,
    /// Does less than the others, and is not compared with.
    Yardstick,
}

pub(crate) const fn trip(contender: &'static str, size: usize) -> Entry {
    Entry::new(contender, Job::new(Kind::RoundTrip, size))
}

pub(crate) const fn stream(contender: &'static str, size: usize, capacity: usize) -> Entry {
    Entry::new(contender, Job::new(Kind::Stream, size).capacity(capacity))
}

pub(crate) const fn crowd(contender: &'static str, clients: usize) -> Entry {
    Entry::new(contender, Job::new(Kind::Crowd, 64).clients(clients))
}

pub(crate) const fn beside(contender: &'static str, idle: usize) -> Entry {
    Entry::new(contender, Job::new(Kind::RoundTrip, 64).idle(idle))
}

pub(crate) const fn fresh(contender: &'static str) -> Entry {
    Entry::new(contender, Job::new(Kind::Connect, 64))
}
