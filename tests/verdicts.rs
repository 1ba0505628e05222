//! Processes to which unusual things happen: a debugger, a core dump, a frozen control group, a clock of their own. What is
//! said of them, and what is done.
//!
//! Unsafe is needed for `ptrace`, which rustix has not.

#![allow(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/served.rs"]
mod served;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Helper, SOON, Scratch};
use osps_ipc::detector::{Cause, Death, Verdict};
use osps_ipc::restart::{ExitCause, Policy};
use osps_ipc::supervisor::{Event, Rung};
use osps_ipc::{
    Client, ClientOptions, Directory, HeartbeatView, Monitor, MonitorOptions, Name, Probed, Report,
    Request, ServerOptions, SupervisorOptions,
};
use rustix::process::{Resource, getrlimit};
use served::{
    DUMP, ECHO, HOLD, SPIN, Supervised, client, command, config, is_alive, is_hung, monitor,
    signal, start, until, until_verdict,
};

#[test]
fn serve() {
    served::serve();
}

fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// The thread that beats in the service.
fn beating_thread(place: &Scratch) -> i32 {
    let directory = Directory::open(place.path().join("svc")).unwrap();
    let view = HeartbeatView::open(&directory, &Name::new("heartbeat").unwrap()).unwrap();
    i32::try_from(view.read().unwrap().thread).unwrap()
}

/// Holds a thread as a debugger would. Dropped, it lets go.
struct Tracer(i32);

impl Tracer {
    /// `None` where it is not allowed.
    fn hold(thread: i32) -> Option<Tracer> {
        let tracer = Tracer(thread);
        // SAFETY: no memory of this process is given away.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, ptr::null_mut::<u8>(), 0) };
        if seized != 0 {
            std::mem::forget(tracer);
            return None;
        }
        // SAFETY: as before.
        unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0) };
        until(|| {
            // SAFETY: the status is not asked for.
            let stopped =
                unsafe { libc::waitpid(thread, ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
            (stopped == thread).then_some(())
        });
        Some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: no memory of this process is given away.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0) };
    }
}

fn verdict(wanted: impl Fn(Verdict) -> bool) -> impl Fn(&Event) -> Option<Report> {
    move |event| match event {
        Event::Verdict(report) if wanted(report.verdict()) => Some(report.clone()),
        _ => None,
    }
}

#[test]
fn a_process_that_somebody_has_in_a_debugger_hangs_and_is_left_alone() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    let pid = supervised.until_ready();
    let Some(tracer) = Tracer::hold(beating_thread(&place)) else {
        return skipped("ptrace is not allowed here");
    };
    let report = supervised.until(verdict(is_hung(Cause::Traced)));
    assert!(!report.judgement.actionable, "{report}");
    let me = rustix::thread::gettid().as_raw_nonzero();
    let me = format!("traced by {me}");
    assert!(report.to_string().contains(&me), "{report}");
    let meanwhile = supervised.0.next_timeout(Duration::from_millis(500));
    assert_eq!(meanwhile.unwrap(), None);
    drop(tracer);
    supervised.until(verdict(is_alive));
    client(&place).call(Request::new(ECHO, ""), SOON).unwrap();
    assert_eq!(
        (supervised.0.pid(), supervised.0.history().len()),
        (Some(pid), 0)
    );
}

#[test]
fn a_process_whose_heartbeat_was_removed_is_orphaned_asked_to_end_and_replaced() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    let pid = supervised.until_ready();
    fs::remove_file(place.path().join("svc/heartbeat")).unwrap();
    supervised.until(verdict(|verdict| verdict == Verdict::Orphaned));
    let rung = supervised.until(|event| match event {
        Event::Ending { rung, .. } => Some(*rung),
        _ => None,
    });
    assert_eq!(rung, Rung::Asked);
    assert_eq!(supervised.until_ended(), ExitCause::KilledAsOrphan);
    assert_ne!(supervised.until_ready(), pid);
}

/// Why the kernel would not write a core dump into the working directory.
fn no_dumps() -> Option<String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    match pattern.starts_with('|') || pattern.contains('/') {
        true => Some(format!("core dumps go to {}", pattern.trim())),
        false if getrlimit(Resource::Core).maximum == Some(0) => {
            Some("core dumps are not allowed here".to_owned())
        }
        false => None,
    }
}

