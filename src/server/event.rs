//! What a server is told.

use std::fmt;
use std::sync::Arc;

use super::delivery::Held;
use super::incoming::{Incoming, Question};
use crate::error::Error;
use crate::request::{RequestForm, RequestKind};
use crate::session::Payload;
use crate::sys::process::Identity;

/// Tells sessions apart, over restarts of the server too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who is at the other end of a session.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    session: SessionId,
    uid: u32,
    identity: Option<Identity>,
}

impl Peer {
    pub(super) fn new(session: SessionId, uid: u32, identity: Option<Identity>) -> Peer {
        Peer(Arc::new(Facts {
            session,
            uid,
            identity,
        }))
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The user that owns the session's directory.
    pub fn uid(&self) -> u32 {
        self.0.uid
    }

    /// The process as it described itself in the session's segment, in its own pid namespace.
    pub fn pid(&self) -> Option<u32> {
        self.identity().map(|identity| identity.pid)
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        self.0.identity
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The client closed it.
    Left,
    /// The client died.
    Died,
    /// The client broke the protocol, in this way.
    Corrupt(String),
}

/// What [`Server::next_timeout`](super::Server::next_timeout) gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A client has connected.
    Connected(Peer),
    /// What was found among the new sessions, or in a slot, was no session that can be served, and was removed; the
    /// error says what was wrong with it.
    Refused(Box<Error>),
    /// A session has ended. Requests of it that are still being handled need no answer. Its files are removed soon
    /// after, at the latest before the server sleeps.
    Disconnected(Peer, End),
    /// A request that wants an answer.
    Request(Incoming),
    /// A message that wants none.
    Notify(Notification),
    /// A client asks where requests of a kind go. Only for a server that
    /// [directs](super::ServerOptions::directs).
    Question(Question),
    /// After [`Server::drain`](super::Server::drain): everything that was asked is answered, or the time is up.
    Drained,
}

/// A one-way message. It is handed out once at most: a server that dies with it takes it along.
#[derive(Debug)]
pub struct Notification(pub(super) Held);

impl Notification {
    /// Who sent it.
    pub fn peer(&self) -> Peer {
        self.0.seat().peer()
    }

    /// Its kind.
    #[inline]
    pub fn kind(&self) -> RequestKind {
        self.0.delivery.header.kind
    }

    /// What came with it.
    #[inline]
    pub fn payload(&self) -> &Payload {
        &self.0.delivery.payload
    }
}

impl Event {
    /// What a message is to a program.
    #[inline(always)]
    pub(super) fn of(held: Held) -> Event {
        let header = &held.delivery.header;
        if header.id == 0 {
            Event::Notify(Notification(held))
        } else if header.form == RequestForm::Ask {
            Event::Question(Question(held))
        } else {
            Event::Request(Incoming(held))
        }
    }
}
