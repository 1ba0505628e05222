//! The request message.

use super::error::DecodeError;
use super::kind::RequestKind;
use super::wire::{self, ASK, HAND_OVER, HandOver};

/// How a request brings its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestForm {
    /// The payload is the data, this many bytes.
    Inline(u32),
    /// The payload is a [`HandOver`], which says where the data lie.
    HandOver,
    /// No data: the client asks where requests of this kind shall go. The answer is a redirect, or done.
    Ask,
}

/// The header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Chosen by the client and never used twice in a session; 0 for a one-way message, which gets no reply.
    pub id: u64,
    /// What shall be done.
    pub kind: RequestKind,
    /// When the client stops waiting, in nanoseconds of `CLOCK_MONOTONIC`; 0 is never.
    pub deadline: u64,
    /// How the data come.
    pub form: RequestForm,
}

impl RequestHeader {
    /// The bytes that a header takes in a message.
    pub const LENGTH: usize = 40;
    /// The same in words of eight.
    pub(crate) const WORDS: usize = RequestHeader::LENGTH / 8;

    /// How many bytes of payload follow the header.
    pub const fn payload_length(&self) -> u32 {
        match self.form {
            RequestForm::Inline(length) => length,
            RequestForm::HandOver => HandOver::LENGTH_FIELD,
            RequestForm::Ask => 0,
        }
    }

    /// The header as it stands in a message; [`decode`](Self::decode) gives it back unchanged.
    pub fn encode(&self) -> [u8; RequestHeader::LENGTH] {
        wire::join(self.words())
    }

    /// The words of the header.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; RequestHeader::WORDS] {
        let flags = match self.form {
            RequestForm::Inline(_) => 0,
            RequestForm::HandOver => HAND_OVER,
            RequestForm::Ask => ASK,
        };
        let [low, high] = self.kind.words();
        [
            wire::first(flags, self.payload_length()),
            self.id,
            low,
            high,
            self.deadline,
        ]
    }

    /// Reads and checks the header that a message begins with, and leaves aside what follows it: for who copies
    /// the payload elsewhere. The payload's length is still to be compared with
    /// [`payload_length`](Self::payload_length), and a hand-over to be decoded.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the header.
    pub fn decode(message: &[u8]) -> Result<RequestHeader, DecodeError> {
        let (words, _) = wire::split(message)?;
        RequestHeader::of(words)
    }

    /// Checks the words of a header.
    pub(crate) fn of(words: [u64; RequestHeader::WORDS]) -> Result<RequestHeader, DecodeError> {
        let [first, id, low, high, deadline] = words;
        let (flags, length) = wire::open(first)?;
        if flags & !(HAND_OVER | ASK) != 0 || flags == HAND_OVER | ASK {
            return Err(DecodeError::Flags { found: flags });
        }
        let kind = RequestKind::of([low, high]).map_err(DecodeError::Kind)?;
        let form = match flags {
            HAND_OVER => {
                HandOver::check_length(length)?;
                RequestForm::HandOver
            }
            ASK if length != 0 => return Err(DecodeError::AskPayload { found: length }),
            ASK => RequestForm::Ask,
            _ => RequestForm::Inline(length),
        };
        Ok(RequestHeader {
            id,
            kind,
            deadline,
            form,
        })
    }
}

/// The last header that was accepted. The next one mostly differs from it in the id and the deadline alone, of which any will
/// do, and is accepted by three comparisons.
#[derive(Debug)]
pub(crate) struct LastHeader {
    /// Its other words.
    words: [u64; 3],
    header: RequestHeader,
}

impl Default for LastHeader {
    /// One that would be accepted, as any that is taken for the last one must be.
    fn default() -> LastHeader {
        let header = RequestHeader {
            id: 0,
            kind: RequestKind::new("-"),
            deadline: 0,
            form: RequestForm::Ask,
        };
        let [first, _, low, high, _] = header.words();
        LastHeader {
            words: [first, low, high],
            header,
        }
    }
}

impl LastHeader {
    /// As [`RequestHeader::of`].
    #[inline(always)]
    pub(crate) fn check(
        &mut self,
        words: [u64; RequestHeader::WORDS],
    ) -> Result<RequestHeader, DecodeError> {
        let [first, id, low, high, deadline] = words;
        // Not as arrays: the processor waits where two words that were just stored are loaded as one.
        let like = (first ^ self.words[0]) | (low ^ self.words[1]) | (high ^ self.words[2]);
        if like != 0 {
            self.learn(first, low, high)?;
        }
        Ok(RequestHeader {
            id,
            deadline,
            ..self.header
        })
    }

    /// Takes in another header: by words in registers, so that those of the next one need not be in memory.
    #[cold]
    #[inline(never)]
    fn learn(&mut self, first: u64, low: u64, high: u64) -> Result<(), DecodeError> {
        self.header = RequestHeader::of([first, 0, low, high, 0])?;
        self.words = [first, low, high];
        Ok(())
    }
}

/// A whole request, checked; borrows its payload from the bytes that it was decoded from.
///
/// # Examples
///
/// See [the module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView<'a> {
    header: RequestHeader,
    payload: &'a [u8],
}

/// Where the data of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In a hand-over segment.
    HandOver(HandOver),
    /// Nowhere: the request is a question where requests of its kind shall go.
    Ask,
}

impl<'a> RequestView<'a> {
    /// Checks a message that must be exactly one request.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of [the module's list](super#order-of-the-checks).
    pub fn decode(message: &'a [u8]) -> Result<RequestView<'a>, DecodeError> {
        let (words, payload) = wire::split(message)?;
        RequestView::of(RequestHeader::of(words)?, payload)
    }

    /// Checks what follows a header.
    #[inline(always)]
    pub(crate) fn of(
        header: RequestHeader,
        payload: &'a [u8],
    ) -> Result<RequestView<'a>, DecodeError> {
        wire::check_length(RequestHeader::LENGTH, header.payload_length(), payload)?;
        if header.form == RequestForm::HandOver {
            HandOver::check(payload)?;
        }
        Ok(RequestView { header, payload })
    }

    /// The header.
    pub fn header(&self) -> RequestHeader {
        self.header
    }

    /// Everything behind the header: the data, or the bytes that describe a hand-over.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the data are.
    #[inline(always)]
    pub fn body(&self) -> RequestBody<'a> {
        match self.header.form {
            RequestForm::Inline(_) => RequestBody::Inline(self.payload),
            RequestForm::HandOver => RequestBody::HandOver(HandOver::read(self.payload)),
            RequestForm::Ask => RequestBody::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_no_header_is_not_taken_for_one_like_the_last() {
        let good = RequestHeader {
            id: 3,
            kind: RequestKind::new("echo"),
            deadline: 4,
            form: RequestForm::Inline(5),
        };
        let mut last = LastHeader::default();
        let zeros = [0, 5, 0, 0, 9];
        assert_eq!(last.check(zeros), RequestHeader::of(zeros));
        for _ in 0..2 {
            assert_eq!(last.check(good.words()), Ok(good));
            for word in [0, 2, 3] {
                let mut bad = good.words();
                bad[word] ^= 0x80;
                assert_eq!(last.check(bad), RequestHeader::of(bad), "{word}");
            }
        }
    }
}