/// Has servers die with ever more memory to dump, until `seen` tells of the dump: a small one can be over between two looks.
/// It drops the client who asked for it once the server has ended, or the next one would be asked too.
fn dumped<T>(place: &Scratch, mut seen: impl FnMut(Client) -> Option<T>) -> Option<T> {
    for megabytes in ["64", "128", "256", "512"] {
        let mut client = client(place);
        client.submit(Request::new(DUMP, megabytes), SOON).unwrap();
        if let Some(seen) = seen(client) {
            return Some(seen);
        }
    }
    skipped("each dump was over before it was seen");
    None
}

#[test]
fn a_process_that_dumps_its_core_is_dying_and_waited_for() {
    if let Some(why) = no_dumps() {
        return skipped(&why);
    }
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    supervised.until_ready();
    dumped(&place, |client| {
        let mut dying = false;
        let cause = supervised.until(|event| match event {
            Event::Ended { report, .. } => Some(Some(report.end.cause)),
            Event::Verdict(report) if report.verdict() == Verdict::Dying => Some(None),
            _ => None,
        });
        let cause = cause.unwrap_or_else(|| {
            dying = true;
            supervised.until_ended()
        });
        let dumped = Death::Killed {
            signal: 6,
            dumped: true,
        };
        // On a busy machine it can take longer than it may to have so much memory.
        let came_to_it = dying || !matches!(cause, ExitCause::KilledAsHung(_));
        assert!(!came_to_it || cause == ExitCause::Died(dumped), "{cause:?}");
        drop(client);
        supervised.until_ready();
        dying.then_some(())
    });
}

#[test]
fn a_dump_that_takes_too_long_is_cut_short() {
    if let Some(why) = no_dumps() {
        return skipped(&why);
    }
    let place = Scratch::new();
    let mut policy = Policy::default();
    policy.window = Duration::ZERO;
    let mut hurried = config();
    hurried.dump_within = Duration::from_millis(1);
    let options = SupervisorOptions::new(command("serve", place.path())).policy(policy);
    let mut supervised = Supervised::with_config(options, &place, hurried);
    supervised.until_ready();
    dumped(&place, |client| {
        let cause = supervised.until_ended();
        drop(client);
        supervised.until_ready();
        (cause == ExitCause::KilledInDump).then_some(())
    });
}

/// A control group of the test's own. Dropped, it goes, and those in it to where they came from.
struct Group {
    path: PathBuf,
}

impl Group {
    /// In the first of these hierarchies that has `file`.
    fn new(hierarchies: &[&str], file: &str, pid: u32) -> Option<Group> {
        hierarchies.iter().find_map(|hierarchy| {
            let name = format!("osps-ipc-test-{}-{pid}", std::process::id());
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(name);
            fs::create_dir(&path).ok()?;
            let group = Group { path };
            let has = group.path.join(file).exists();
            let joined = has && group.set("cgroup.procs", &pid.to_string());
            joined.then_some(group)
        })
    }

