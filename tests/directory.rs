//! Directories as programs see them: what is made where, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Scratch;
use osps_ipc::{Directory, Error, FifoPair, Name, ServerOptions};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The message of a refusal, which names the directory.
fn refusal(path: &Path) -> String {
    match Directory::open(path) {
        Err(error @ Error::BadDirectory { .. }) => {
            let message = error.to_string();
            assert!(message.contains(&path.display().to_string()), "{message}");
            message
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_makes_what_must_not_exist_and_open_needs_what_exists() {
    let scratch = Scratch::new();
    let path = scratch.path().join("new");
    assert!(matches!(Directory::open(&path), Err(Error::Os { .. })));
    let made = Directory::create(&path).unwrap();
    assert_eq!(made.path(), path);
    assert_eq!(mode(&path), 0o700);
    assert!(matches!(Directory::create(&path), Err(Error::Os { .. })));
    Directory::open(&path).unwrap();
    let error = Directory::create(scratch.path().join("missing/new")).unwrap_err();
    assert!(error.to_string().contains("missing/new"), "{error}");
}

#[test]
fn a_subdirectory_is_made_once() {
    let scratch = Scratch::new();
    let above = Directory::open(scratch.path()).unwrap();
    let name = Name::new("below").unwrap();
    for _ in 0..2 {
        let below = above.subdirectory(&name).unwrap();
        assert_eq!(below.path(), scratch.path().join("below"));
    }
    fs::set_permissions(scratch.path().join("below"), Permissions::from_mode(0o750)).unwrap();
    let error = above.subdirectory(&name).unwrap_err();
    assert!(matches!(error, Error::BadDirectory { .. }), "{error}");
}

#[test]
fn a_directory_that_others_can_enter_is_refused_with_the_command_that_mends_it() {
    let scratch = Scratch::new();
    let path = scratch.path().join("open");
    fs::create_dir(&path).unwrap();
    for wrong in [0o755, 0o750, 0o701, 0o777, 0o1777] {
        fs::set_permissions(&path, Permissions::from_mode(wrong)).unwrap();
        let message = refusal(&path);
        let command = format!("chmod 0700 '{}'", path.display());
        assert!(message.contains(&command), "{message}");
        assert!(message.contains(&format!("{wrong:04o}")), "{message}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    Directory::open(&path).unwrap();
}

#[test]
fn a_symbolic_link_is_refused_even_with_a_slash_behind_it() {
    let scratch = Scratch::new();
    Directory::create(scratch.path().join("real")).unwrap();
    let link = scratch.path().join("link");
    symlink(scratch.path().join("real"), &link).unwrap();
    assert!(refusal(&link).contains("symbolic link"));
    for spelling in ["link/", "link/.", "link//"] {
        let error = Directory::open(scratch.path().join(spelling)).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
    let below = scratch.subdirectory(&Name::new("link").unwrap());
    assert!(matches!(below, Err(Error::BadDirectory { .. })));
}

#[test]
fn what_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("not a directory"));
}

#[test]
fn a_directory_of_another_user_is_refused_with_both_uids() {
    let scratch = Scratch::new();
    let path = scratch.path().join("foreign");
    Directory::create(&path).unwrap();
    let own = fs::metadata(&path).unwrap().uid();
    if chown(&path, Some(65534), None).is_err() {
        eprintln!("SKIPPED: only root can give a directory away");
        return;
    }
    let message = refusal(&path);
    assert!(
        message.contains("uid 65534") && message.contains(&format!("uid {own}")),
        "{message}"
    );
}

/// What [`the_runtime_directory_is_printed`] prints in another environment.
fn runtime_with(set: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_runtime_directory_is_printed", "--nocapture"])
        .env_remove("OSPS_IPC_DIR")
        .env_remove("XDG_RUNTIME_DIR")
        .env("OSPS_TEST_ROLE", "print")
        .envs(set.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("> "));
    line.unwrap().to_owned()
}

#[test]
fn the_runtime_directory_is_printed() {
    if std::env::var_os("OSPS_TEST_ROLE").is_none() {
        return;
    }
    match Directory::runtime() {
        Ok(runtime) => println!("\n> {}", runtime.path().display()),
        Err(error) => println!("\n> error: {error}"),
    }
}

#[test]
fn the_runtime_directory_is_found_by_the_environment_and_made() {
    let scratch = Scratch::new();
    let own = scratch.path().join("own");
    assert_eq!(
        runtime_with(&[("OSPS_IPC_DIR", &own)]),
        own.to_str().unwrap()
    );
    assert_eq!(mode(&own), 0o700);
    let xdg = scratch.path().join("osps-ipc");
    for empty in [&[][..], &[("OSPS_IPC_DIR", Path::new(""))]] {
        let mut set = empty.to_vec();
        set.push(("XDG_RUNTIME_DIR", scratch.path()));
        assert_eq!(runtime_with(&set), xdg.to_str().unwrap());
    }
    assert_eq!(mode(&xdg), 0o700);
    let both = [("OSPS_IPC_DIR", &*own), ("XDG_RUNTIME_DIR", scratch.path())];
    assert_eq!(runtime_with(&both), own.to_str().unwrap());
    let nowhere = scratch.path().join("a/b");
    let error = runtime_with(&[("OSPS_IPC_DIR", &nowhere)]);
    assert!(
        error.starts_with("error: ") && error.contains("a/b"),
        "{error}"
    );
}

#[test]
fn without_a_usable_xdg_directory_the_runtime_directory_is_in_shared_memory() {
    let scratch = Scratch::new();
    let uid = fs::metadata(scratch.path()).unwrap().uid();
    let default = PathBuf::from(format!("/dev/shm/osps-ipc-{uid}"));
    let was_there = default.exists();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = scratch.path().join("missing");
    for unusable in [Path::new("relative"), &missing, &file] {
        let found = runtime_with(&[("XDG_RUNTIME_DIR", unusable)]);
        assert_eq!(found, default.to_str().unwrap());
    }
    let foreign = scratch.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    if chown(&foreign, Some(65534), None).is_ok() {
        // As after `su`: what was made there would be in its owner's way.
        let found = runtime_with(&[("XDG_RUNTIME_DIR", &foreign)]);
        assert_eq!(found, default.to_str().unwrap());
    }
    if !was_there {
        // Fails if another program has begun to use it, as it should.
        let _ = fs::remove_dir(&default);
    }
}

/// What a program does that was started with a umask which takes everything from everybody.
fn use_everything(directory: &Directory) -> osps_ipc::Result<()> {
    let below = directory.subdirectory(&Name::new("below")?)?;
    let pair = FifoPair::create(&below, &Name::new("pair")?)?;
    FifoPair::open(&below, &Name::new("pair")?)?;
    drop(pair);
    let server = ServerOptions::new()
        .directory(directory.path())
        .bind("svc")?;
    let refused = ServerOptions::new().directory(directory.path()).bind("svc");
    assert!(matches!(refused, Err(Error::AlreadyRunning { .. })));
    drop(server);
    Ok(())
}

#[test]
fn a_umask_takes_nothing_from_the_owner() {
    const TEST: &str = "a_umask_takes_nothing_from_the_owner";
    if let Some(path) = std::env::var_os("OSPS_TEST_UMASK") {
        use_everything(&Directory::create(path).unwrap()).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0777; exec \"$@\"", "sh"]);
    // Root may do what the mode forbids, so it does not do it as root.
    if chown(scratch.path(), Some(65534), None).is_ok() {
        command.args([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]);
    }
    let output = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env("OSPS_TEST_UMASK", scratch.path().join("new"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("1 passed"), "{said}{complaint}");
    assert_eq!(mode(&scratch.path().join("new/below")), 0o700);
}

#[test]
fn a_name_is_checked_before_anything_is_made() {
    for (bad, why) in [
        ("", "empty"),
        ("a/b", "path"),
        ("..", "'.'"),
        (&"n".repeat(201), "200"),
    ] {
        let error = Name::new(bad).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }));
        assert!(error.to_string().contains(why), "{error}");
    }
    Name::new("n".repeat(Name::MAX_LEN)).unwrap();
}

#[test]
fn a_directory_is_not_inherited_by_a_program_that_is_started() {
    let scratch = Scratch::new();
    let _open = Directory::open(scratch.path()).unwrap();
    let output = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!listed.contains("osps-ipc-test"), "{listed}");
}
