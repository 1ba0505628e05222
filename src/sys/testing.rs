//! Helpers for unit tests that fork, kill, or must not share their process with other tests.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sys::file;

/// The variable that tells a re-executed test binary that it is the helper.
pub(crate) const ROLE: &str = "OSPS_TEST_ROLE";

/// A command that runs one unit test of this binary, with the role in its environment.
pub(crate) fn reexecute(test: &str, role: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new(exe);
    command
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ROLE, role)
        .stdin(Stdio::null());
    command
}

/// The role that this process was given, if it is a helper.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Runs `body` in a process of its own, which is this test in this binary executed again.
pub(crate) fn run_alone(test: &str, body: impl FnOnce()) {
    match role() {
        Some(_) => body(),
        None => run_in_role(test, "alone"),
    }
}

/// Executes one test of this binary again in a role, and waits until it has passed.
pub(crate) fn run_in_role(test: &str, role: &str) {
    let output = reexecute(test, role).output().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{test} as {role}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// [`run_alone`] for the test of this name in the module where it stands.
macro_rules! alone {
    ($name:literal, $body:expr) => {
        let module = module_path!().split_once("::").map_or("", |(_, path)| path);
        $crate::sys::testing::run_alone(&format!("{module}::{}", $name), $body)
    };
}
pub(crate) use alone;

/// A child that is killed and reaped when this is dropped.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    /// Ends the process as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory on tmpfs that goes with the test, and all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    fd: OwnedFd,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let name = file::random_name().unwrap().into_string().unwrap();
        let path = PathBuf::from(format!("/dev/shm/osps-test-{name}"));
        let (fd, _) = file::create_directory_path(&path).unwrap();
        Scratch { path, fd }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// How many names are in it.
    pub(crate) fn count(&self) -> usize {
        file::names_in(&self.fd).unwrap().len()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
