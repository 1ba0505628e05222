//! How long a clean release build of a library takes with all that it depends on, and how much that is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use crate::contender::Outcome;
use crate::member::ready;
use crate::options::Options;
use crate::points::Point;
use crate::run::stopped;
use crate::samples::Spread;
use crate::sys::clock::{millis, now};
use crate::sys::process::Stop;

const ROUNDS: usize = 2;
/// The longest that one call of cargo may take.
const PATIENCE: u64 = millis(900_000);
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Builds both libraries in turn. In the quick form there is no number.
pub(crate) fn take(options: &Options, stop: &Stop) -> Outcome<Vec<Point>> {
    let ours = format!(
        "osps-ipc = {{ path = {:?} }}",
        Path::new(HERE).join("../..")
    );
    let mut libraries = [
        Library::new("osps-ipc", &ours),
        Library::new("iceoryx2", &pinned("iceoryx2")?),
    ];
    if options.quick {
        libraries
            .iter_mut()
            .for_each(|library| library.fail("not measured in the quick form"));
    }
    for _ in 0..ROUNDS {
        for library in &mut libraries {
            stopped(stop)?;
            library.round(stop);
        }
    }
    Ok(libraries.into_iter().flat_map(Library::points).collect())
}

/// The line of this package's manifest that names a dependency.
fn pinned(name: &str) -> Outcome<String> {
    let manifest = fs::read_to_string(Path::new(HERE).join("Cargo.toml"))?;
    let line = manifest
        .lines()
        .find(|line| line.starts_with(&format!("{name} = ")));
    Ok(line
        .ok_or_else(|| format!("no dependency on {name}"))?
        .to_owned())
}

struct Library {
    name: &'static str,
    dependency: String,
    seconds: Vec<f64>,
    crates: usize,
    failed: Option<String>,
}

impl Library {
    fn new(name: &'static str, dependency: &str) -> Library {
        let dependency = dependency.to_owned();
        Library {
            name,
            dependency,
            seconds: Vec::new(),
            crates: 0,
            failed: None,
        }
    }

    fn fail(&mut self, why: &str) {
        self.failed = Some(why.to_owned());
    }

    fn round(&mut self, stop: &Stop) {
        if self.failed.is_some() {
            return;
        }
        eprintln!("clean build: {}", self.name);
        match self.build(stop) {
            Ok(seconds) => self.seconds.push(seconds),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// A package that does nothing but depend on the library, in a directory of its own.
    fn build(&mut self, stop: &Stop) -> Outcome<f64> {
        let dir = Temporary::create()?;
        let manifest = format!(
            "[package]\nname = \"weight\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{}\n",
            self.dependency
        );
        fs::write(dir.0.join("Cargo.toml"), manifest)?;
        fs::copy(Path::new(HERE).join("Cargo.lock"), dir.0.join("Cargo.lock"))?;
        fs::create_dir(dir.0.join("src"))?;
        fs::write(dir.0.join("src/lib.rs"), "")?;
        cargo(&dir.0, &["fetch"], stop)?;
        let tree = [
            "tree",
            "--offline",
            "--prefix",
            "none",
            "-e",
            "normal,build",
        ];
        let tree = cargo(&dir.0, &tree, stop)?;
        let crates: HashSet<&str> = tree
            .lines()
            .filter_map(|line| line.split(" (").next())
            .map(str::trim_end)
            .collect();
        // Neither the package of this test nor the library itself is a dependency of the library.
        self.crates = crates.len().saturating_sub(2);
        let from = now();
        cargo(&dir.0, &["build", "--release", "--offline"], stop)?;
        Ok((now() - from) as f64 / 1e9)
    }

    fn points(self) -> [Point; 2] {
        let value = |number: Option<f64>| match (&self.failed, number) {
            (None, Some(number)) => Ok(number),
            (failed, _) => Err(failed.clone().unwrap_or_default().into()),
        };
        let seconds = Spread::of(self.seconds.clone()).map(|spread| spread.median);
        let name = |what: &str| format!("{what} {}", self.name);
        [
            Point {
                name: name("build"),
                unit: "s, clean release build",
                value: value(seconds),
            },
            Point {
                name: name("build crates"),
                unit: "crates it depends on",
                value: value(Some(self.crates as f64)),
            },
        ]
    }
}

/// Runs cargo there, within limits; what it printed.
fn cargo(dir: &Path, arguments: &[&str], stop: &Stop) -> Outcome<String> {
    let errors = dir.join("errors");
    let mut child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .spawn()?;
    let printed = child.stdout.take().ok_or("no output of cargo".into());
    let printed = printed.and_then(|output| listen(output, stop));
    if printed.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let printed = printed?;
    if status.success() {
        return Ok(printed);
    }
    Err(format!(
        "cargo {}: {}",
        arguments.join(" "),
        fs::read_to_string(errors)?
    )
    .into())
}

/// Everything up to the end of `output`.
fn listen(mut output: ChildStdout, stop: &Stop) -> Outcome<String> {
    let deadline = now() + PATIENCE;
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        if !ready(&output, Some(stop), deadline)? {
            return Err("a build took too long".into());
        }
        match output.read(&mut bytes)? {
            0 => return Ok(String::from_utf8(text)?),
            count => text.extend_from_slice(&bytes[..count]),
        }
    }
}

/// A directory under this package's own target directory, gone when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn create() -> Outcome<Temporary> {
        let path = Path::new(HERE).join(format!("target/weight-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
