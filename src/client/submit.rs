//! Requests whose answers are fetched later.

use std::time::Duration;

use super::Client;
use super::link::Content;
use super::reply::{Request, RequestId};
use super::route::Route;
use super::stash::OUTSTANDING;
use crate::error::{Error, Result};
use crate::sys::clock::Timeout;

impl Client {
    /// Sends a request without waiting for its answer, which [`next_reply`](Client::next_reply) gives. Waits for room
    /// in the ring until the time is up, and takes replies off meanwhile.
    ///
    /// The first request of a kind to a server that directs is preceded by a question, which is waited for.
    /// A request that is answered by [`Status::Redirect`](crate::Status::Redirect) is not sent again: the reply says so, and a server that
    /// directs is asked again where the next one of its kind goes.
    ///
    /// # Errors
    ///
    /// As for [`call`](Client::call); besides [`Error::TooMany`] when more replies than a client keeps were not
    /// fetched.
    pub fn submit(&mut self, request: Request<'_>, timeout: Duration) -> Result<RequestId> {
        self.check_fork()?;
        if self.outstanding() < OUTSTANDING
            && let Some((_, id)) = self.send_short(request.kind, &request.body, timeout)
        {
            return Ok(RequestId(id));
        }
        self.submit_long(request, &mut Timeout::new(timeout))
    }

    #[inline(never)]
    pub(super) fn submit_long(
        &mut self,
        request: Request<'_>,
        timeout: &mut Timeout,
    ) -> Result<RequestId> {
        let Request { kind, mut body } = request;
        loop {
            let index = match self.route(kind, timeout)? {
                Route::To(index) => index,
                Route::Refused(reply) => {
                    let id = reply.id();
                    self.stash.push_back(reply);
                    return Ok(id);
                }
            };
            self.check_outstanding()?;
            body = self.fit(index, body)?;
            match self.send_until(index, kind, Content::of(&body), timeout) {
                // As in `call`.
                Err(Error::Closed { .. }) if index != 0 => {}
                id => return id.map(RequestId),
            }
        }
    }
}
