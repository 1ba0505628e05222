//! Answers that are shown to their client together.

use std::sync::Arc;

use super::seat::Seat;

/// Answers that are shown to their client together: by one index, one fence, and one bell if it sleeps.
///
/// [`Incoming::reply_in`](super::Incoming::reply_in) puts one in. All are shown when the batch is
/// [published](Self::publish) or dropped, when the next one is for another session, when the ring is full, and before an answer
/// that is in no batch. The server shows them too, when it is asked for an event and finds no further request of that session, or has
/// handed out as many as one is given at a time (32): a program that goes on asking need not publish. Until then
/// these requests are in hand: if the server dies, they come again. What takes long in between keeps the answers before it
/// waiting.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::{Client, Event, ReplyBatch, Request, RequestKind, Server};
///
/// let name = format!("doc-replies-{}", std::process::id());
/// let mut server = Server::bind(&name)?;
/// let asking = std::thread::spawn(move || -> osps_ipc::Result<u32> {
///     let patience = Duration::from_secs(5);
///     let mut client = Client::connect(&name, patience)?;
///     let mut batch = client.batch(patience);
///     for number in 0..100_u32 {
///         batch.submit(Request::new(RequestKind::new("double"), &number.to_le_bytes()))?;
///     }
///     drop(batch);
///     let mut sum = 0;
///     while let Some(reply) = client.next_reply(patience)? {
///         let answer = reply.into_answer().expect("it was done");
///         let mut bytes = [0; 4];
///         answer.read_at(0, &mut bytes)?;
///         sum += u32::from_le_bytes(bytes);
///     }
///     Ok(sum)
/// });
/// let mut batch = ReplyBatch::new();
/// while !asking.is_finished() {
///     if let Some(Event::Request(incoming)) = server.next_timeout(Duration::from_millis(10))? {
///         let mut bytes = [0; 4];
///         incoming.payload().read_at(0, &mut bytes)?;
///         let doubled = 2 * u32::from_le_bytes(bytes);
///         incoming.reply_in(&mut batch, &doubled.to_le_bytes())?;
///     }
/// }
/// assert_eq!(asking.join().expect("no panic")?, 9900);
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ReplyBatch {
    /// Of the session that has answers which may not be shown.
    seat: Option<Arc<Seat>>,
}

impl ReplyBatch {
    /// An empty one.
    pub const fn new() -> ReplyBatch {
        ReplyBatch { seat: None }
    }

    /// Shows what is in it. It can be used again.
    pub fn publish(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.show();
        }
    }

    /// An answer of this session follows.
    #[inline(always)]
    pub(super) fn enter(&mut self, seat: &Arc<Seat>) {
        let is_same = self
            .seat
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, seat));
        if !is_same {
            self.publish();
            self.seat = Some(Arc::clone(seat));
        }
    }
}

impl Drop for ReplyBatch {
    fn drop(&mut self) {
        self.publish();
    }
}
