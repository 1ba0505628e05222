//! A process that makes requests: its sessions, and the calls over them.

mod batch;
mod building;
mod connect;
mod ends;
mod link;
mod now;
mod options;
mod pending;
mod reply;
mod route;
mod short;
mod stash;
mod submit;
mod waiting;

#[cfg(test)]
mod missed;
#[cfg(test)]
mod shortages;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

pub use batch::Batch;
pub use options::ClientOptions;
pub use reply::{Rejected, Reply, Request, RequestId};

use self::link::{Content, Link};
use self::route::Search;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::request::{RequestKind, Status};
use crate::session::wait::Patience;
use crate::session::{Body, Pollable};
use crate::sys::clock::{Deadline, Timeout};
use crate::sys::fork::Stamp;
use crate::sys::poll::{Epoll, Events};

/// How often a request may be redirected.
const HOPS: u32 = 4;

/// A client of one service, and of those that it is directed to.
///
/// It has no thread of its own. A server that dies is a delay, not an error: calls wait, to their deadline, for the next
/// one to take the session up, unless [`ClientOptions::fail_fast`] says otherwise.
///
/// Each request gets one final answer. A server that died may have carried it out, so it may be carried out once more by the
/// next one: see [`Token`](crate::Token). Requests of one kind are begun in the order in which they were made, as long as
/// the service does not send them elsewhere. After the loss of the machine nothing is left.
///
/// `Send` but, like a pen, for one user at a time: give each thread a client of its own. A forked child makes its own
/// too: what it inherits says [`Error::Forked`], and its parent's session goes on.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    runtime: Directory,
    /// The first is the session with the service itself; a place is empty when its session was closed.
    links: Vec<Option<Link>>,
    /// Where requests of a kind go, as far as it is known: the index of a link.
    routes: HashMap<RequestKind, usize>,
    patience: Patience,
    epoll: Epoll,
    events: Events,
    /// Replies that came while another was waited for.
    stash: VecDeque<Reply>,
    /// Ends of sessions, to be told after the replies in the stash.
    over: VecDeque<Error>,
    /// What nobody waited for in sessions that have ended.
    unwanted: u64,
    next_id: u64,
    /// The link at which the next look for replies begins, lest one service's replies keep another's waiting.
    first: usize,
    /// What no server had begun of a session that has ended, and was taken back.
    taken_back: Vec<u64>,
    /// Whether what is waited for may be taken back from a server that is dead.
    may_leave: bool,
    dropped: u64,
    service: Name,
    stamp: Stamp,
}

impl Client {
    /// Connects with the default options; see [`ClientOptions::connect`].
    ///
    /// # Errors
    ///
    /// As for [`ClientOptions::connect`].
    pub fn connect(service: &str, timeout: Duration) -> Result<Client> {
        ClientOptions::new().connect(service, timeout)
    }

    /// The name of the service that was connected to.
    pub fn service(&self) -> &Name {
        &self.service
    }

