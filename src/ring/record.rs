//! A record's header: what stands before each payload in a ring.
//!
//! A record is one to three header words and the payload, padded: in a queue to whole words, in a session (two or three
//! header words) to whole cache lines of 64 bytes. The rest of the payload's last word is zero. Words are in
//! the machine's byte order, and a record that meets the end of the ring goes on at its start. How many header words there are is
//! fixed for a ring: [`PLAIN`] for a queue, [`OF_SESSION`] for replies, which say what session they belong to,
//! [`WITH_STATE`] for requests, whose fate must outlive a server. What a ring has no use for costs it nothing: the
//! two words that a queue saves are a quarter of its traffic at payloads of 64 bytes.
//!
//! | word | bits | field |
//! | --- | --- | --- |
//! | 0 | 0..32 | length of the payload in bytes |
//! | 0 | 32..48 | type; which ones are known is the user's affair |
//! | 0 | 48..64 | flags; unknown ones are an error |
//! | 1 | 0..64 | generation of the session |
//! | 2 | 0..8 | state: 1 new, 2 started, 3 answered, 4 cancelled |
//! | 2 | 8..32 | attempts: of a started record, the deaths of servers at which it was in hand, and one for the present; else 0 |
//! | 2 | 32..64 | 0 |
//!
//! The producer writes the header before it publishes. Afterwards only the state word changes:
//!
//! ```text
//!            server                    server
//!    New ─────────────▶ Started{n} ───────────▶ Answered
//!     │                  │        ▲
//!     │ client           └────────┘ n+1: a successor; n-1: not charged after all
//!     ▼
//!  Cancelled
//! ```
//!
//! The two ways out of `New` are compare-exchanges, so that exactly one of them wins. A message that wants no answer, which
//! nobody takes back, stays `New` and is passed at once; behind one that is not answered it goes from `New` to `Answered` with a
//! store.
//!
//! Like `cursor`, this file is pure, and a model checker runs it.

use super::corrupt::Corrupt;
use super::word::Word;

/// Header words in a ring whose records have neither generation nor state.
pub(crate) const PLAIN: usize = 1;
/// Header words in a ring whose records have a generation but no state.
pub(crate) const OF_SESSION: usize = 2;
/// Header words in a ring whose records have a generation and a state.
pub(crate) const WITH_STATE: usize = 3;

/// Which word of a header is the state.
pub(crate) const STATE: usize = 2;
/// Where the state word stands in a record that has one.
pub(crate) const STATE_OFFSET: u64 = STATE as u64 * 8;
/// The most attempts that are counted; there the count stays.
pub(crate) const MAX_ATTEMPTS: u32 = 0x00ff_ffff;

/// What has become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Published, and nobody has touched it.
    New,
    /// Given to a handler.
    Started {
        /// How often, as far as it is charged with it.
        attempts: u32,
    },
    /// Its final answer is published.
    Answered,
    /// Its client took it back before it was started.
    Cancelled,
}

impl State {
    /// The word that stands for this state.
    #[inline]
    pub(crate) const fn pack(self) -> u64 {
        match self {
            State::New => 1,
            State::Started { attempts } => {
                let counted = if attempts > MAX_ATTEMPTS {
                    MAX_ATTEMPTS
                } else {
                    attempts
                };
                2 | (counted as u64) << 8
            }
            State::Answered => 3,
            State::Cancelled => 4,
        }
    }

    /// The state that a word stands for.
    ///
    /// # Errors
    ///
    /// [`Corrupt::State`] for a word that [`pack`](Self::pack) does not give.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "attempts are masked to 24 bits"
    )]
    pub(crate) const fn unpack(word: u64) -> Result<Self, Corrupt> {
        match word {
            1 => Ok(State::New),
            3 => Ok(State::Answered),
            4 => Ok(State::Cancelled),
            _ => {
                let attempts = (word >> 8) & MAX_ATTEMPTS as u64;
                if word & 0xff == 2 && word >> 32 == 0 {
                    Ok(State::Started {
                        attempts: attempts as u32,
                    })
                } else {
                    Err(Corrupt::State(word))
                }
            }
        }
    }
}

