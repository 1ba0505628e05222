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
    std::fs::write(home.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(home.join("src/main.rs"), example()).unwrap();
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    if lock.exists() {
        std::fs::copy(lock, home.join("Cargo.lock")).unwrap();
    }
    let runtime = home.join("runtime");
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
}