    /// Sends a request and waits for its answer, following redirects.
    ///
    /// Replies to other requests that come meanwhile are kept for [`next_reply`](Client::next_reply). The server is
    /// told the deadline, and does not begin what is too late.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; the request is taken back if no server has begun it. [`Error::Closed`] if the server has
    /// ended in good order with this request or another one open; a client of which nothing was open connects anew, and has
    /// [`Error::NotRunning`] when the time is up, or [`Error::Busy`], as in [`connect`](ClientOptions::connect).
    /// [`Error::ServerGone`] if it died and the client is to fail fast, [`Error::Corrupt`].
    /// [`Error::NoSpace`] before anything is sent, if a large payload does not fit into memory. What the server
    /// refuses is no error but a [`Reply`]: see [`Reply::into_answer`]. [`Error::RedirectLoop`].
    ///
    /// Where the service that it was directed to has ended, gave up or is not there, the first one is asked again, within
    /// the timeout; a request that no server has begun goes elsewhere then.
    pub fn call(&mut self, request: Request<'_>, timeout: Duration) -> Result<Reply> {
        self.check_fork()?;
        let Request { kind, mut body } = request;
        let mut sent = self.send_short(kind, &body, timeout);
        let timeout = &mut Timeout::new(timeout);
        let mut search = Search::new();
        let (mut hops, mut left) = (0, None);
        while hops < HOPS {
            let (index, id) = match sent.take() {
                Some(sent) => sent,
                None => {
                    let index = match self.route(kind, timeout)? {
                        route::Route::To(index) => index,
                        route::Route::Refused(reply) => return Ok(reply),
                    };
                    body = self.fit(index, body)?;
                    match self.send_until(index, kind, Content::of(&body), timeout) {
                        // Has ended since it was directed to: the first service is asked again.
                        Err(Error::Closed { .. }) if index != 0 => continue,
                        id => (index, id?),
                    }
                }
            };
            let Some(reply) = self.answer_of(index, id, timeout, left == Some(index))? else {
                left = Some(index);
                continue;
            };
            if reply.status() != Status::Redirect {
                return Ok(reply);
            }
            if self.follow(kind, &reply, timeout, &mut search)?.is_some() {
                hops += 1;
            }
        }
        Err(self.lost(kind))
    }

    /// Declares that requests of this kind will come: finds out where they go, if the service directs its clients,
    /// and connects there. The first call would do so too; this tells whether the kind is known before its data
    /// are at hand.
    ///
    /// # Errors
    ///
    /// As for [`call`](Client::call). The inner one is the service's refusal.
    pub fn declare(
        &mut self,
        kind: RequestKind,
        timeout: Duration,
    ) -> Result<Result<(), Rejected>> {
        self.check_fork()?;
        Ok(match self.route(kind, &mut Timeout::new(timeout))? {
            route::Route::To(_) => Ok(()),
            route::Route::Refused(reply) => reply.into_answer().map(|_| ()),
        })
    }

    /// The next reply to any request that was [submitted](Client::submit), in whatever order they come; interim ones
    /// included. `None` when the time is up, or nothing is outstanding.
    ///
    /// # Errors
    ///
    /// As for [`call`](Client::call), but for the timeout.
    pub fn next_reply(&mut self, timeout: Duration) -> Result<Option<Reply>> {
        // What is nearly there is found without asking the kernel, which trying does.
        if let Some(reply) = self.next_soon(timeout) {
            return Ok(Some(reply));
        }
        if let Some(reply) = self.try_next_reply()? {
            return Ok(Some(reply));
        }
        self.wait_for_any(&mut Timeout::new(timeout))
    }

    /// The next reply, if there is one now. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`next_reply`](Client::next_reply).
    pub fn try_next_reply(&mut self) -> Result<Option<Reply>> {
        self.check_fork()?;
        if let Some(reply) = self.next_now() {
            return Ok(Some(reply));
        }
        if let Some(reply) = self.stash.pop_front() {
            return Ok(Some(reply));
        }
        if let Some(error) = self.over.pop_front() {
            return Err(error);
        }
        if let Some(reply) = self.receive_any()? {
            return Ok(Some(reply));
        }
        // Bells that were rung since `arm` are taken off, lest they show again at once.
        self.take_bells(Deadline::passed())?;
        self.wake();
        let reply = self.receive_any()?;
        if reply.is_none() {
            // What woke us was perhaps no reply but an end.
            self.check_waiting_links()?;
            return Ok(self.stash.pop_front());
        }
        Ok(reply)
    }