/// What came of an attempt to start a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It is this server's now, the first to start it.
    Started,
    /// A predecessor has started it, and nothing was changed: see [`again`].
    Found {
        /// How often it was started, as far as it is charged with it.
        attempts: u32,
    },
    /// Its client has taken it back: skip it.
    Cancelled,
    /// A predecessor has answered it: skip it.
    Answered,
}

/// Starts the record with this state word, if no server has started it before: the server's step before the handler
/// sees it.
///
/// # Errors
///
/// [`Corrupt::State`] if the word is illegal.
#[inline]
pub(crate) fn start<W: Word>(word: &W) -> Result<Start, Corrupt> {
    // The common case first, and without a load before it: that would fetch the line twice, to read and to write.
    // SYNC(start): pairs with the compare-exchange in cancel; one of the two finds the word changed.
    let seen = match word.compare_exchange(State::New.pack(), FIRST.pack()) {
        Ok(_) => return Ok(Start::Started),
        Err(seen) => seen,
    };
    match State::unpack(seen)? {
        // The exchange would have succeeded.
        State::New => Err(Corrupt::State(seen)),
        State::Started { attempts } => Ok(Start::Found { attempts }),
        State::Cancelled => Ok(Start::Cancelled),
        State::Answered => Ok(Start::Answered),
    }
}

/// As [`start`], for a record that nobody takes back, and that wants no answer: nothing is changed.
///
/// # Errors
///
/// As for [`start`].
#[inline]
pub(crate) fn start_one_way<W: Word>(word: &W) -> Result<Start, Corrupt> {
    if word.load_acquire() == State::New.pack() {
        return Ok(Start::Started);
    }
    start(word)
}

/// Starts a record once more that [`start`] has found, charged with so many attempts from now on.
///
/// # Errors
///
/// [`Corrupt::State`] if the word was changed, which only a broken client does.
pub(crate) fn again<W: Word>(word: &W, found: u32, attempts: u32) -> Result<(), Corrupt> {
    let state = |attempts| State::Started { attempts }.pack();
    word.compare_exchange(state(found), state(attempts))
        .map(drop)
        .map_err(Corrupt::State)
}

/// Takes one attempt off what a started record is charged with. Anything else is left alone.
pub(crate) fn acquit<W: Word>(word: &W) {
    let seen = word.load_relaxed();
    if let Ok(State::Started { attempts }) = State::unpack(seen) {
        let attempts = attempts.saturating_sub(1);
        let _ = word.compare_exchange(seen, State::Started { attempts }.pack());
    }
}

/// A record that is started for the first time.
const FIRST: State = State::Started { attempts: 1 };

/// Marks the record with this state word as answered. Its final reply must have been published.
#[inline]
pub(crate) fn answer<W: Word>(word: &W) {
    // SYNC(answered): pairs with the loads in cancel and in a successor's start. Nobody else writes a started
    // record's word, so no exchange is needed.
    word.store_release(State::Answered.pack());
}

/// What came of an attempt to cancel a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// No server will start it.
    Cancelled,
    /// Too late: a server has started it.
    Started,
    /// Too late: it was answered, or is freed.
    Answered,
}

/// Takes back the record with this state word if no server has started it.
///
/// # Errors
///
/// [`Corrupt::State`] if the word is illegal.
pub(crate) fn cancel<W: Word>(word: &W) -> Result<Cancel, Corrupt> {
    match word.compare_exchange(State::New.pack(), State::Cancelled.pack()) {
        Ok(_) => Ok(Cancel::Cancelled),
        Err(now) => match State::unpack(now)? {
            State::Started { .. } => Ok(Cancel::Started),
            State::Answered => Ok(Cancel::Answered),
            State::Cancelled => Ok(Cancel::Cancelled),
            // The exchange would have succeeded.
            State::New => Err(Corrupt::State(now)),
        },
    }
}

