//! The messages that travel in a session: requests one way, replies the other.
//!
//! This is the whole wire format. Encoding and decoding are pure: they borrow, allocate nothing, never panic, and
//! look at no clock. Everything that another process wrote passes through [`RequestView::decode`] or
//! [`ReplyView::decode`], which accept a message or name the one thing that is wrong with it.
//!
//! All numbers are little endian. A message is a header and then its payload, with nothing between and nothing
//! after: one that is shorter or longer than its header says is refused. `tests/vectors/messages.txt` has examples
//! of every kind of message, and of every refusal, for whoever writes another implementation.
//!
//! # Request: 40 bytes, then the payload
//!
//! | offset | size | field | meaning |
//! | ---: | ---: | --- | --- |
//! | 0 | 2 | version | 1; any other is refused |
//! | 2 | 2 | flags | bit 0 `HAND_OVER`, bit 1 `ASK`; not both; any other bit is refused |
//! | 4 | 4 | payload length | bytes after the header |
//! | 8 | 8 | id | chosen by the client, never used twice in a session; 0 marks a one-way message |
//! | 16 | 16 | kind | 1 to 16 graphic ASCII characters, padded with NUL: [`RequestKind`] |
//! | 32 | 8 | deadline | nanoseconds of `CLOCK_MONOTONIC`; 0 is none |
//!
//! # Reply: 32 bytes, then the payload
//!
//! | offset | size | field | meaning |
//! | ---: | ---: | --- | --- |
//! | 0 | 2 | version | 1; any other is refused |
//! | 2 | 2 | flags | bit 0 `HAND_OVER`; any other bit is refused |
//! | 4 | 4 | payload length | bytes after the header |
//! | 8 | 8 | id | of the request that is answered |
//! | 16 | 2 | status | see the next table; any other is refused |
//! | 18 | 2 | zero | anything else is refused |
//! | 20 | 4 | code | see the next table |
//! | 24 | 8 | epoch | of the server that wrote it; information only |
//!
//! | status | number | final | payload | code | may be handed over |
//! | --- | ---: | --- | --- | --- | --- |
//! | `Started` | 1 | no | text, or empty | | no |
//! | `Part` | 2 | no | bytes; reserved: decodes, nothing sends it yet | | yes |
//! | `Done` | 16 | yes | bytes: the answer | | yes |
//! | `UnknownKind` | 17 | yes | the kinds that are known, 16 bytes each as in a request | | no |
//! | `Failed` | 18 | yes | text: why | the handler's own | yes |
//! | `Redirect` | 19 | yes | the service to go to, by a [`Name`](crate::Name) | | no |
//! | `Busy` | 20 | yes | text, or empty | milliseconds after which to come back | no |
//! | `Expired` | 21 | yes | text, or empty | | no |
//! | `Poisoned` | 22 | yes | text, or empty | the number of attempts | no |
//! | `Closed` | 23 | yes | text, or empty | | no |
//!
//! A code that the table leaves open is written as 0 and not looked at. Text is UTF-8; what is not shows as
//! U+FFFD ([`ReplyView::text`]). Numbers below 16 are *interim*: they neither answer the request nor end the wait.
//!
//! A `Name` is 1 to 200 bytes of UTF-8, does not begin with `.`, and has neither `/` nor a control character.
//!
//! # Hand-over: 24 bytes
//!
//! With `HAND_OVER` the payload is not the data but says where they lie: in a segment of the session's directory.
//!
//! | offset | size | field | meaning |
//! | ---: | ---: | --- | --- |
//! | 0 | 8 | number | which hand-over segment |
//! | 8 | 8 | length | bytes of data |
//! | 16 | 8 | offset | where in the segment they begin; offset + length must fit in 64 bits |
//!
//! Whether that range lies inside the segment is checked by whoever opens it.
//!
//! # Order of the checks
//!
//! A message can be wrong in several ways. The first of these is reported: a header that is cut short, the version,
//! the flags, (reply) the zero field, (reply) the status, (request) the kind, the payload length that the
//! flags and the status demand, the total length, the payload's content.
//!
//! # Examples
//!
//! ```
//! use osps_ipc::request::{RequestForm, RequestHeader, RequestKind, RequestView};
//!
//! const DIGEST: RequestKind = RequestKind::new("digest");
//!
//! let header = RequestHeader { id: 1, kind: DIGEST, deadline: 0, form: RequestForm::Inline(5) };
//! let mut message = header.encode().to_vec();
//! message.extend_from_slice(b"hello");
//!
//! let view = RequestView::decode(&message)?;
//! assert_eq!(view.header(), header);
//! assert_eq!(view.payload(), b"hello");
//!
//! assert!(RequestView::decode(&message[..44]).is_err());
//! # Ok::<(), osps_ipc::request::DecodeError>(())
//! ```

mod call;
mod error;
mod kind;
mod reply;
mod status;
mod wire;

pub(crate) use call::LastHeader;
pub use call::{RequestBody, RequestForm, RequestHeader, RequestView};
pub use error::{DecodeError, TargetProblem};
pub use kind::{BadKind, Kinds, RequestKind};
pub use reply::{ReplyBody, ReplyForm, ReplyHeader, ReplyView, Text};
pub use status::Status;
pub use wire::HandOver;

/// The version of the message format that this crate reads and writes.
pub const VERSION: u16 = 1;
