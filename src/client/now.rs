//! Requests that are sent without waiting for anything.

use std::time::Duration;

use super::Client;
use super::link::Content;
use super::reply::{Request, RequestId};
use crate::error::Result;
use crate::request::RequestKind;
use crate::sys::clock::Timeout;

impl Client {
    /// [`submit`](Client::submit) that never waits; `None` if there is no room now. The server is told that the answer is
    /// wanted within the time `within`.
    ///
    /// It goes where requests of its kind are known to go, else to the service itself; no question is asked. A session
    /// that has ended is an error, and no other one is looked for.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed), [`Error::ServerGone`](crate::Error::ServerGone) if the server died and the
    /// client is to fail fast, [`Error::Corrupt`](crate::Error::Corrupt);
    /// [`Error::NoSpace`](crate::Error::NoSpace), if a large payload does not fit into memory;
    /// [`Error::TooMany`](crate::Error::TooMany) when more replies than a client keeps were not fetched.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use osps_ipc::{Client, Request, RequestKind, Server};
    ///
    /// let name = format!("doc-try-{}", std::process::id());
    /// let mut server = Server::bind(&name)?;
    /// let asking = std::thread::spawn(move || Client::connect(&name, Duration::from_secs(5)));
    /// while !asking.is_finished() {
    ///     server.next_timeout(Duration::from_millis(10))?;
    /// }
    /// let mut client = asking.join().expect("no panic")?;
    /// let request = Request::new(RequestKind::new("greet"), "hello");
    /// assert!(client.try_submit(request, Duration::from_secs(5))?.is_some());
    /// drop(server);
    /// let request = Request::new(RequestKind::new("greet"), "hello");
    /// assert!(client.try_submit(request, Duration::from_secs(5)).is_err());
    /// # Ok::<(), osps_ipc::Error>(())
    /// ```
    pub fn try_submit(
        &mut self,
        request: Request<'_>,
        within: Duration,
    ) -> Result<Option<RequestId>> {
        self.check_fork()?;
        self.check_outstanding()?;
        let index = self.known_route(request.kind).unwrap_or(0);
        self.check_link(index, Some(self.next_id))?;
        let body = self.fit(index, request.body)?;
        let expires = Timeout::new(within).expires();
        self.send_now(index, request.kind, expires, Content::of(&body))
    }

    /// Asks the service itself: a question of where requests of this kind go, or an empty request of it where the server
    /// does not direct. `None` if there is no room.
    pub(crate) fn ask_now(&mut self, kind: RequestKind) -> Result<Option<RequestId>> {
        self.check_link(0, Some(self.next_id))?;
        let link = self.link(0)?;
        let content = match link.directs() {
            true => Content::Question,
            false => Content::Bytes(&[]),
        };
        self.send_now(0, kind, 0, content)
    }

    fn send_now(
        &mut self,
        index: usize,
        kind: RequestKind,
        expires: u64,
        content: Content<'_>,
    ) -> Result<Option<RequestId>> {
        let id = self.next_id;
        self.next_id += 1;
        let sent = self.on_link(index, |link| link.send(id, kind, expires, content))?;
        Ok(sent.then_some(RequestId(id)))
    }
}
