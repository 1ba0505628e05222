//! Large payloads: one segment each, in the session's directory, named by number in the message.
//!
//! A message that does not fit into a quarter of its ring travels as a [`Lease`]: its sender takes a segment from
//! its [`Pool`], writes the bytes there and sends the number. The segment stays the sender's; a pool takes it back
//! when nobody uses it any more, so that its pages are faulted in once. Once shorter ones come often, they get a segment in
//! which they move around.
//!
//! * A *request's* segment is in use until the final answer has come and its record says so too, or is freed: the client holds it. Of a
//!   server that dies between the two, the next one reads the payload again.
//! * A *reply's* segment is in use until the client has dropped the payload, which it says in the segment's
//!   own control line. The file is in the client's session directory, so that an answer outlives its server.

mod kept;
mod mapped;
mod pool;

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(in crate::session) use self::kept::Room;
pub(crate) use self::mapped::Mapped;
pub(crate) use self::pool::Pool;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::sys::map::{Region, View, shared_words};
use crate::sys::prefetch;

const FINGERPRINT: u64 = u64::from_le_bytes(*b"handover");

/// Bytes of a hand-over segment before its data.
const CONTROL_LEN: usize = 128;

shared_words! {
    /// The first line of a hand-over segment.
    #[derive(Debug)]
    struct Control {
        /// What has become of a reply: [`FREE`], [`SENT`] or [`RECEIVED`]. Of a segment that was one, [`REMOVED`].
        in_use: AtomicU64,
    }
}

/// The sender may use it again.
const FREE: u64 = 0;
/// Its number is in the ring, or about to be.
const SENT: u64 = 1;
/// Its receiver reads it.
const RECEIVED: u64 = 2;
/// Its sender has removed it, and will not send it again: who has it mapped may let go of it.
const REMOVED: u64 = 3;

/// A mapped hand-over segment.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    control: View<Control>,
    data: Region,
}

impl Segment {
    fn new(number: u64, payload: &Region) -> Option<Segment> {
        Some(Segment {
            number,
            control: payload.words(0)?,
            data: payload.region(CONTROL_LEN, payload.len().checked_sub(CONTROL_LEN)?)?,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn capacity(&self) -> u64 {
        self.data.len() as u64
    }

    fn holds(&self, len: u64) -> Result<()> {
        if len <= self.capacity() {
            return Ok(());
        }
        Err(Error::OutOfBounds {
            offset: 0,
            len,
            limit: self.capacity(),
        })
    }

    /// Has the processor fetch the control line, which is written soon.
    #[inline]
    fn prefetch(&self) {
        prefetch::to_write(&self.control.in_use);
    }

    /// Says that the segment is on its way to a receiver, who frees it.
    pub(crate) fn mark_in_use(&self) {
        self.control.in_use.store(SENT, Ordering::Relaxed);
    }

    /// Says that the receiver has it: before it lets go of the record that names it.
    // SYNC(hand-over-received): the release of the record comes after. A successor looks at the ring, and then here.
    pub(crate) fn mark_received(&self) {
        self.control.in_use.store(RECEIVED, Ordering::Release);
    }

    /// Frees what nobody will receive: it was made ready, and never sent.
    fn reclaim(&self) {
        let in_use = &self.control.in_use;
        // A receiver that comes after all keeps it.
        let _ = in_use.compare_exchange(SENT, FREE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Says that the sender has removed it.
    fn mark_removed(&self) {
        self.control.in_use.store(REMOVED, Ordering::Relaxed);
    }

    fn is_removed(&self) -> bool {
        self.control.in_use.load(Ordering::Relaxed) == REMOVED
    }

    /// Gives the segment back to its sender.
    // SYNC(hand-over-free): pairs with `Pool::lease`: what the receiver read was read before.
    pub(crate) fn mark_free(&self) {
        self.control.in_use.store(FREE, Ordering::Release);
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        Ok(self.data.read(index(offset), into)?)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.data.write(index(offset), bytes)?)
    }
}

/// 64-bit targets only, so that nothing is lost; what is out of bounds stays so.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Which side's segments: the first letter of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Reply,
}

impl Side {
    fn name(self, number: u64) -> String {
        match self {
            Side::Request => format!("q{number:x}"),
            Side::Reply => format!("r{number:x}"),
        }
    }

    /// The number of the segment of this side with this name.
    fn number(self, name: &CStr) -> Option<u64> {
        let text = name.to_str().ok()?;
        let number = u64::from_str_radix(text.get(1..)?, 16).ok()?;
        (self.name(number) == text).then_some(number)
    }
}

fn unusable(directory: &Directory, number: u64) -> Error {
    Error::Corrupt {
        at: directory.path().display().to_string(),
        what: format!("hand-over segment {number:x} is too small for its control line"),
    }
}
