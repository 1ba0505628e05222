//! The reply message.

use std::fmt;
use std::time::Duration;

use super::error::{DecodeError, TargetProblem};
use super::kind::{Kinds, RequestKind};
use super::status::Status;
use super::wire::{self, HAND_OVER, HandOver};

/// How a reply brings its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// The payload is the data, this many bytes.
    Inline(u32),
    /// The payload is a [`HandOver`], which says where the data lie. Only some statuses allow it:
    /// [`Status::may_be_handed_over`].
    HandOver,
}

/// The header of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The id of the request that is answered.
    pub id: u64,
    /// What is said of it.
    pub status: Status,
    /// A number whose meaning depends on the status; 0 where it has none.
    pub code: u32,
    /// The epoch of the server that wrote the reply; information only.
    pub epoch: u64,
    /// How the data come.
    pub form: ReplyForm,
}

impl ReplyHeader {
    /// The bytes that a header takes in a message.
    pub const LENGTH: usize = 32;
    /// The same in words of eight.
    pub(crate) const WORDS: usize = ReplyHeader::LENGTH / 8;

    /// How many bytes of payload follow the header.
    pub const fn payload_length(&self) -> u32 {
        match self.form {
            ReplyForm::Inline(length) => length,
            ReplyForm::HandOver => HandOver::LENGTH_FIELD,
        }
    }

    /// When to come back, if the server said that it is busy.
    pub fn retry_after(&self) -> Option<Duration> {
        (self.status == Status::Busy).then(|| Duration::from_millis(self.code.into()))
    }

    /// The header as it stands in a message; [`decode`](Self::decode) gives it back unchanged, unless it is a
    /// hand-over whose status does not allow one, or a list of kinds of a length that cannot be.
    pub fn encode(&self) -> [u8; ReplyHeader::LENGTH] {
        wire::join(self.words())
    }

    /// The words of the header.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; ReplyHeader::WORDS] {
        let flags = match self.form {
            ReplyForm::Inline(_) => 0,
            ReplyForm::HandOver => HAND_OVER,
        };
        [
            wire::first(flags, self.payload_length()),
            self.id,
            u64::from(self.status.number()) | u64::from(self.code) << 32,
            self.epoch,
        ]
    }

    /// Reads and checks the header that a message begins with, and leaves aside what follows it: for who copies
    /// the payload elsewhere. The payload's length is still to be compared with
    /// [`payload_length`](Self::payload_length), and its content to be checked.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the header.
    pub fn decode(message: &[u8]) -> Result<ReplyHeader, DecodeError> {
        let (words, _) = wire::split(message)?;
        ReplyHeader::of(words)
    }

    /// The header of an answer that was done and brings `len` bytes with it, which is what [`of`](Self::of) gives most often, in two
    /// comparisons; `None` if these are not the words of one.
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each field is shifted to its width"
    )]
    pub(crate) fn of_done(words: [u64; ReplyHeader::WORDS], len: u32) -> Option<ReplyHeader> {
        let [first, id, said, epoch] = words;
        let status = Status::Done;
        let is_done = first == wire::first(0, len) && said as u32 == u32::from(status.number());
        is_done.then_some(ReplyHeader {
            id,
            status,
            code: (said >> 32) as u32,
            epoch,
            form: ReplyForm::Inline(len),
        })
    }

    /// Checks the words of a header.
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each field is shifted to its width"
    )]
    pub(crate) fn of(words: [u64; ReplyHeader::WORDS]) -> Result<ReplyHeader, DecodeError> {
        let [first, id, said, epoch] = words;
        let (flags, length) = wire::open(first)?;
        if flags & !HAND_OVER != 0 {
            return Err(DecodeError::Flags { found: flags });
        }
        let (status, zero, code) = (said as u16, (said >> 16) as u16, (said >> 32) as u32);
        if zero != 0 {
            return Err(DecodeError::Reserved { found: zero });
        }
        let status = Status::from_number(status)?;
        let form = if flags == HAND_OVER {
            if !status.may_be_handed_over() {
                let status = status.number();
                return Err(DecodeError::HandOverStatus { status });
            }
            HandOver::check_length(length)?;
            ReplyForm::HandOver
        } else {
            if status == Status::UnknownKind
                && !(length as usize).is_multiple_of(RequestKind::LENGTH)
            {
                return Err(DecodeError::KindList { found: length });
            }
            ReplyForm::Inline(length)
        };
        Ok(ReplyHeader {
            id,
            status,
            code,
            epoch,
            form,
        })
    }
}

