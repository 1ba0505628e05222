//! A child process as its coordinator sees it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::child::{Role, arguments};
use crate::contender::{Outcome, Place};
use crate::sys::clock::now;
use crate::sys::process::Stop;

/// How long a child may take for its exit before it is killed.
const FAREWELL: Duration = Duration::from_secs(3);

/// A running child. Dropping it ends its input, waits for its exit within limits, and reaps it.
pub(crate) struct Member {
    role: Role,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    read: Vec<u8>,
    /// It broke the rules or the deadline: no farewell.
    lost: bool,
}

impl Member {
    /// Starts this very program as one end of `contender`.
    pub(crate) fn launch(
        role: Role,
        contender: &str,
        place: &Place,
        core: Option<usize>,
    ) -> Outcome<Member> {
        let mut child = Command::new("/proc/self/exe")
            .args(arguments(role, contender, place, core)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no output from a child")?;
        Ok(Member {
            role,
            child,
            input,
            output,
            read: Vec::new(),
            lost: false,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, line: &str) -> Outcome<()> {
        let input = self.input.as_mut().ok_or("a child's input is closed")?;
        let told = input.write_all(format!("{line}\n").as_bytes());
        // A child that is gone says why in what it wrote last.
        if let Err(error) = told
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(error.into());
        }
        Ok(())
    }

    /// The next line, which must begin with `word`; what follows that word.
    pub(crate) fn hear(&mut self, word: &str, deadline: u64, stop: &Stop) -> Outcome<String> {
        let heard = self.line(deadline, stop).and_then(|line| {
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim_start().to_owned());
            }
            let text = line
                .strip_prefix("fault ")
                .map_or_else(|| format!("said {line}"), str::to_owned);
            Err(text.into())
        });
        self.lost |= heard.is_err();
        heard.map_err(|error| format!("{} end: {error}", self.role.name()).into())
    }

    /// The next line as numbers.
    pub(crate) fn numbers<const N: usize>(
        &mut self,
        word: &str,
        deadline: u64,
        stop: &Stop,
    ) -> Outcome<[u64; N]> {
        let text = self.hear(word, deadline, stop)?;
        let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
        numbers?
            .try_into()
            .map_err(|_| format!("{N} numbers expected: {text}").into())
    }

    fn line(&mut self, deadline: u64, stop: &Stop) -> Outcome<String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !ready(&self.output, Some(stop), deadline)? {
                return Err("no answer within the deadline".into());
            }
            let mut bytes = [0; 512];
            match self.output.read(&mut bytes)? {
                0 => return Err("exited without a word".into()),
                count => self.read.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// Lets the child go: it sees the end of its input and cleans up.
    pub(crate) fn dismiss(&mut self) {
        self.input = None;
    }

    /// No farewell for this one.
    pub(crate) fn give_up(&mut self) {
        self.lost = true;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.dismiss();
        let deadline = now() + FAREWELL.as_nanos() as u64;
        let mut bytes = [0; 512];
        // The end of its output is the child's end: it has no children of its own.
        while !self.lost {
            match ready(&self.output, None, deadline) {
                Ok(true) if matches!(self.output.read(&mut bytes), Ok(1..)) => {}
                Ok(true) => break,
                Ok(false) | Err(_) => self.lost = true,
            }
        }
        if self.lost {
            // It may be gone already, which is as well.
            let _ = self.child.kill();
        }
        if let Err(error) = self.child.wait() {
            eprintln!("cannot reap a child: {error}");
        }
    }
}

/// Sleeps until `deadline`, or until the run is told to end, which is an error.
pub(crate) fn rest(deadline: u64, stop: &Stop) -> Outcome<()> {
    ready(stop, Some(stop), deadline).map(drop)
}

/// Whether `fd` can be read, or has hung up, before `deadline`. Being told to end is an error.
pub(crate) fn ready(fd: &impl AsFd, stop: Option<&Stop>, deadline: u64) -> Outcome<bool> {
    let mut fds = vec![PollFd::new(fd, PollFlags::IN)];
    if let Some(stop) = stop {
        fds.push(PollFd::new(stop, PollFlags::IN));
    }
    loop {
        let left = Duration::from_nanos(deadline.saturating_sub(now()));
        let left = Timespec::try_from(left)?;
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if fds.get(1).is_some_and(|stop| !stop.revents().is_empty()) {
        return Err(Box::new(Stopped));
    }
    Ok(true)
}

/// The run was told to end by a signal.
#[derive(Debug)]
pub(crate) struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped by a signal")
    }
}

impl std::error::Error for Stopped {}
