//! A crate of somebody else's that depends on this one.

#![allow(clippy::unwrap_used, reason = "what a test does not expect ends it")]

use std::path::Path;
use std::process::Command;

/// The first Rust example of the README.
fn example() -> &'static str {
    let readme = include_str!("../README.md");
    let (_, from) = readme.split_once("```rust\n").unwrap();
    from.split_once("```").unwrap().0
}

/// Writes a file whole, if it is not there as it should be: another run of this test may be reading it.
fn put(path: &Path, content: &[u8]) {
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return;
    }
    let new = path.with_extension(std::process::id().to_string());
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn the_example_of_the_readme_runs_in_a_crate_of_its_own() {
    // Kept between runs, so that only the first one builds the dependencies.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    std::fs::create_dir_all(home.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"outside\"\nedition = \"2024\"\n\n\
         [dependencies]\nosps-ipc = {{ path = {:?} }}\n\n[workspace]\n",
        env!("CARGO_MANIFEST_DIR")
    );
    put(&home.join("Cargo.toml"), manifest.as_bytes());
    put(&home.join("src/main.rs"), example().as_bytes());
    if !home.join("Cargo.lock").exists()
        && let Ok(lock) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))
    {
        put(&home.join("Cargo.lock"), &lock);
    }
    let runtime = home.join(format!("runtime-{}", std::process::id()));
    let out = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(&home)
        .env("CARGO_TARGET_DIR", home.join("target"))
        .env("OSPS_IPC_DIR", &runtime)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert_eq!(out.stdout, b"HELLO\n", "{said}");
    let left: Vec<_> = std::fs::read_dir(&runtime).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir(&runtime).unwrap();
}