    /// How many requests were submitted and not answered finally, or answered and not fetched. Of one that is under way, each
    /// interim reply that a call of another one has kept counts too.
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.stash.len()
            + self
                .links
                .iter()
                .flatten()
                .map(|link| link.pending().len())
                .sum::<usize>()
    }

    /// Takes a request back. `true`: no server has begun it, and none will; no reply comes. `false`: it was begun or
    /// answered; its answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`].
    pub fn cancel(&mut self, id: RequestId) -> Result<bool> {
        self.check_fork()?;
        let kept = self.stash.len();
        self.stash.retain(|reply| reply.id() != id);
        self.unwanted += (kept - self.stash.len()) as u64;
        for index in 0..self.links.len() {
            if self.links.get(index).is_some_and(Option::is_some)
                && self.on_link(index, |link| link.cancel(id.0))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a message that wants no answer, if there is room for it now; else drops and counts it
    /// ([`dropped`](Client::dropped)). Whether it was sent.
    ///
    /// It goes where requests of its kind are known to go, else to the service itself; no question is asked. It is handed out
    /// once at most: one that a server has in hand when it dies is lost. What it had not taken is given to the next one, if the
    /// client still lives then; a server that ends in good order may leave it. While there are more of them, the room of those
    /// that were handed out is given back together, up to an eighth of the ring, or 32 KiB.
    /// What lies in a [`Lease`](crate::Lease) is copied into the ring too.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] for more than a quarter of the ring with its headers of 40 bytes, [`Error::Closed`],
    /// [`Error::Corrupt`].
    pub fn notify(&mut self, request: Request<'_>) -> Result<bool> {
        self.check_fork()?;
        let index = self.known_route(request.kind).unwrap_or(0);
        let link = self.link(index)?;
        if !link.is_open() {
            link.check()?;
        }
        let sent = match link.takes(&request.body) {
            true => link.send(0, request.kind, 0, Content::of(&request.body))?,
            false => link.send_copy(request.kind, &request.body)?,
        };
        self.dropped += u64::from(!sent);
        Ok(sent)
    }

    /// How many one-way messages found no room and were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many replies came that nobody waited for any more: answers to requests that were given up, and second
    /// answers after a restart of the server.
    pub fn unwanted(&self) -> u64 {
        let open: u64 = self.links.iter().flatten().map(Link::unwanted).sum();
        self.unwanted + open
    }

    /// Prepares to sleep outside: returns `false` if there is something to do already. After `true`, the client's
    /// descriptor becomes readable when [`try_next_reply`](Client::try_next_reply) may have something; call it until
    /// it has nothing, and then this again, before the descriptor is waited for the next time.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`].
    pub fn arm(&mut self) -> Result<bool> {
        self.check_fork()?;
        self.epoll.forget_deadline();
        let nothing = self.stash.is_empty() && self.over.is_empty();
        // Who ends a session rings after that: whoever asked then may have heard it.
        Ok(nothing && self.sleep(None) && !self.has_end_to_tell())
    }

    /// An error in a forked child, whose sessions are its parent's.
    #[inline]
    fn check_fork(&self) -> Result<()> {
        if self.stamp.is_current() {
            Ok(())
        } else {
            Err(Error::Forked { what: "client" })
        }
    }

    /// Puts what the ring does not take into a segment. Where that fails as the session has ended, the error says so.
    #[inline]
    fn fit<'a>(&mut self, index: usize, body: Body<'a>) -> Result<Body<'a>> {
        let link = self.link(index)?;
        if link.has_fit(&body) {
            return Ok(body);
        }
        let fitted = link.fit(body);
        if fitted.is_err() {
            self.check_link(index, Some(self.next_id))?;
        }
        fitted
    }

    #[inline]
    fn link(&mut self, index: usize) -> Result<&mut Link> {
        let service = &self.service;
        self.links
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or_else(|| Error::Closed {
                service: service.to_string(),
                reason: "the session has ended; connect anew".to_owned(),
            })
    }
}

impl Pollable for Client {
    fn arm(&mut self) -> Result<bool> {
        Client::arm(self)
    }
}

/// Readable when there is something for [`Client::try_next_reply`], after [`Client::arm`]. It is an epoll's
/// descriptor and never shows a hang-up.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
