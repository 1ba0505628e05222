//! What a client makes of its own before a server sees it: the session's directory, segment, FIFOs and lock.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::connect::Published;
use super::options::ClientOptions;
use crate::directory::Directory;
use crate::directory::service::DOOR;
use crate::directory::view::ServiceView;
use crate::error::{Error, Result};
use crate::fifo::{self, BellWriter};
use crate::ring::raw::{RawConsumer, RawProducer};
use crate::segment::SegmentOptions;
use crate::session::Broken;
use crate::session::layout::{self, DOWN, Geometry, Memory, PROBE, SEGMENT, UP};
use crate::sys::clock::Deadline;
use crate::sys::process;

impl ClientOptions {
    /// Builds a session and publishes it; `None` if the service was removed meanwhile.
    pub(super) fn publish(
        &self,
        view: &ServiceView,
        deadline: Deadline,
    ) -> Result<Option<Published>> {
        let Some(builder) = view.build(deadline)? else {
            return Ok(None);
        };
        let geometry = self.geometry();
        let generation = builder.number();
        let memory = self.make_segment(builder.directory(), geometry, generation)?;
        let down = fifo::make_bells(builder.directory(), UP, DOWN)?;
        // Who sees our end close is to find our lock free.
        let Some(place) = builder.publish(down.as_fd(), || ring_the_door(view))? else {
            return Ok(None);
        };
        // What follows is done while the server lets it in.
        down.shrink();
        let accept = geometry.replies_of(generation);
        let broken = |corrupt| Broken::Ring(corrupt).into_error(view.service().as_str());
        Ok(Some(Published {
            requests: RawProducer::resume(memory.requests.clone()).map_err(broken)?,
            replies: RawConsumer::resume(memory.replies.clone(), accept).map_err(broken)?,
            memory,
            geometry,
            generation,
            down,
            place,
        }))
    }

    fn make_segment(
        &self,
        directory: &Directory,
        geometry: Geometry,
        generation: u64,
    ) -> Result<Memory> {
        let len = usize::try_from(geometry.payload_len()).unwrap_or(usize::MAX);
        let segment =
            SegmentOptions::raw(layout::FINGERPRINT, len).create_unseen(directory, SEGMENT)?;
        let memory = Memory::new(segment.region(), geometry).ok_or_else(|| Error::TooLong {
            what: "session",
            len: len as u64,
            max: geometry.payload_len(),
        })?;
        let client = &memory.client;
        client.generation.store(generation, Ordering::Relaxed);
        client
            .request_capacity
            .store(geometry.request_capacity, Ordering::Relaxed);
        client
            .reply_capacity
            .store(geometry.reply_capacity, Ordering::Relaxed);
        client
            .time_namespace
            .store(process::time_namespace(), Ordering::Relaxed);
        client
            .flags
            .store(if self.probe { PROBE } else { 0 }, Ordering::Relaxed);
        Ok(memory)
    }
}

/// Tells the server that a session is there. One that is not running finds it when it starts.
fn ring_the_door(view: &ServiceView) -> Result<()> {
    if let Some(door) = BellWriter::open(view.directory(), DOOR)? {
        // A full door has been rung, one without a reader belongs to a server that is ending.
        let _ = door.ring();
    }
    Ok(())
}
