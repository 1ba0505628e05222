//! Processes, signals, load, and what machine this is.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::{PLACE, ROLE};

/// No process of this program outlives the one that started it, however that ends.
pub(crate) fn die_with_the_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}

/// This program in a role.
pub(crate) fn command(role: impl Into<OsString>, place: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .env(ROLE, role.into())
        .env(PLACE, place)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Sends a signal. That the process is gone already does no harm.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process"), signal);
}

/// Lets time pass.
pub(crate) fn pause(time: Duration) {
    let timeout = Timespec::try_from(time).unwrap();
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}

/// A child that ends when this is dropped.
pub(crate) struct Held(pub(crate) Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes that do nothing but run, until they are dropped.
pub(crate) fn load(loops: usize) -> Vec<Held> {
    (0..loops)
        .map(|_| Held(command("burn", Path::new("")).spawn().unwrap()))
        .collect()
}

pub(crate) fn burn() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Numbers that look random (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A time between two.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = (z >> 11) as f64 / (1u64 << 53) as f64;
        low + (high - low).mul_f64(part)
    }
}

/// The machine in words.
pub(crate) fn describe() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or("unknown")
        .trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores ({model}), Linux {}", kernel.trim())
}