/// A whole reply, checked; borrows its payload from the bytes that it was decoded from.
///
/// # Examples
///
/// ```
/// use osps_ipc::request::{ReplyForm, ReplyHeader, ReplyView, Status};
///
/// let target = b"secondary-1";
/// let header = ReplyHeader {
///     id: 7,
///     status: Status::Redirect,
///     code: 0,
///     epoch: 3,
///     form: ReplyForm::Inline(target.len() as u32),
/// };
/// let message = [&header.encode()[..], target].concat();
///
/// let view = ReplyView::decode(&message)?;
/// assert_eq!(view.target(), Some("secondary-1"));
/// assert!(view.header().status.is_final());
/// # Ok::<(), osps_ipc::request::DecodeError>(())
/// ```
// Invariant V1: the payload has been checked against the status and the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyView<'a> {
    header: ReplyHeader,
    payload: &'a [u8],
}

/// Where the data of a reply are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyBody<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In a hand-over segment.
    HandOver(HandOver),
}

impl<'a> ReplyView<'a> {
    /// Checks a message that must be exactly one reply.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of [the module's list](super#order-of-the-checks).
    pub fn decode(message: &'a [u8]) -> Result<ReplyView<'a>, DecodeError> {
        let (words, payload) = wire::split(message)?;
        ReplyView::of(ReplyHeader::of(words)?, payload)
    }

    /// Checks what follows a header.
    #[inline(always)]
    pub(crate) fn of(header: ReplyHeader, payload: &'a [u8]) -> Result<ReplyView<'a>, DecodeError> {
        wire::check_length(ReplyHeader::LENGTH, header.payload_length(), payload)?;
        match (header.form, header.status) {
            (ReplyForm::HandOver, _) => HandOver::check(payload)?,
            (_, Status::UnknownKind) => Kinds::check(payload).map_err(DecodeError::Kind)?,
            (_, Status::Redirect) => check_target(payload)?,
            _ => {}
        }
        Ok(ReplyView { header, payload })
    }

    /// The header.
    pub fn header(&self) -> ReplyHeader {
        self.header
    }

    /// Everything behind the header: the data, or the bytes that describe a hand-over.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the data are.
    #[inline(always)]
    pub fn body(&self) -> ReplyBody<'a> {
        match self.header.form {
            ReplyForm::Inline(_) => ReplyBody::Inline(self.payload),
            ReplyForm::HandOver => ReplyBody::HandOver(HandOver::read(self.payload)),
        }
    }

    /// The kinds that the server knows, in a reply of [`Status::UnknownKind`]; none in others.
    pub fn kinds(&self) -> Kinds<'a> {
        match self.header.status {
            Status::UnknownKind => Kinds::new(self.payload),
            _ => Kinds::new(&[]),
        }
    }

    /// The name of the service to go to, in a reply of [`Status::Redirect`].
    pub fn target(&self) -> Option<&'a str> {
        match self.header.status {
            Status::Redirect => std::str::from_utf8(self.payload).ok(),
            _ => None,
        }
    }

    /// The payload as text to show. Of a hand-over there is none here.
    pub fn text(&self) -> Text<'a> {
        match self.body() {
            ReplyBody::Inline(bytes) => Text(bytes),
            ReplyBody::HandOver(_) => Text(&[]),
        }
    }
}

/// Checks the name in a redirect by the rules of [`Name`](crate::Name), since the client looks for a service of
/// that name.
fn check_target(name: &[u8]) -> Result<(), DecodeError> {
    let problem = match std::str::from_utf8(name) {
        _ if name.is_empty() => TargetProblem::Empty,
        _ if name.len() > 200 => TargetProblem::TooLong,
        Err(_) => TargetProblem::NotUtf8,
        Ok(text) if text.starts_with('.') => TargetProblem::NotAName,
        Ok(text) if text.contains(|c: char| c == '/' || c.is_control()) => TargetProblem::NotAName,
        Ok(_) => return Ok(()),
    };
    Err(DecodeError::Target {
        found: name.len() as u64,
        problem,
    })
}

