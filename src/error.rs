//! The crate's one error type for set-up and I/O.
//!
//! Outcomes that a hot path expects (a full ring, an empty one) have small enums of their own beside the
//! call that gives them; everything else is an [`Error`], which says what was done to what, and carries the
//! operating system's error as its source.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with what, where, and what can be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the operating system failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Os {
        /// What was being done, as a verb: `"open"`, `"map"`.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The deadline passed first.
    #[error("timed out after {after:?} while waiting for {waiting_for}")]
    TimedOut {
        /// What was waited for.
        waiting_for: String,
        /// The time that was allowed.
        after: Duration,
    },

    /// A name that cannot be one file's name.
    #[error("bad name {name:?}: {reason}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An option that asks for what cannot be.
    #[error("bad option {option}: {reason}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// Why not, and what can be.
        reason: &'static str,
    },

    /// A directory that is not safe to use: another owner, open to others, a symbolic link, not a directory.
    #[error("refusing directory {}: {reason}", path.display())]
    BadDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        reason: String,
    },

    /// A file that is there but is not what it must be (a FIFO, a lock file).
    #[error("refusing file {}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A segment whose header does not validate.
    #[error("{}: {what}: found {found}, expected {expected}", path.display())]
    BadSegment {
        /// The segment's file.
        path: PathBuf,
        /// The field that is wrong.
        what: &'static str,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },

    /// The file system has no room for what was asked; nothing was left behind.
    #[error(
        "no space in {}: {wanted} bytes wanted, {free} free (set OSPS_IPC_DIR to a directory on a larger tmpfs)",
        path.display()
    )]
    NoSpace {
        /// The directory in which there is no room.
        path: PathBuf,
        /// Bytes that were asked for.
        wanted: u64,
        /// Bytes that were free.
        free: u64,
    },

    /// Something longer than its place allows; nothing was sent or made.
    #[error("{what} of {len} bytes is too long: at most {max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The greatest length in bytes.
        max: u64,
    },

    /// More of something than is kept; nothing was sent.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there can be.
        max: u64,
    },

    /// An access outside a segment's payload.
    #[error("offset {offset} with length {len} is outside the {limit} bytes of the segment")]
    OutOfBounds {
        /// Where the access would begin.
        offset: u64,
        /// How long it would be.
        len: u64,
        /// The length of the payload.
        limit: u64,
    },

    /// An integer in a segment that is not where one of its size can be accessed in one piece.
    #[error("offset {offset} is not a multiple of {align}")]
    Misaligned {
        /// Where the access would begin.
        offset: u64,
        /// What the offset must be a multiple of.
        align: u64,
    },

    /// Another process serves under this name.
    #[error("service {service:?} is already served by {holder}")]
    AlreadyRunning {
        /// The service.
        service: String,
        /// Who serves it, as recorded in its lock file.
        holder: String,
    },

    /// The lock of a service is held, but the process recorded in it is proven dead: a child that was forked
    /// without `exec` has inherited it. End that child.
    #[error(
        "the lock of service {service:?} outlives its owner {owner}: a forked child of it still holds it"
    )]
    LockInherited {
        /// The service.
        service: String,
        /// The dead process that took the lock.
        owner: String,
    },

    /// No process serves under this name.
    #[error("service {service:?} is not running (looked in {})", directory.display())]
    NotRunning {
        /// The service.
        service: String,
        /// The runtime directory in which it was looked for.
        directory: PathBuf,
    },

    /// The server has no slot for another session now.
    #[error("service {service:?} has no free session; try again in {retry_after:?}")]
    Busy {
        /// The service.
        service: String,
        /// When to come back.
        retry_after: Duration,
    },

    /// The server ended this session in good order, or this side closed it.
    #[error("session with {service:?} is closed: {reason}")]
    Closed {
        /// The service.
        service: String,
        /// Why.
        reason: String,
    },

    /// The server died, and this session was told not to wait for another.
    #[error("the server of {service:?} is gone: {reason}")]
    ServerGone {
        /// The service.
        service: String,
        /// What is known of its end.
        reason: String,
    },

    /// A request was sent from one service to the next too often. Where requests of its kind go is asked anew next time.
    #[error("requests of kind {kind} to {service:?} are redirected without end")]
    RedirectLoop {
        /// The service that was asked first.
        service: String,
        /// The kind.
        kind: String,
    },

    /// The peer broke the protocol; its session is closed.
    #[error("the peer of {at} broke the protocol: {what}")]
    Corrupt {
        /// The session, ring or pipe.
        at: String,
        /// What was wrong.
        what: String,
    },

    /// The limit on descriptors does not allow what was asked for.
    #[error(
        "{needed} descriptors are needed and the limit is {limit}: raise it (ulimit -n {needed}), or ask for fewer sessions"
    )]
    TooManyDescriptors {
        /// How many are needed.
        needed: u64,
        /// The soft limit.
        limit: u64,
    },

    /// The peer has gone.
    #[error("the peer of {} is gone", path.display())]
    PeerGone {
        /// The FIFO pair.
        path: PathBuf,
    },

    /// Another handle, of this process or of another, has this end already.
    #[error("{} is in use: another handle already reads from it", path.display())]
    InUse {
        /// The FIFO.
        path: PathBuf,
    },

    /// A process that lives has this heartbeat.
    #[error("heartbeat {} is taken: {by} beats there", path.display())]
    AlreadyBeating {
        /// The heartbeat's file.
        path: PathBuf,
        /// Who beats, as it says itself.
        by: String,
    },

    /// A handle was used in a forked child of the process that made it.
    #[error("{what} was made before a fork and cannot be used in the child; make a new one")]
    Forked {
        /// The handle.
        what: &'static str,
    },
}

impl Error {
    /// Wraps an error of the operating system with what was done to what.
    pub(crate) fn os(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Error {
        move |errno| Error::Os {
            doing,
            path: path.as_ref().to_owned(),
            source: errno.into(),
        }
    }

    /// Whether this process or the machine has run out of something (descriptors, memory), so that nobody else is at fault.
    pub(crate) fn is_shortage(&self) -> bool {
        use rustix::io::Errno;
        let Error::Os { source, .. } = self else {
            return false;
        };
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM]
            .iter()
            .any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
    }

    /// Whether the deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut { .. })
    }
}