    fn set(&self, file: &str, value: &str) -> bool {
        fs::write(self.path.join(file), value).is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.set("cgroup.freeze", "0");
        self.set("freezer.state", "THAWED");
        let inside = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            let _ = fs::write(self.path.join("../cgroup.procs"), pid);
        }
        let start = Instant::now();
        // Not empty as long as one of them is not wholly gone.
        while fs::remove_dir(&self.path).is_err() && start.elapsed() < SOON {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_process_whose_control_group_is_frozen_is_stopped() {
    let place = Scratch::new();
    let server = start(&place);
    let mut monitor = monitor(&place);
    until_verdict(&mut monitor, is_alive);
    let version2 = Group::new(&["unified", "."], "cgroup.freeze", server.pid());
    let version1 = match version2 {
        Some(_) => None,
        None => Group::new(&["freezer"], "freezer.state", server.pid()),
    };
    let frozen = match (&version2, &version1) {
        (Some(group), _) => group.set("cgroup.freeze", "1"),
        (None, Some(group)) => group.set("freezer.state", "FROZEN"),
        (None, None) => false,
    };
    if !frozen {
        return skipped("no control group can be frozen here");
    }
    let (report, _) = until_verdict(&mut monitor, is_hung(Cause::Stopped));
    assert!(report.judgement.actionable, "{report}");
    assert!(
        report.to_string().contains("control group frozen"),
        "{report}"
    );
    drop((version2, version1));
    until_verdict(&mut monitor, is_alive);
}

#[test]
fn a_process_that_gets_no_time_is_starved_and_not_to_be_killed_for_it() {
    let place = Scratch::new();
    let server = start(&place);
    let mut monitor = monitor(&place);
    until_verdict(&mut monitor, is_alive);
    let group = Group::new(&["cpu"], "cpu.cfs_quota_us", server.pid());
    let throttled = group.as_ref().is_some_and(|group| {
        group.set("cpu.cfs_period_us", "1000000") && group.set("cpu.cfs_quota_us", "1000")
    });
    let (Some(group), true) = (group, throttled) else {
        return skipped("no control group's time can be limited here");
    };
    let mut client = client(&place);
    client.submit(Request::new(SPIN, ""), SOON).unwrap();
    let (report, _) = until_verdict(&mut monitor, is_hung(Cause::Starved));
    assert!(!report.judgement.actionable, "{report}");
    // Given its time, it is seen to spin.
    assert!(group.set("cpu.cfs_quota_us", "-1"));
    let (report, _) = until_verdict(&mut monitor, is_hung(Cause::Spinning));
    assert!(report.judgement.actionable, "{report}");
}

/// A child that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that goes on to execute the server.
fn around(mut outer: Command, place: &Path) -> Command {
    let inner = command("serve", place);
    let variables = inner.get_envs();
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    outer
}

#[test]
fn a_process_with_a_clock_of_its_own_is_judged_by_the_watchers() {
    let place = Scratch::new();
    let mut outer = Command::new("unshare");
    outer.args(["--time", "--fork", "--kill-child", "--monotonic", "100000"]);
    let Ok(mut child) = around(outer, place.path()).spawn().map(Killed) else {
        return skipped("there is no unshare here");
    };
    let mut monitor = monitor(&place);
    let report = loop {
        if let Ok(Some(_)) = child.0.try_wait() {
            return skipped("no time namespace can be made here");
        }
        let report = monitor.next_timeout(Duration::from_millis(100)).unwrap();
        if let Some(report) = report.filter(|report| is_alive(report.verdict())) {
            break report;
        }
    };
    let pid = report.pid.unwrap();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/time")).unwrap();
    assert_ne!(namespace(&pid.to_string()), namespace("self"));
    let mut client = client(&place);
    for _ in 0..2 {
        client.call(Request::new(ECHO, ""), SOON).unwrap();
        // It is well, and stays so.
        let changed = monitor.next_timeout(Duration::from_millis(500)).unwrap();
        let hangs = |report: &Report| matches!(report.verdict(), Verdict::Hung { .. });
        assert!(!changed.as_ref().is_some_and(hangs), "{changed:?}");
        signal("-STOP", pid);
        let (report, after) = until_verdict(&mut monitor, is_hung(Cause::Stopped));
        println!("{after:?}: {report}");
        signal("-CONT", pid);
        until_verdict(&mut monitor, is_alive);
    }
}

/// A process that keeps the service up and takes in orphans: it says when the one that its child has left is reaped.
#[test]
fn keep() {
    let Some((_, place)) = common::role() else {
        return;
    };
    let place = place.path();
    let mut shell = Command::new("sh");
    // The one in the middle ends at once, and what it has started is nobody's child but the reaper's.
    shell.args([
        "-c",
        "(sh -c 'echo $$ > orphan.new; mv orphan.new orphan; exec sleep 0.3' &); exec \"$@\"",
        "sh",
    ]);
    let mut supervisor = SupervisorOptions::new(around(shell, place))
        .directory(place)
        .config(config())
        .subreaper()
        .supervise("svc")
        .unwrap();
    let mut pass = || supervisor.next_timeout(Duration::from_millis(20)).unwrap();
    let orphan = until(|| {
        pass();
        let pid = fs::read_to_string(place.join("orphan")).ok()?;
        pid.trim().parse::<u32>().ok()
    });
    // In /proc as long as it lives, or is a zombie.
    until(|| {
        pass();
        let status = fs::read_to_string(format!("/proc/{orphan}/status"));
        status.is_err().then_some(())
    });
    common::tell("reaped");
    supervisor.stop();
    until(|| {
        let _ = supervisor.next_timeout(Duration::from_millis(20)).unwrap();
        supervisor.is_over().then_some(())
    });
}

#[test]
fn a_reaper_takes_in_the_orphans_of_its_children_and_leaves_no_zombie() {
    let place = Scratch::new();
    let helper = Helper::start("keep", "keep", place.path());
    helper.expect("reaped");
    helper.finish();
}

#[test]
fn the_children_of_others_are_not_reaped() {
    let place = Scratch::new();
    let mut supervised = Supervised::serving(&place);
    let pid = supervised.until_ready();
    let mut other = Killed(Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap());
    let stat = format!("/proc/{}/stat", other.0.id());
    until(|| {
        fs::read_to_string(&stat)
            .unwrap()
            .contains(") Z ")
            .then_some(())
    });
    signal("-KILL", pid);
    supervised.until_ended();
    supervised.until_ready();
    assert_eq!(other.0.wait().unwrap().code(), Some(7));
}

fn probing(place: &Scratch) -> Monitor {
    let every = Duration::from_millis(20);
    MonitorOptions::new()
        .directory(place.path())
        .config(config())
        .probe(every, every * 10)
        .watch("svc")
        .unwrap()
}

fn until_probed(monitor: &mut Monitor, wanted: fn(&Probed) -> bool) -> Report {
    until(|| {
        let report = monitor.next_timeout(SOON).unwrap()?;
        wanted(&report.probed).then_some(report)
    })
}

#[test]
fn a_server_that_is_full_is_probed_over_a_session_that_is_kept_for_it() {
    let place = Scratch::new();
    let mut server = ServerOptions::new()
        .directory(place.path())
        // Two are kept for probes.
        .sessions(3)
        .heartbeat(served::BUDGET)
        .bind("svc")
        .unwrap();
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && begun.elapsed() < SOON {
                // What is dropped is answered as failed: an answer too.
                server.next_timeout(Duration::from_millis(10)).unwrap();
            }
        });
        let _only = client(&place);
        let connect = || {
            ClientOptions::new()
                .directory(place.path())
                .connect("svc", SOON)
        };
        let refused = connect().unwrap_err();
        assert!(matches!(refused, osps_ipc::Error::Busy { .. }), "{refused}");
        let mut monitor = probing(&place);
        let report = until_probed(&mut monitor, |probed| {
            matches!(probed, Probed::Works { .. })
        });
        assert_eq!(report.verdict(), Verdict::Alive);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_loop_that_beats_and_answers_nothing_is_found_by_the_probe() {
    let place = Scratch::new();
    let _server = start(&place);
    let mut monitor = probing(&place);
    until_probed(&mut monitor, |probed| {
        matches!(probed, Probed::Works { .. })
    });
    let mut client = client(&place);
    client.submit(Request::new(HOLD, ""), SOON).unwrap();
    let report = until_probed(&mut monitor, |probed| {
        matches!(probed, Probed::Fails { .. })
    });
    assert!(
        matches!(report.verdict(), Verdict::Alive | Verdict::Suspect { .. }),
        "{report}"
    );
    assert!(report.to_string().contains("no answer"), "{report}");
}

#[test]
fn a_loop_that_beats_and_answers_nothing_is_replaced_if_that_is_asked_for() {
    let every = Duration::from_millis(20);
    let place = Scratch::new();
    let options = SupervisorOptions::new(command("serve", place.path()))
        .probe(every, every * 10)
        .replace_after(NonZeroU32::new(3).unwrap());
    let mut supervised = Supervised::start(options, &place);
    let first = supervised.until_ready();
    let mut client = client(&place);
    client.submit(Request::new(HOLD, ""), SOON).unwrap();
    assert_eq!(supervised.until_ended(), ExitCause::PathFailed);
    assert_ne!(supervised.until_ready(), first);
}
