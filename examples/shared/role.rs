//! Roles: this very program, executed again under another name. What lies beside it in the target directory may be
//! stale, or not there.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// A command that executes this program in a role.
pub(crate) fn command(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(role);
    command
}

/// Whether this process was started so, for this role; it is then listed under the role's name, and not as "exe".
pub(crate) fn is(role: &str) -> bool {
    let is = std::env::args_os().next().is_some_and(|name| name == role);
    if is {
        let _ = std::fs::write("/proc/self/comm", role);
    }
    is
}
