//! What the tests of segments need: roles for commands of any form (behind a
//! shell, in a namespace), and children that cannot hang.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::common::SOON;

const ROLE: &str = "OSPS_TEST_ROLE";

/// The role of this process, if it is a helper of the test of that name.
pub(crate) fn role(test: &str) -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    role.strip_prefix(test)?
        .strip_prefix('/')
        .map(str::to_owned)
}

/// The arguments and the variable with which this binary runs one test in a role.
pub(crate) fn as_role<'c>(command: &'c mut Command, test: &str, role: &str) -> &'c mut Command {
    command
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ROLE, format!("{test}/{role}"))
}

/// A command that runs the test again as a helper.
pub(crate) fn helper(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    as_role(&mut command, test, role);
    command
}

/// A child whose output is read, and that is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        Running {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push(line),
                Err(why) => panic!("no {text:?} ({why}) in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, and returns how it ended and all that it wrote.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("no end ({why}) after:\n{}", self.seen.join("\n")),
            }
        }
        let status = self.child.wait().unwrap();
        (status, self.seen.join("\n"))
    }

    /// Waits for its end, which must be a passed test.
    #[track_caller]
    pub(crate) fn succeed(self) -> String {
        let (status, output) = self.end();
        assert!(
            status.success() && output.contains("1 passed"),
            "{status}:\n{output}"
        );
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this process may make namespaces and mounts; if not, says that `test` is skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("{test}: skipped: it needs root");
    }
    root
}

/// Numbers that look random and come again with the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}
