//! Sends what can be read from a file as one request, however long it is, and never has it in memory twice.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use osps_ipc::{Client, Reply, Request, RequestKind};

/// What is not longer is read into memory and copied through the ring.
const SHORT: u64 = 8 << 10;
/// The rest is read in pieces of this size, and written to where the server reads it.
const PIECE: usize = 256 << 10;
/// From this length on the progress is shown, to a person.
const LONG: u64 = 64 << 20;

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The input cannot be read.
    Input(io::Error),
    /// The request cannot be made, or nobody answers it.
    Call(osps_ipc::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem::Input(error)
    }
}

impl From<osps_ipc::Error> for Problem {
    fn from(error: osps_ipc::Error) -> Problem {
        Problem::Call(error)
    }
}

/// Sends `input` as a request of this kind, and waits for the reply.
pub(crate) fn send(
    client: &mut Client,
    kind: RequestKind,
    input: File,
    timeout: Duration,
) -> Result<Reply, Problem> {
    let mut input = match input.metadata()? {
        about if about.is_file() => input,
        _ => spool(input)?,
    };
    let len = input
        .metadata()?
        .len()
        .saturating_sub(input.stream_position()?);
    if len <= SHORT {
        // Also what has no length that could be told before, as files in /proc.
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        return Ok(client.call(Request::new(kind, &bytes), timeout)?);
    }
    let mut lease = client.lease(kind, len, timeout)?;
    let mut piece = vec![0; PIECE];
    let mut sent = 0;
    let mut progress = Progress::of(len);
    while sent < len {
        let left = usize::try_from(len - sent).unwrap_or(PIECE).min(PIECE);
        let read = input.read(&mut piece[..left])?;
        if read == 0 {
            // It has become shorter meanwhile.
            break;
        }
        lease.write_at(sent, &piece[..read])?;
        sent += read as u64;
        progress.show(sent);
    }
    lease.truncate(sent);
    drop(progress);
    Ok(client.call(Request::new(kind, lease), timeout)?)
}

/// Copies what has no length, such as a pipe, to a file without a name on the disk: a request's memory is reserved
/// before the first byte is written there.
fn spool(mut input: File) -> io::Result<File> {
    let folder = std::env::temp_dir();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(&folder)
        .map_err(|error| io::Error::other(format!("no room in {}: {error}", folder.display())))?;
    io::copy(&mut input, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// How far it is, on standard error, for who waits at a terminal. The line goes away in the end.
struct Progress {
    len: u64,
    shown: Option<u64>,
}

impl Progress {
    fn of(len: u64) -> Progress {
        let is_shown = len >= LONG && io::stderr().is_terminal();
        Progress {
            len,
            shown: is_shown.then_some(u64::MAX),
        }
    }

    fn show(&mut self, done: u64) {
        let percent = done.saturating_mul(100) / self.len;
        if self.shown.is_some_and(|shown| shown != percent) {
            self.shown = Some(percent);
            eprint!("\rreading: {percent} %");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