/// Text from a peer: shows what is not UTF-8 as U+FFFD.
///
/// Control characters are shown as they came: whoever prints it on a terminal and does not trust the peer
/// escapes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as they came.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: Status, payload: &[u8]) -> Vec<u8> {
        let header = ReplyHeader {
            id: 1,
            status,
            code: 250,
            epoch: 2,
            form: ReplyForm::Inline(u32::try_from(payload.len()).unwrap()),
        };
        [&header.encode()[..], payload].concat()
    }

    #[test]
    fn an_answer_that_was_done_is_known_by_two_words_and_nothing_else_is() {
        for status in Status::ALL {
            for form in [ReplyForm::Inline(24), ReplyForm::HandOver] {
                let good = ReplyHeader {
                    id: 1,
                    status,
                    code: 3,
                    epoch: 2,
                    form,
                };
                let is_done = status == Status::Done && form == ReplyForm::Inline(24);
                for bit in (0..=256).rev() {
                    let mut words = good.words();
                    if let Some(word) = words.get_mut(bit / 64) {
                        *word ^= 1 << (bit % 64);
                    }
                    let expected = ReplyHeader::of(words).ok().filter(|header| {
                        header.status == Status::Done && header.form == ReplyForm::Inline(24)
                    });
                    let found = ReplyHeader::of_done(words, 24);
                    assert_eq!(found, expected, "{status:?}, {form:?}, bit {bit}");
                    assert!(bit < 256 || found.is_some() == is_done);
                }
                assert_eq!(ReplyHeader::of_done(good.words(), 25), None);
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_shown_with_replacements() {
        let message = reply(Status::Failed, b"a\xffb\xc3");
        let view = ReplyView::decode(&message).unwrap();
        assert_eq!(view.text().to_string(), "a\u{fffd}b\u{fffd}");
        assert_eq!(view.text().as_bytes(), b"a\xffb\xc3");
    }

    #[test]
    fn only_a_busy_server_says_when_to_come_back() {
        for status in Status::ALL {
            let payload: &[u8] = if status == Status::Redirect {
                b"x"
            } else {
                b""
            };
            let message = reply(status, payload);
            let after = ReplyView::decode(&message).unwrap().header().retry_after();
            let expected = (status == Status::Busy).then_some(Duration::from_millis(250));
            assert_eq!(after, expected, "{status:?}");
        }
    }

    #[test]
    fn the_known_kinds_are_listed_in_order_and_counted() {
        let message = reply(
            Status::UnknownKind,
            b"digest\0\0\0\0\0\0\0\0\0\0count\0\0\0\0\0\0\0\0\0\0\0",
        );
        let kinds = ReplyView::decode(&message).unwrap().kinds();
        assert_eq!(kinds.len(), 2);
        let names: Vec<String> = kinds.map(|kind| kind.to_string()).collect();
        assert_eq!(names, ["digest", "count"]);
    }

    #[test]
    fn a_redirect_outside_the_runtime_directory_is_refused() {
        for (name, problem) in [
            (&b""[..], TargetProblem::Empty),
            (&[b'n'; 201], TargetProblem::TooLong),
            (b"\xff", TargetProblem::NotUtf8),
            (b"..", TargetProblem::NotAName),
            (b"a/b", TargetProblem::NotAName),
            (b"a\0b", TargetProblem::NotAName),
            (b"a\xc2\x85b", TargetProblem::NotAName),
        ] {
            let found = name.len() as u64;
            assert_eq!(
                ReplyView::decode(&reply(Status::Redirect, name)),
                Err(DecodeError::Target { found, problem })
            );
        }
        assert!(ReplyView::decode(&reply(Status::Redirect, &[b'n'; 200])).is_ok());
    }

    #[test]
    fn a_redirect_is_accepted_just_when_it_is_a_name() {
        let names = (0..=u8::MAX).flat_map(|byte| {
            [
                vec![byte],
                vec![b'n', byte],
                vec![0xc2, byte],
                vec![byte, b'n'],
            ]
        });
        for name in names.chain([vec![b'n'; 200], vec![b'n'; 201], vec![]]) {
            let accepted = ReplyView::decode(&reply(Status::Redirect, &name)).is_ok();
            let named = std::str::from_utf8(&name).is_ok_and(|text| crate::Name::new(text).is_ok());
            assert_eq!(accepted, named, "{name:?}");
        }
    }
}
