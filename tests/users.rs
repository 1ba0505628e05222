//! FIFOs and other users: one that attacks, and one that has used up its share of pipes. Both need root to take the
//! part of another user, and say so where they have it not.

#![allow(clippy::unwrap_used, reason = "what a test does not expect ends it")]

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use common::{SOON, Scratch};
use osps_ipc::{
    Client, ClientOptions, Directory, Event, FifoPair, Name, Request, RequestKind, Server,
    ServerOptions,
};

const NOBODY: u32 = 65534;
const ECHO: RequestKind = RequestKind::new("echo");

/// Says that a test was skipped where this is not root.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: {test} needs root");
    }
    root
}

fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
}

fn name() -> Name {
    Name::new("pair").unwrap()
}

#[test]
fn another_user_reaches_no_end_and_what_is_theirs_is_refused_and_named() {
    if !is_root("another_user_reaches_no_end_and_what_is_theirs_is_refused_and_named") {
        return;
    }
    let dir = Scratch::new();
    let pair = FifoPair::create(&dir, &name()).unwrap();
    let up = dir.path().join("pair.up");
    // A blocked open would outlast the limit, and a write that succeeded would be a bell.
    let attack = as_nobody()
        .args(["timeout", "5", "sh", "-c", "echo x > \"$0\""])
        .arg(&up)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&attack.stderr);
    assert!(
        !attack.status.success() && said.contains("denied"),
        "{said}"
    );
    // A FIFO that is theirs, in a directory that is ours.
    pair.leave();
    chown(&up, Some(NOBODY), None).unwrap();
    let error = FifoPair::take_over(&dir, &name()).unwrap_err().to_string();
    assert!(
        error.contains("pair.up") && error.contains("65534"),
        "{error}"
    );
    // A directory that is theirs.
    chown(dir.path(), Some(NOBODY), None).unwrap();
    let error = Directory::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("65534"), "{error}");
    chown(dir.path(), Some(0), None).unwrap();
}

/// The part of a user who holds so many pipes that new ones are given a page or two.
fn serve_with_few_pages() {
    let pipes: Vec<_> = (0..1100).map(|_| std::io::pipe().unwrap()).collect();
    let place = std::env::temp_dir().join(format!("osps-ipc-test-nobody-{}", std::process::id()));
    let dir = Directory::create(&place).unwrap();
    let mut ours = FifoPair::create(&dir, &name()).unwrap();
    let mut theirs = FifoPair::open(&dir, &name()).unwrap();
    let frame = [7; FifoPair::MAX_FRAME];
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let mut buffer = [0; FifoPair::MAX_FRAME];
            let len = theirs.recv_timeout(&mut buffer, SOON).unwrap();
            theirs.send_timeout(&buffer[..len], SOON).unwrap();
        });
        ours.send_timeout(&frame, SOON).unwrap();
        let mut buffer = [0; FifoPair::MAX_FRAME];
        assert_eq!(ours.recv_timeout(&mut buffer, SOON).unwrap(), frame.len());
        assert_eq!(buffer, frame);
        echo.join().unwrap();
    });
    drop((ours, theirs));
    call_a_server(&dir);
    drop(pipes);
    std::fs::remove_dir_all(&place).unwrap();
}

fn call_a_server(dir: &Directory) {
    let mut server: Server = ServerOptions::new()
        .directory(dir.path())
        .bind("svc")
        .unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client: Client = ClientOptions::new()
                .directory(dir.path())
                .connect("svc", SOON)
                .unwrap();
            for _ in 0..100 {
                client
                    .call(Request::new(ECHO, "x"), SOON)
                    .unwrap()
                    .into_answer()
                    .unwrap();
            }
        });
        while !asking.is_finished() {
            if let Some(Event::Request(request)) =
                server.next_timeout(Duration::from_millis(20)).unwrap()
            {
                request.reply("x").unwrap();
            }
        }
        asking.join().unwrap();
    });
}

#[test]
fn a_user_with_more_pipes_than_its_share_loses_no_frame_and_no_bell() {
    const TEST: &str = "a_user_with_more_pipes_than_its_share_loses_no_frame_and_no_bell";
    if std::env::var_os("OSPS_TEST_FEW_PAGES").is_some() {
        return serve_with_few_pages();
    }
    if !is_root(TEST) {
        return;
    }
    // A copy that this user may execute.
    let place = Scratch::new();
    let copy = place.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let output = as_nobody()
        .args([
            "timeout",
            "60",
            "sh",
            "-c",
            "ulimit -n 4096; exec \"$@\"",
            "sh",
        ])
        .arg(&copy)
        .args(["--exact", TEST, "--nocapture"])
        .env("OSPS_TEST_FEW_PAGES", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("1 passed"), "{said}{complaint}");
}
