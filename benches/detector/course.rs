//! The watchdog of the course that this crate began with: a ping each second over a pair of pipes, answered within five
//! seconds; what has missed three in a row is killed and started again.
//!
//! One thing is better than it was there: a ping that nobody can get, because the other end of the pipe is closed, is missed
//! at once.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use osps_ipc::{Directory, FifoPair, Name, PairState};

use crate::lines::{Told, now, tell};
use crate::machine::{Held, command, pause};

/// The pair's name in the runtime directory.
pub(crate) const PIPES: &str = "pings";

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const MISSES: u32 = 3;
const START: Duration = Duration::from_secs(90);

pub(crate) fn watch(place: &Path) -> ExitCode {
    let directory = Directory::open(place).unwrap();
    let mut pipes = FifoPair::create(&directory, &Name::new(PIPES).unwrap()).unwrap();
    let mut pings = 0;
    loop {
        let child = Held(command("serve course", place).spawn().unwrap());
        tell(now(), Told::Started(child.0.id()));
        let started = Instant::now();
        loop {
            pings += 1;
            if is_answered(&mut pipes, pings, TIMEOUT) {
                break;
            }
            assert!(started.elapsed() < START, "it does not start");
            pause(Duration::from_millis(1));
        }
        tell(now(), Told::Ready);
        let mut misses = 0;
        while misses < MISSES {
            let begun = Instant::now();
            pings += 1;
            match is_answered(&mut pipes, pings, TIMEOUT) {
                true => misses = 0,
                false => misses += 1,
            }
            if misses < MISSES {
                pause(EVERY.saturating_sub(begun.elapsed()));
            }
        }
        tell(now(), Told::Hung(0, "or dead".to_owned()));
        drop(child);
        tell(now(), Told::Ended);
    }
}

/// One ping.
fn is_answered(pipes: &mut FifoPair, number: u64, within: Duration) -> bool {
    let begun = Instant::now();
    let open = |state: osps_ipc::Result<PairState>| matches!(state, Ok(PairState::Open));
    if !open(pipes.refresh()) || pipes.send_timeout(&number.to_le_bytes(), within).is_err() {
        return false;
    }
    let mut frame = [0; 64];
    loop {
        let left = within.saturating_sub(begun.elapsed());
        match pipes.recv_timeout(&mut frame, left) {
            Ok(len) if frame[..len] == number.to_le_bytes() => return true,
            // Of a ping that was given up.
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
