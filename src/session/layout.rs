//! Where things stand in a session's segment, and the words through which its two ends tell each other their state.
//!
//! The payload of a session's segment, in bytes:
//!
//! | offset | length | what | written by |
//! | --- | --- | --- | --- |
//! | 0 | 128 | [`ClientLine`] | the client |
//! | 128 | 128 | [`ServerLine`] | the server |
//! | 256 | 512 + request capacity | request ring: `ring::memory` | both, a line each; record states by both |
//! | … | 512 + reply capacity | reply ring | both, a line each |
//!
//! Every field is a 64-bit word. The geometry is read once, when the server takes the session up; both
//! sides then work from their private copies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Broken;
use crate::ring::memory::{CONTROL_LEN, RingMemory};
use crate::ring::record::Accept;
use crate::sys::map::{Region, View, shared_words};

/// The fingerprint of this layout in the segment's header.
pub(crate) const FINGERPRINT: u64 = u64::from_le_bytes(*b"session4");

/// The file names in a session's directory.
pub(crate) const SEGMENT: &str = "seg";
pub(crate) const UP: &str = "up";
pub(crate) const DOWN: &str = "down";

/// The smallest and the largest capacity of a ring, in bytes.
pub(crate) const MIN_RING: u64 = 4 << 10;
pub(crate) const MAX_RING: u64 = 1 << 30;

const CLIENT: usize = 0;
const SERVER: usize = 128;
const RINGS: usize = 256;

/// Types of the records in the two rings.
pub(crate) const REQUEST_RECORD: u16 = 1;
pub(crate) const REPLY_RECORD: u16 = 1;

shared_words! {
    /// What the client says of itself. Written before the session is published, but for `leaving`.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(crate) struct ClientLine {
        /// The session's number for its life; stands in every record.
        pub(crate) generation: AtomicU64,
        /// Capacity of the request ring in bytes.
        pub(crate) request_capacity: AtomicU64,
        /// Capacity of the reply ring in bytes.
        pub(crate) reply_capacity: AtomicU64,
        /// Inode of the client's time namespace: where it differs from the server's, deadlines in requests mean
        /// nothing to the server.
        pub(crate) time_namespace: AtomicU64,
        /// Bit 0: a supervisor's probe, for which slots are kept.
        pub(crate) flags: AtomicU64,
        /// Not zero once the client has said good-bye.
        pub(crate) leaving: AtomicU64,
    }
}

shared_words! {
    /// What the server says of the session. Written by the server alone.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(crate) struct ServerLine {
        /// A packed [`Status`].
        pub(crate) status: AtomicU64,
        /// The slot, and so the directory `s/N`, once the session is open.
        pub(crate) slot: AtomicU64,
        /// The number of the server that took the session up last.
        pub(crate) epoch: AtomicU64,
        /// Bit 0: this server directs; ask it before a first request of a kind.
        pub(crate) flags: AtomicU64,
    }
}

static_assertions::const_assert_eq!(size_of::<ClientLine>(), SERVER - CLIENT);
static_assertions::const_assert_eq!(size_of::<ServerLine>(), RINGS - SERVER);

/// `ClientLine::flags`: the session is a supervisor's probe.
pub(crate) const PROBE: u64 = 1;
/// `ServerLine::flags`: the server answers questions of where a kind is served.
pub(crate) const DIRECTS: u64 = 1;

/// What the server made of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Published, not taken up yet.
    Pending,
    /// Being served.
    Open,
    /// Refused for now.
    Busy { retry_after: Duration },
    /// Ended in good order.
    Closed,
    /// The supervisor of the service has given it up.
    GaveUp,
    /// Ended because this side broke the protocol; the code tells how.
    Corrupt { code: u32 },
    /// The server died, and the next one could not use the directory in which the session is.
    Gone,
}

impl Status {
    /// One word: the state in the low byte, its number in the upper half.
    pub(crate) fn pack(self) -> u64 {
        let (state, number) = match self {
            Status::Pending => (0, 0),
            Status::Open => (1, 0),
            Status::Busy { retry_after } => (
                2,
                u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
            ),
            Status::Closed => (3, 0),
            Status::GaveUp => (4, 0),
            Status::Corrupt { code } => (5, code),
            Status::Gone => (6, 0),
        };
        u64::from(number) << 32 | state
    }

    /// `None` for a word that no server of this layout writes.
    pub(crate) fn unpack(word: u64) -> Option<Status> {
        let number = u32::try_from(word >> 32).ok()?;
        match word & 0xffff_ffff {
            0 => Some(Status::Pending),
            1 => Some(Status::Open),
            2 => Some(Status::Busy {
                retry_after: Duration::from_millis(u64::from(number)),
            }),
            3 => Some(Status::Closed),
            4 => Some(Status::GaveUp),
            5 => Some(Status::Corrupt { code: number }),
            6 => Some(Status::Gone),
            _ => None,
        }
    }
}

