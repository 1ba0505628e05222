//! Ping-pong, the course's first two steps: the words lie in a shared segment, and a FIFO pair carries the turn, so
//! that each process reads what the other has written, and sleeps until it has.

#![allow(
    dead_code,
    reason = "a program that includes this may play one side only"
)]

use std::time::{Duration, Instant};

use osps_ipc::{Directory, Error, FifoPair, Name, Result, SegmentOptions, SharedSegment};

/// How long the other one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether the other one, which has not joined yet, still lives: later the pipes tell.
const LOOK: Duration = Duration::from_millis(50);
/// The segment's bytes: one word.
const WORD: usize = 4;

const READY: &[u8] = b"ready";
const YOURS: &[u8] = b"your turn";
const OVER: &[u8] = b"over";

/// One side of a game: the memory, and the pipes.
pub(crate) struct Turns {
    word: SharedSegment,
    pair: FifoPair,
}

impl Turns {
    /// The side that begins. Both things have this name in `directory`; the pair goes with it when it is dropped.
    pub(crate) fn create(directory: &Directory, name: &Name) -> Result<Turns> {
        Ok(Turns {
            word: SegmentOptions::bytes(WORD).create(directory, name)?,
            pair: FifoPair::create(directory, name)?,
        })
    }

    /// Waits until the other one has joined, or `look` has found that it will not, and removes the segment's name, which
    /// nobody needs any more.
    pub(crate) fn await_other<E: From<Error>>(
        &mut self,
        directory: &Directory,
        name: &Name,
        mut look: impl FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut frame = [0; FifoPair::MAX_FRAME];
        let until = Instant::now() + PATIENCE;
        let joined = loop {
            match self.pair.recv_timeout(&mut frame, LOOK) {
                Err(error) if error.is_timeout() && Instant::now() < until => {
                    if let Err(error) = look() {
                        break Err(error);
                    }
                }
                received => break received.map(drop).map_err(E::from),
            }
        };
        let unlinked = SharedSegment::unlink(directory, name);
        joined.and(unlinked.map_err(E::from))
    }

    /// One round: writes "ping", gives the turn, waits for it, and reads. What was read, and how long it took.
    pub(crate) fn ping(&mut self) -> Result<(String, Duration)> {
        let mut frame = [0; FifoPair::MAX_FRAME];
        let begun = Instant::now();
        self.word.write_at(0, b"ping")?;
        self.pair.send_timeout(YOURS, PATIENCE)?;
        self.pair.recv_timeout(&mut frame, PATIENCE)?;
        let word = self.read()?;
        Ok((word, begun.elapsed()))
    }

    /// Ends the game.
    pub(crate) fn end(mut self) -> Result<()> {
        self.pair.send_timeout(OVER, PATIENCE)
    }

    /// The other side: answers each "ping" with "pong" until the game is over. How many rounds it was.
    pub(crate) fn answer(directory: &Directory, name: &Name) -> Result<u64> {
        let mut turns = Turns {
            word: SegmentOptions::bytes(WORD).open(directory, name)?,
            pair: FifoPair::open(directory, name)?,
        };
        turns.pair.send_timeout(READY, PATIENCE)?;
        let mut frame = [0; FifoPair::MAX_FRAME];
        let mut rounds = 0;
        loop {
            let len = turns.pair.recv_timeout(&mut frame, PATIENCE)?;
            if frame.get(..len) != Some(YOURS) {
                return Ok(rounds);
            }
            rounds += 1;
            let word: &[u8; WORD] = match &turns.read()?[..] {
                "ping" => b"pong",
                _ => b"what",
            };
            turns.word.write_at(0, word)?;
            turns.pair.send_timeout(YOURS, PATIENCE)?;
        }
    }

    fn read(&self) -> Result<String> {
        let mut word = [0; WORD];
        self.word.read_at(0, &mut word)?;
        Ok(String::from_utf8_lossy(&word).into_owned())
    }
}
