//! What a client sends, and what it gets back.

use std::time::Duration;

use crate::request::{ReplyHeader, RequestKind, Status};
use crate::session::{Body, Payload};

/// What is asked of a server: a kind, and the bytes that go with it.
///
/// # Examples
///
/// ```
/// use osps_ipc::{Request, RequestKind};
///
/// const DIGEST: RequestKind = RequestKind::new("digest");
///
/// let request = Request::new(DIGEST, "some bytes");
/// assert_eq!(request.kind(), DIGEST);
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) kind: RequestKind,
    pub(crate) body: Body<'a>,
}

impl<'a> Request<'a> {
    /// A request of this kind; `body` is bytes, text, or a [`Lease`](crate::Lease).
    pub fn new(kind: RequestKind, body: impl Into<Body<'a>>) -> Request<'a> {
        Request {
            kind,
            body: body.into(),
        }
    }

    /// The kind.
    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    /// The payload.
    pub fn body(&self) -> &Body<'a> {
        &self.body
    }
}

/// Tells a client's requests apart. Never used twice by one [`Client`](crate::Client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// What a server said to a request.
#[derive(Debug)]
pub struct Reply {
    /// With the header in the same block of memory: what is handed on is a pointer.
    payload: Payload,
}

impl Reply {
    /// Of a header whose payload is still to be read.
    #[inline(always)]
    pub(super) fn of(header: ReplyHeader) -> Reply {
        Reply {
            payload: Payload::of_reply(header),
        }
    }

    /// For who reads it.
    #[inline(always)]
    pub(super) fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }

    #[inline(always)]
    fn header(&self) -> &ReplyHeader {
        self.payload.reply_header()
    }

    /// Which request this is about.
    #[inline]
    pub fn id(&self) -> RequestId {
        RequestId(self.header().id)
    }

    /// What became of the request. Only [`Status::Started`] and [`Status::Part`] are not final.
    #[inline]
    pub fn status(&self) -> Status {
        self.header().status
    }

    /// The handler's number in a [`Status::Failed`]; what a number means elsewhere is said with each status.
    pub fn code(&self) -> u32 {
        self.header().code
    }

    /// The number of the server that wrote the reply; greater after a restart. Nothing depends on it.
    pub fn epoch(&self) -> u64 {
        self.header().epoch
    }

    /// The bytes that came with it.
    #[inline]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The answer of a request that was done, or why it was not.
    ///
    /// # Errors
    ///
    /// [`Rejected`] for every status but [`Status::Done`].
    #[inline]
    pub fn into_answer(self) -> Result<Payload, Rejected> {
        match self.status() {
            Status::Done => Ok(self.payload),
            _ => Err(self.into_rejected()),
        }
    }

    #[inline(never)]
    fn into_rejected(self) -> Rejected {
        let (status, code) = (self.status(), self.code());
        let payload = self.payload;
        let text = |payload: Payload| String::from_utf8_lossy(&payload.into_vec()).into_owned();
        match status {
            Status::UnknownKind => Rejected::UnknownKind {
                known: kinds(&payload),
            },
            Status::Failed => Rejected::Failed {
                code,
                reason: text(payload),
            },
            Status::Redirect => Rejected::Redirected {
                service: text(payload),
            },
            Status::Busy => Rejected::Busy {
                retry_after: Duration::from_millis(code.into()),
            },
            Status::Expired => Rejected::Expired,
            Status::Poisoned => Rejected::Poisoned { attempts: code },
            Status::Closed => Rejected::Closed,
            other => Rejected::Interim(other),
        }
    }
}

fn kinds(payload: &Payload) -> Vec<RequestKind> {
    let (kinds, _) = payload.as_slice().unwrap_or_default().as_chunks();
    kinds
        .iter()
        .filter_map(|kind| RequestKind::from_bytes(*kind).ok())
        .collect()
}

/// Why a request has no answer, as the server said it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The server has no handler for this kind.
    #[error("unknown kind of request; known are: {}", list(known))]
    UnknownKind {
        /// The kinds that it has handlers for.
        known: Vec<RequestKind>,
    },
    /// The handler could not do it.
    #[error("{reason}")]
    Failed {
        /// The handler's own number.
        code: u32,
        /// What the handler said.
        reason: String,
    },
    /// Another service does requests of this kind. Only [`Client::submit`](crate::Client::submit) lets this be seen.
    #[error("this kind of request goes to service {service:?}")]
    Redirected {
        /// The name of the service.
        service: String,
    },
    /// The server cannot take it now.
    #[error("busy; try again in {retry_after:?}")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The deadline had passed when the server came to it; it was not begun.
    #[error("expired before it was begun")]
    Expired,
    /// Each of several servers that began it died.
    #[error("given up after {attempts} attempts that each ended with the server's death")]
    Poisoned {
        /// How often it was begun.
        attempts: u32,
    },
    /// The server ended in good order and had not begun it.
    #[error("the server is shutting down and has not begun it")]
    Closed,
    /// No answer yet: an interim reply.
    #[error("not answered yet: {0:?}")]
    Interim(Status),
}

fn list(kinds: &[RequestKind]) -> String {
    let names: Vec<_> = kinds.iter().map(RequestKind::as_str).collect();
    names.join(", ")
}
