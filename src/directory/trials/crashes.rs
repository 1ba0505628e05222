//! A process is killed at each call by which it changes the directory; the next one finds its way.

use super::*;
use std::process::ExitStatus;

/// The calls that change something, and what reaches the locks.
const CALLS: &[&str] = &[
    "mkdirat",
    "mknodat",
    "renameat2",
    "unlinkat",
    "pwrite64",
    "ftruncate",
    "flock",
    "fcntl",
];

/// Runs an actor that is killed at the n-th of a call. `None`: there were fewer; or its answers.
fn killed_at(runtime: &Directory, call: &str, n: usize, lines: &[&str]) -> Option<()> {
    let plain = reexecute(HELPER, "actor");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qqq", "-o", "/dev/null"])
        .arg(format!("--trace={call}"))
        .arg(format!("--inject={call}:signal=SIGKILL:when={n}"))
        .arg(plain.get_program())
        .args(plain.get_args())
        .envs(
            plain
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
    let mut actor = Actor::spawn(command, runtime);
    for line in lines {
        actor.tell(line);
    }
    actor.stdin = None;
    let status: ExitStatus = actor.process.0.wait().unwrap();
    (!status.success()).then_some(())
}

fn has_strace() -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: no strace here");
    }
    found
}

/// Kills at every call of every kind, after `prepare` and before `check`.
fn killed_everywhere(lines: &[&str], prepare: impl Fn(&Runtime), check: impl Fn(&Runtime, &str)) {
    if !has_strace() {
        return;
    }
    let mut kills = 0;
    for call in CALLS {
        for n in 1..100 {
            let runtime = Runtime::new();
            prepare(&runtime);
            if killed_at(&runtime, call, n, lines).is_none() {
                break;
            }
            kills += 1;
            check(&runtime, &format!("killed at {call} {n}"));
        }
    }
    assert!(kills > 5, "only {kills} kills");
}

fn claim_and_remove(runtime: &Runtime, at: &str) {
    let held = claim(runtime, "svc").unwrap_or_else(|error| panic!("{at}: {error}"));
    held.remove().unwrap();
    assert!(
        runtime.content().is_empty(),
        "{at}: {:?}",
        runtime.content()
    );
}

#[test]
fn a_server_killed_anywhere_in_its_life_leaves_a_name_that_can_be_claimed() {
    killed_everywhere(&["claim svc", "remove"], |_| {}, claim_and_remove);
}

#[test]
fn a_client_killed_anywhere_leaves_nothing_but_a_session_without_an_owner() {
    killed_everywhere(
        &["publish svc"],
        |runtime| drop(claim(runtime, "svc").unwrap()),
        |runtime, at| {
            let held = claim(runtime, "svc").unwrap();
            assert_eq!(runtime.scratch("svc/tmp"), 0, "{at}");
            for session in held.new_sessions().unwrap() {
                assert!(held.take_up(&session, 0).unwrap());
                assert!(!held.is_owner_alive(0).unwrap(), "{at}");
                held.remove_slot(0).unwrap();
            }
            drop(held);
            claim_and_remove(runtime, at);
        },
    );
}
