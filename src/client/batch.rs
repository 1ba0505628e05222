//! Messages that are shown to the server together.

use std::time::Duration;

use super::Client;
use super::reply::{Request, RequestId};
use super::stash::OUTSTANDING;
use crate::error::Result;
use crate::session::BodyKind;
use crate::sys::clock::Timeout;

/// Messages that are shown to the server together: by one index, one fence, and one bell if it sleeps; the clock is read
/// once for all of them.
///
/// All are shown when the batch is [published](Batch::publish) or dropped, and when there is no room for the next one. Of one that is
/// never shown, as its process dies before, no server knows. What does not fit into the ring is shown at once, and what was put in before it too.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::{Client, Event, Request, RequestKind, Server};
///
/// let name = format!("doc-batch-{}", std::process::id());
/// let mut server = Server::bind(&name)?;
/// let telling = std::thread::spawn(move || -> osps_ipc::Result<()> {
///     let patience = Duration::from_secs(5);
///     let mut client = Client::connect(&name, patience)?;
///     let mut batch = client.batch(patience);
///     for line in ["one", "two", "three"] {
///         assert!(batch.notify(Request::new(RequestKind::new("line"), line))?);
///     }
///     batch.publish();
///     batch.submit(Request::new(RequestKind::new("line"), "four"))?;
///     drop(batch);
///     client.next_reply(patience)?;
///     Ok(())
/// });
/// let mut lines = 0;
/// while !telling.is_finished() {
///     match server.next_timeout(Duration::from_millis(10))? {
///         Some(Event::Notify(_)) => lines += 1,
///         Some(Event::Request(incoming)) => incoming.reply("")?,
///         _ => {}
///     }
/// }
/// telling.join().expect("no panic")?;
/// assert_eq!(lines, 3);
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    client: &'a mut Client,
    timeout: Timeout,
    /// For the server; 0 for never.
    expires: u64,
}

impl Client {
    /// Begins a batch. Its requests are to be answered within `timeout` from now, and that is how long all of them together
    /// may wait for room. A client that is to [fail fast](super::ClientOptions::fail_fast) shows each message at once.
    pub fn batch(&mut self, timeout: Duration) -> Batch<'_> {
        let mut timeout = Timeout::new(timeout);
        // Of all of them, from now on.
        timeout.deadline();
        Batch {
            client: self,
            expires: timeout.expires(),
            timeout,
        }
    }

    /// Puts bytes into the ring of the session to which their kind goes, if that is known and there is room now.
    #[inline(always)]
    fn put(&mut self, id: u64, expires: u64, request: &Request<'_>) -> Option<()> {
        self.check_fork().ok()?;
        let BodyKind::Bytes(bytes) = &request.body.0 else {
            return None;
        };
        let (_, link) = self.link_short(request.kind)?;
        if !link.takes(&request.body) {
            return None;
        }
        link.put_bytes(id, request.kind, expires, bytes).ok()
    }

    pub(super) fn show(&mut self) {
        // The parent's session is not a forked child's to touch.
        if self.check_fork().is_ok() {
            for link in self.links.iter_mut().flatten() {
                link.show();
            }
        }
    }
}

impl Batch<'_> {
    /// As [`Client::submit`], but the server is shown the request together with others.
    ///
    /// # Errors
    ///
    /// As for [`Client::submit`]; what was put in before it is shown then.
    #[inline]
    pub fn submit(&mut self, request: Request<'_>) -> Result<RequestId> {
        let id = self.client.next_id;
        if self.client.outstanding() < OUTSTANDING
            && self.client.put(id, self.expires, &request).is_some()
        {
            self.client.next_id += 1;
            return Ok(RequestId(id));
        }
        self.publish();
        self.client.check_fork()?;
        self.client.submit_long(request, &mut self.timeout)
    }

    /// As [`Client::notify`], but the server is shown the message together with others. Where there is no room it is dropped and
    /// counted, and what was put in before it is shown.
    ///
    /// # Errors
    ///
    /// As for [`Client::notify`].
    #[inline]
    pub fn notify(&mut self, request: Request<'_>) -> Result<bool> {
        if self.client.put(0, 0, &request).is_some() {
            return Ok(true);
        }
        self.publish();
        self.client.notify(request)
    }

    /// Shows what is in it. It can be used again, until its time is up.
    pub fn publish(&mut self) {
        self.client.show();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.publish();
    }
}
