//! Where a run keeps its files: a directory on tmpfs that goes when the run ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::contender::Outcome;

const ROOT: &str = "/dev/shm";
const PREFIX: &str = "osps-ipc-peers-";

/// A directory named after the process that made it. Dropping removes it and every file in
/// `/dev/shm` that begins with its name, as iceoryx2's do.
pub(crate) struct Scratch {
    path: PathBuf,
    next: u32,
}

impl Scratch {
    /// Makes the directory, after removing those of runs that are no more.
    pub(crate) fn create() -> Outcome<Scratch> {
        sweep()?;
        let path = Path::new(ROOT).join(format!("{PREFIX}{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch { path, next: 0 })
    }

    /// A new, empty directory in it.
    pub(crate) fn directory(&mut self) -> Outcome<PathBuf> {
        self.next += 1;
        let path = self.path.join(self.next.to_string());
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(name) = self.path.file_name().and_then(|name| name.to_str()) {
            remove(name);
        }
    }
}

/// The prefix of files that belong to `directory` but must lie in `/dev/shm` itself.
pub(crate) fn prefix_of(directory: &Path) -> String {
    let mut parts = directory.iter().rev().map(|part| part.to_string_lossy());
    let (number, run) = (parts.next(), parts.next());
    format!(
        "{}_{}_",
        run.unwrap_or_default(),
        number.unwrap_or_default()
    )
}

fn remove(name: &str) {
    let own = format!("{name}_");
    let Ok(entries) = fs::read_dir(ROOT) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let Some(found) = found.to_str() else {
            continue;
        };
        if found == name {
            report(&entry.path(), fs::remove_dir_all(entry.path()));
        } else if found.starts_with(&own) {
            report(&entry.path(), fs::remove_file(entry.path()));
        }
    }
}

fn report(path: &Path, removed: io::Result<()>) {
    if let Err(error) = removed {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}

fn sweep() -> Outcome<()> {
    for entry in fs::read_dir(ROOT)?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some(pid) = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('_').next())
        else {
            continue;
        };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            remove(&format!("{PREFIX}{pid}"));
        }
    }
    Ok(())
}