/// A record's header without its state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The payload's length in bytes.
    pub(crate) length: u32,
    /// The type.
    pub(crate) kind: u16,
    /// The flags.
    pub(crate) flags: u16,
    /// The session's generation.
    pub(crate) generation: u64,
}

impl Header {
    /// The words of a new record's header, of which a ring uses as many as it has.
    #[inline]
    pub(crate) const fn pack(self) -> [u64; WITH_STATE] {
        let first = self.length as u64 | (self.kind as u64) << 32 | (self.flags as u64) << 48;
        [first, self.generation, State::New.pack()]
    }

    /// The header that the first two words stand for; any two do.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each field is shifted down to its width"
    )]
    pub(crate) const fn unpack(words: [u64; 2]) -> Self {
        Self {
            length: words[0] as u32,
            kind: (words[0] >> 32) as u16,
            flags: (words[0] >> 48) as u16,
            generation: words[1],
        }
    }
}

/// The bytes of a header of `WORDS` words.
#[inline]
pub(crate) const fn header_len<const WORDS: usize>() -> u64 {
    WORDS as u64 * 8
}

/// The bytes that a record with a payload of `len` bytes takes in a ring with headers of `WORDS` words. A session's
/// records are whole cache lines: one that is being read shares none with the next one, which is being written.
#[inline]
pub(crate) const fn record_len<const WORDS: usize>(len: u32) -> u64 {
    let unit = if WORDS < OF_SESSION { 8 } else { 64 };
    (header_len::<WORDS>() + len as u64).next_multiple_of(unit)
}

/// What a ring's user accepts in its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept {
    /// The generation that every record must have.
    pub(crate) generation: u64,
    /// The least known type.
    pub(crate) kind_min: u16,
    /// The greatest known type.
    pub(crate) kind_max: u16,
    /// The known flags.
    pub(crate) flags: u16,
    /// The longest payload.
    pub(crate) max_len: u32,
}

impl Accept {
    /// Checks a header that a peer wrote, at the start of `available` published bytes. An accepted record lies
    /// within them.
    ///
    /// # Errors
    ///
    /// The [`Corrupt`] that says what was wrong.
    #[inline(always)]
    pub(crate) fn check<const WORDS: usize>(
        &self,
        header: Header,
        available: u64,
    ) -> Result<(), Corrupt> {
        if self.allows::<WORDS>(header, available) {
            Ok(())
        } else {
            Err(self.complaint::<WORDS>(header, available))
        }
    }

    /// Whether [`check`](Self::check) accepts a header.
    #[inline(always)]
    pub(crate) fn allows<const WORDS: usize>(&self, header: Header, available: u64) -> bool {
        record_len::<WORDS>(header.length) <= available
            && (WORDS < OF_SESSION || header.generation == self.generation)
            && header.kind >= self.kind_min
            && header.kind <= self.kind_max
            && header.flags & !self.flags == 0
            && header.length <= self.max_len
    }

