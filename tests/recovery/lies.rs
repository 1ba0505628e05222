//! Garbage in every word that two sides share: each goes on, or ends with an error that says so.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::*;
use crate::common::Scratch;

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// What could do harm.
    fn value(&mut self, before: u64) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => before.wrapping_add(8 * self.below(16)),
            3 => before.wrapping_sub(8 * self.below(16)),
            4 => 1 << self.below(64),
            5 => before ^ (1 << self.below(64)),
            6 => self.below(1 << 16),
            _ => self.roll(),
        }
    }
}

/// Where in a session's segment, which begins with 128 bytes of header, something is to be found.
const LINES: std::ops::Range<u64> = 128..128 + 256;
const CONTROL: std::ops::Range<u64> = 384..384 + 512;
const RECORDS: std::ops::Range<u64> = 896..896 + 2048;
/// With the capacities that the liars have.
const REPLIES: std::ops::Range<u64> = 896 + 4096..896 + 4096 + 512 + 4096;

/// Writes garbage into a word of a live session's segment.
fn lie(seg: &fs::File, dice: &mut Dice) {
    let part = match dice.below(5) {
        0 => LINES,
        1 => CONTROL,
        2 | 3 => RECORDS,
        _ => REPLIES,
    };
    let at = part.start + dice.below((part.end - part.start) / 8) * 8;
    let mut word = [0; 8];
    // A session that has ended meanwhile has been lied to enough.
    if seg.read_exact_at(&mut word, at).is_ok() {
        let lie = dice.value(u64::from_le_bytes(word));
        let _ = seg.write_all_at(&lie.to_le_bytes(), at);
    }
}

/// The segment of the session in the last slot that was given out.
fn segment_beside(at: &Path, other: &Path) -> Option<fs::File> {
    fs::read_dir(at.join("svc/s"))
        .unwrap()
        .map(|slot| slot.unwrap().path())
        .filter(|slot| slot != other)
        .find_map(|slot| {
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(slot.join("seg"))
                .ok()
        })
}

/// Fails, rather than hangs, when `body` does not end in time.
fn in_time(body: impl FnOnce() + Send + 'static) {
    let (sender, done) = mpsc::channel();
    let running = std::thread::spawn(move || {
        body();
        let _ = sender.send(());
    });
    match done.recv_timeout(SOON * 2) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => running.join().unwrap(),
    }
}

fn small(at: &Path) -> ClientOptions {
    ClientOptions::new().directory(at).capacity(4096, 4096)
}

fn slots(at: &Path) -> Vec<PathBuf> {
    let slots = fs::read_dir(at.join("svc/s")).unwrap();
    slots.map(|slot| slot.unwrap().path()).collect()
}

/// Serves echoes, in a thread, until told to stop. A notification or a question is dropped.
fn serve(mut server: Server, stop: &AtomicBool) -> usize {
    let mut corrupt = 0;
    while !stop.load(Ordering::Relaxed) {
        match server.next_timeout(Duration::from_millis(20)).unwrap() {
            Some(Event::Request(request)) => {
                let large = vec![1; request.payload().len().min(1 << 20) as usize];
                let _ = request.reply(&large);
            }
            Some(Event::Disconnected(_, osps_ipc::End::Corrupt(_))) => corrupt += 1,
            _ => {}
        }
    }
    corrupt
}

