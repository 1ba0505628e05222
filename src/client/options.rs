//! How a client connects and waits.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Client, link};
use crate::directory::view::ServiceView;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::segment::SegmentOptions;
use crate::session::Wait;
use crate::session::layout::{Geometry, MAX_RING, MIN_RING};
use crate::session::wait::Patience;
use crate::sys::clock::Deadline;
use crate::sys::fork;
use crate::sys::poll::{Epoll, Events};

/// What a session's rings hold unless asked otherwise.
const CAPACITY: usize = 32 << 10;

/// How a [`Client`] connects and waits. The last word is [`connect`](ClientOptions::connect).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::{ClientOptions, Error};
///
/// let nobody = ClientOptions::new().connect("nobody-serves-this", Duration::ZERO);
/// assert!(matches!(nobody, Err(Error::NotRunning { .. })));
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(super) directory: Option<PathBuf>,
    pub(super) request_capacity: usize,
    pub(super) reply_capacity: usize,
    pub(super) wait: Wait,
    pub(super) fail_fast: bool,
    pub(super) probe: bool,
}

impl ClientOptions {
    /// Rings of 32 KiB, adaptive waiting, patience with a server that dies.
    pub fn new() -> ClientOptions {
        ClientOptions {
            directory: None,
            request_capacity: CAPACITY,
            reply_capacity: CAPACITY,
            wait: Wait::default(),
            fail_fast: false,
            probe: false,
        }
    }

    /// Looks for services in this directory instead of the [default](Directory::runtime).
    pub fn directory(mut self, path: impl AsRef<Path>) -> ClientOptions {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// Bytes of the ring for requests, and of that for replies: rounded up to a power of two, at least 4 KiB, at most
    /// 1 GiB. What is longer, with its headers of some 40 bytes, than a quarter of its ring travels in a segment of
    /// its own.
    pub fn capacity(mut self, requests: usize, replies: usize) -> ClientOptions {
        self.request_capacity = requests;
        self.reply_capacity = replies;
        self
    }

    /// How to wait.
    pub fn wait(mut self, wait: Wait) -> ClientOptions {
        self.wait = wait;
        self
    }

    /// Has calls fail with [`Error::ServerGone`] as soon as the server is found dead, instead of waiting for the
    /// next one.
    pub fn fail_fast(mut self) -> ClientOptions {
        self.fail_fast = true;
        self
    }

    /// Connects as a supervisor's probe: a server keeps a few sessions for these, so that one that is full can be
    /// told from one that hangs.
    pub fn probe(mut self) -> ClientOptions {
        self.probe = true;
        self
    }

    /// Bytes of shared memory that a session with these options takes. Payloads of more than a quarter of a ring take memory
    /// of their own, when they come.
    pub fn required_bytes(&self) -> u64 {
        SegmentOptions::raw(
            0,
            usize::try_from(self.geometry().payload_len()).unwrap_or(usize::MAX),
        )
        .required_bytes()
    }

    /// Connects to `service`. Waits until it is there and has taken the session up; with a timeout of zero it must
    /// be running.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if nobody serves under this name when the time is up; [`Error::TimedOut`] if a server is
    /// there but does not answer; [`Error::Busy`] if it has no free session; [`Error::Closed`] while it shuts down;
    /// [`Error::BadName`], [`Error::BadDirectory`], [`Error::NoSpace`].
    pub fn connect(self, service: &str, timeout: Duration) -> Result<Client> {
        let deadline = Deadline::after(timeout);
        let service = Name::new(service)?;
        let runtime = match &self.directory {
            Some(path) => Directory::open(path)?,
            None => Directory::runtime()?,
        };
        let found = ServiceView::find_in(runtime.try_clone()?, &service)?;
        let os = |doing| Error::os(doing, runtime.path());
        let (link, epoll) = self.link(&runtime, &service, found, deadline, |published| {
            let up = published.open_up()?;
            let epoll = Epoll::new().map_err(os("create an epoll for"))?;
            link::watch((&published.down, &up), &epoll, 0)
                .map_err(os("watch the bells of a session in"))?;
            Ok((up, epoll))
        })?;
        Ok(Client {
            patience: Patience::new(self.wait),
            options: self,
            links: vec![Some(link)],
            routes: HashMap::new(),
            epoll,
            runtime,
            events: Events::new(),
            stash: VecDeque::new(),
            next_id: 1,
            first: 0,
            taken_back: Vec::new(),
            may_leave: false,
            dropped: 0,
            over: VecDeque::new(),
            unwanted: 0,
            service,
            stamp: fork::stamp(),
        })
    }

    pub(super) fn geometry(&self) -> Geometry {
        let fit = |bytes: usize| (bytes as u64).clamp(MIN_RING, MAX_RING).next_power_of_two();
        Geometry {
            request_capacity: fit(self.request_capacity),
            reply_capacity: fit(self.reply_capacity),
        }
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions::new()
    }
}