    /// What is wrong with a header that [`check`](Self::check) has refused.
    #[cold]
    fn complaint<const WORDS: usize>(&self, header: Header, available: u64) -> Corrupt {
        if WORDS >= OF_SESSION && header.generation != self.generation {
            Corrupt::Generation {
                found: header.generation,
                expected: self.generation,
            }
        } else if header.kind < self.kind_min || header.kind > self.kind_max {
            Corrupt::Kind(header.kind)
        } else if header.flags & !self.flags != 0 {
            Corrupt::Flags(header.flags)
        } else if header.length > self.max_len {
            Corrupt::TooLong {
                len: header.length.into(),
                max: self.max_len.into(),
            }
        } else {
            Corrupt::Length {
                needed: record_len::<WORDS>(header.length),
                available,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn every_state_comes_back_and_nothing_else_is_one() {
        let states = [
            State::New,
            State::Started { attempts: 0 },
            State::Started { attempts: 1 },
            State::Started {
                attempts: MAX_ATTEMPTS,
            },
            State::Answered,
            State::Cancelled,
        ];
        for state in states {
            assert_eq!(State::unpack(state.pack()), Ok(state));
        }
        for word in [
            0,
            5,
            0x101,
            0x103,
            0x104,
            0xff,
            1 << 32 | 1,
            1 << 32 | 0x102,
            u64::MAX,
        ] {
            assert_eq!(State::unpack(word), Err(Corrupt::State(word)));
        }
    }

    #[test]
    fn a_record_is_started_once_and_again_only_as_it_was_found() {
        let word = AtomicU64::new(State::New.pack());
        assert_eq!(start(&word), Ok(Start::Started));
        assert_eq!(start(&word), Ok(Start::Found { attempts: 1 }));
        assert_eq!(again(&word, 1, 2), Ok(()));
        assert!(again(&word, 1, 2).is_err());
        assert_eq!(start(&word), Ok(Start::Found { attempts: 2 }));
        assert_eq!(cancel(&word), Ok(Cancel::Started));
        for left in [1, 0, 0] {
            acquit(&word);
            assert_eq!(start(&word), Ok(Start::Found { attempts: left }));
        }
        answer(&word);
        acquit(&word);
        assert_eq!(start(&word), Ok(Start::Answered));
        assert_eq!(cancel(&word), Ok(Cancel::Answered));
    }

    #[test]
    fn a_cancelled_record_is_not_started() {
        let word = AtomicU64::new(State::New.pack());
        assert_eq!(cancel(&word), Ok(Cancel::Cancelled));
        assert_eq!(cancel(&word), Ok(Cancel::Cancelled));
        assert_eq!(start(&word), Ok(Start::Cancelled));
        word.store_relaxed(0);
        assert_eq!(start(&word), Err(Corrupt::State(0)));
        assert_eq!(cancel(&word), Err(Corrupt::State(0)));
    }

    #[test]
    fn a_header_comes_back_from_its_words_in_the_documented_order() {
        let header = Header {
            length: 0x0403_0201,
            kind: 0x0605,
            flags: 0x0807,
            generation: 9,
        };
        assert_eq!(header.pack(), [0x0807_0605_0403_0201, 9, 1]);
        assert_eq!(Header::unpack([header.pack()[0], header.pack()[1]]), header);
        assert_eq!([0, 40, 41, 104].map(record_len::<3>), [64, 64, 128, 128]);
        assert_eq!(record_len::<1>(u32::MAX), 8 + (1 << 32));
    }

    #[test]
    fn a_header_is_refused_with_what_is_wrong_in_it() {
        let accept = Accept {
            generation: 7,
            kind_min: 1,
            kind_max: 2,
            flags: 1,
            max_len: 100,
        };
        let good = Header {
            length: 100,
            kind: 2,
            flags: 1,
            generation: 7,
        };
        assert_eq!(accept.check::<3>(good, 128), Ok(()));
        let refused = [
            (
                good,
                120,
                Corrupt::Length {
                    needed: 128,
                    available: 120,
                },
            ),
            (
                Header {
                    generation: 8,
                    ..good
                },
                128,
                Corrupt::Generation {
                    found: 8,
                    expected: 7,
                },
            ),
            (Header { kind: 0, ..good }, 128, Corrupt::Kind(0)),
            (Header { kind: 3, ..good }, 128, Corrupt::Kind(3)),
            (Header { flags: 3, ..good }, 128, Corrupt::Flags(3)),
            (
                Header {
                    length: 101,
                    ..good
                },
                1024,
                Corrupt::TooLong { len: 101, max: 100 },
            ),
        ];
        for (header, available, why) in refused {
            assert_eq!(accept.check::<3>(header, available), Err(why));
            assert!(!why.to_string().is_empty());
        }
    }
}