#[test]
fn a_liar_harms_nobody_but_itself() {
    in_time(|| {
        let place = Scratch::new();
        let at = place.path();
        let stop = AtomicBool::new(false);
        let server = server(at);
        let corrupt = std::thread::scope(|scope| {
            let serving = scope.spawn(|| serve(server, &stop));
            let stopper = Stopper(&stop);
            let mut honest = client(at);
            let own = slots(at).remove(0);
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            let large = vec![7; 3000];
            for round in 0..80 {
                let Ok(mut liar) = small(at).connect("svc", SOON) else {
                    continue;
                };
                let Some(seg) = segment_beside(at, &own) else {
                    continue;
                };
                for _ in 0..12 {
                    let body = if dice.below(3) == 0 { &large[..] } else { b"x" };
                    let _ = liar.submit(Request::new(ECHO, body), Duration::from_millis(1));
                    let _ = liar.notify(Request::new(ECHO, "n"));
                    for _ in 0..1 + round % 4 {
                        lie(&seg, &mut dice);
                    }
                    let _ = liar.try_next_reply();
                    // Bells that it need not ring.
                    let _ = liar.arm();
                }
                let reply = honest.call(Request::new(ECHO, "true"), SOON).unwrap();
                assert_eq!(reply.into_answer().unwrap().into_vec(), [1; 4]);
            }
            drop((honest, stopper));
            serving.join().unwrap()
        });
        assert!(corrupt > 5, "{corrupt} sessions ended as corrupt");
        assert!(fs::read_dir(at).unwrap().next().is_none());
    });
}

#[test]
fn a_lying_server_costs_its_client_no_more_than_the_deadline() {
    for wait in [Wait::Adaptive, Wait::Park, Wait::Spin] {
        in_time(move || {
            let place = Scratch::new();
            let at = place.path();
            let stop = AtomicBool::new(false);
            let server = server(at);
            let mut dice = Dice(0x2545_f491_4f6c_dd1d);
            std::thread::scope(|scope| {
                let serving = scope.spawn(|| serve(server, &stop));
                let stopper = Stopper(&stop);
                let large = vec![7; 3000];
                for round in 0..25 {
                    let Ok(mut client) = small(at).wait(wait).connect("svc", SOON) else {
                        continue;
                    };
                    let Some(seg) = segment_beside(at, Path::new("")) else {
                        continue;
                    };
                    for _ in 0..6 {
                        let body = if dice.below(3) == 0 { &large[..] } else { b"x" };
                        for _ in 0..1 + round % 3 {
                            lie(&seg, &mut dice);
                        }
                        let begun = Instant::now();
                        let timeout = Duration::from_millis(5);
                        let called = client.call(Request::new(ECHO, body), timeout);
                        assert!(begun.elapsed() < Duration::from_secs(5));
                        match called {
                            Ok(_) => {}
                            Err(
                                Error::Corrupt { .. }
                                | Error::TimedOut { .. }
                                | Error::Closed { .. }
                                | Error::Busy { .. }
                                | Error::NotRunning { .. },
                            ) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                drop(stopper);
                serving.join().unwrap();
            });
        });
    }
}

/// Answers of all sorts, in a session that nobody serves: written by hand where a server would.
#[test]
fn a_flood_of_answers_that_nobody_asked_for_holds_no_call_up() {
    in_time(|| {
        let place = Scratch::new();
        let at = place.path();
        let mut server = server(at);
        let mut client = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| small(at).connect("svc", SOON).unwrap());
            until(&mut server, |event| matches!(event, Event::Connected(_)));
            connecting.join().unwrap()
        });
        client.submit(Request::new(ECHO, "x"), SOON).unwrap();
        let request = match until(&mut server, |event| matches!(event, Event::Request(_))) {
            Event::Request(request) => request,
            _ => unreachable!(),
        };
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = request.started();
                }
            });
            let begun = Instant::now();
            let called = client.call(Request::new(ECHO, "y"), Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
            assert!(called.unwrap_err().is_timeout());
            assert!(begun.elapsed() < SOON / 2);
        });
        // What was kept of them is bounded, and the answer itself is not lost.
        request.reply("done").unwrap();
        let mut kept = 0;
        let end = Instant::now() + SOON;
        loop {
            assert!(Instant::now() < end, "the answer is lost");
            // It may wait in the server for room.
            let _ = server.try_next().unwrap();
            match client.next_reply(Duration::from_millis(5)).unwrap() {
                Some(reply) if reply.status().is_final() => break,
                reply => kept += usize::from(reply.is_some()),
            }
        }
        // As many as are kept, and as the ring holds.
        assert!(kept <= (1 << 16) + 4096 / 48, "{kept}");
    });
}