/// The capacities of a session's rings: private to each side once validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) request_capacity: u64,
    pub(crate) reply_capacity: u64,
}

impl Geometry {
    /// `None` where a capacity is not a power of two within the limits.
    pub(crate) fn new(request_capacity: u64, reply_capacity: u64) -> Option<Geometry> {
        let fits = |n: u64| n.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&n);
        (fits(request_capacity) && fits(reply_capacity)).then_some(Geometry {
            request_capacity,
            reply_capacity,
        })
    }

    /// Bytes of payload that the segment of such a session has.
    pub(crate) fn payload_len(self) -> u64 {
        (RINGS + 2 * CONTROL_LEN) as u64 + self.request_capacity + self.reply_capacity
    }

    /// What the server takes out of the ring of requests.
    pub(crate) fn requests_of(self, generation: u64) -> Accept {
        accept(REQUEST_RECORD, self.request_capacity, generation)
    }

    /// What the client takes out of the ring of replies.
    pub(crate) fn replies_of(self, generation: u64) -> Accept {
        accept(REPLY_RECORD, self.reply_capacity, generation)
    }

    /// The longest message of a request, and of a reply, that travels inside the ring: a quarter of it.
    pub(crate) fn inline_limit(capacity: u64) -> u32 {
        u32::try_from(capacity / 4).unwrap_or(u32::MAX)
    }
}

fn accept(kind: u16, capacity: u64, generation: u64) -> Accept {
    Accept {
        generation,
        kind_min: kind,
        kind_max: kind,
        flags: 0,
        max_len: Geometry::inline_limit(capacity),
    }
}

/// Bytes of payload of the smallest session.
pub(crate) const LEN_MIN: usize = RINGS + 2 * CONTROL_LEN + 2 * (4 << 10);

/// Reads what a client says of its session, once: the geometry and the generation.
pub(crate) fn read_geometry(payload: &Region) -> Result<(Geometry, u64), Broken> {
    let (mut requests, mut replies, mut generation) = (0, 0, 0);
    if let Some(client) = Memory::client_line(payload) {
        requests = client.request_capacity.load(Ordering::Relaxed);
        replies = client.reply_capacity.load(Ordering::Relaxed);
        generation = client.generation.load(Ordering::Relaxed);
    }
    match Geometry::new(requests, replies) {
        Some(geometry) if geometry.payload_len() == payload.len() as u64 => {
            Ok((geometry, generation))
        }
        _ => Err(Broken::Geometry {
            requests,
            replies,
            payload: payload.len() as u64,
        }),
    }
}

/// A session's memory: its lines and its rings.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) client: View<ClientLine>,
    pub(crate) server: View<ServerLine>,
    pub(crate) requests: RingMemory,
    pub(crate) replies: RingMemory,
}

impl Memory {
    /// The server's line alone.
    pub(crate) fn server_line(payload: &Region) -> Option<View<ServerLine>> {
        payload.words(SERVER)
    }

    /// The client's line alone.
    pub(crate) fn client_line(payload: &Region) -> Option<View<ClientLine>> {
        payload.words(CLIENT)
    }

    /// `None` unless the payload is just as long as the geometry says.
    pub(crate) fn new(payload: &Region, geometry: Geometry) -> Option<Memory> {
        if payload.len() as u64 != geometry.payload_len() {
            return None;
        }
        let request_len = CONTROL_LEN + usize::try_from(geometry.request_capacity).ok()?;
        let reply_len = CONTROL_LEN + usize::try_from(geometry.reply_capacity).ok()?;
        Some(Memory {
            client: payload.words(CLIENT)?,
            server: payload.words(SERVER)?,
            requests: RingMemory::new(&payload.region(RINGS, request_len)?)?,
            replies: RingMemory::new(&payload.region(RINGS + request_len, reply_len)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_word_and_foreign_words_are_refused() {
        let all = [
            Status::Pending,
            Status::Open,
            Status::Busy {
                retry_after: Duration::from_millis(250),
            },
            Status::Closed,
            Status::GaveUp,
            Status::Corrupt { code: 7 },
            Status::Gone,
        ];
        for status in all {
            assert_eq!(Status::unpack(status.pack()), Some(status));
        }
        for word in [7, 0xff, 0x0100, u64::MAX] {
            assert_eq!(Status::unpack(word), None, "{word:#x}");
        }
    }

    #[test]
    fn only_powers_of_two_within_the_limits_are_capacities() {
        assert!(Geometry::new(MIN_RING, MAX_RING).is_some());
        for bad in [0, 1, MIN_RING - 8, MIN_RING + 8, MAX_RING * 2, u64::MAX] {
            assert!(Geometry::new(bad, MIN_RING).is_none(), "{bad}");
            assert!(Geometry::new(MIN_RING, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_default_session_maps_less_than_96_kib() {
        let geometry = Geometry::new(32 << 10, 32 << 10).unwrap();
        assert!(geometry.payload_len() + 128 < 96 << 10);
    }
}
