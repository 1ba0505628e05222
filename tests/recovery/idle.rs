//! Nothing happens, and nothing is done.

use std::fs;
use std::path::Path;

use super::roles::start;
use super::*;
use crate::common::{Helper, Scratch, tell};

/// In a process of its own: lets so many sessions in, and then sleeps.
pub(crate) fn serve_idlers(at: &Path, sessions: usize) {
    let mut server = server(at);
    tell("bound");
    for _ in 0..sessions {
        until(&mut server, |event| matches!(event, Event::Connected(_)));
    }
    // Until the first event of the end.
    tell("idle");
    until(&mut server, |event| {
        matches!(event, Event::Disconnected(..))
    });
}

/// Ticks of CPU time, and context switches that it made by itself.
fn used(pid: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<u64>().unwrap();
    let mut switches = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches += line.unwrap().trim().parse::<u64>().unwrap();
    }
    (ticks(11) + ticks(12), switches)
}

fn settle(helpers: &[&Helper]) {
    let end = Instant::now() + SOON;
    let mut before = Vec::new();
    loop {
        let now: Vec<_> = helpers.iter().map(|helper| used(helper.pid())).collect();
        if now == before {
            return;
        }
        assert!(Instant::now() < end, "they do not come to rest: {now:?}");
        before = now;
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_hundred_idle_sessions_use_no_time_and_wake_nobody() {
    let place = Scratch::new();
    let landlord = start("landlord of idlers 100", &place);
    landlord.expect("bound");
    let clients = start("clients 100", &place);
    clients.expect("connected");
    landlord.expect("idle");
    let both = [&landlord, &clients];
    settle(&both);
    let before = both.map(|helper| used(helper.pid()));
    std::thread::park_timeout(Duration::from_secs(1));
    for (helper, before) in both.into_iter().zip(before) {
        let after = used(helper.pid());
        assert!(after.0 - before.0 <= 1, "ticks: {before:?} {after:?}");
        assert!(after.1 - before.1 <= 1, "switches: {before:?} {after:?}");
    }
    clients.finish();
    landlord.finish();
}
