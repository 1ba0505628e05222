//! What a reply says of its request.

use super::error::DecodeError;

/// What a reply says of its request. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Status {
    /// Interim: the work has begun. May come again after a restart of the server.
    Started = 1,
    /// Interim, reserved: a piece of the answer.
    Part = 2,
    /// The answer.
    Done = 16,
    /// The server does not know this kind of request; the payload names those that it knows.
    UnknownKind = 17,
    /// The handler could not do it; the payload says why.
    Failed = 18,
    /// Requests of this kind go to another service, which the payload names.
    Redirect = 19,
    /// The server cannot take the request now; the code says when to come back.
    Busy = 20,
    /// The server saw the request after its deadline and did not begin it.
    Expired = 21,
    /// The request was taken up several times and each time the server died.
    Poisoned = 22,
    /// The server is shutting down in good order and did not begin the request.
    Closed = 23,
}

impl Status {
    /// Every status, in the order of the numbers.
    pub const ALL: [Status; 10] = [
        Status::Started,
        Status::Part,
        Status::Done,
        Status::UnknownKind,
        Status::Failed,
        Status::Redirect,
        Status::Busy,
        Status::Expired,
        Status::Poisoned,
        Status::Closed,
    ];

    /// Whether this answers the request for good. An interim status may be followed by others.
    pub const fn is_final(self) -> bool {
        self.number() >= 16
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The status of a number on the wire.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Status`] for a number that this version does not know.
    pub const fn from_number(number: u16) -> Result<Status, DecodeError> {
        Ok(match number {
            1 => Status::Started,
            2 => Status::Part,
            16 => Status::Done,
            17 => Status::UnknownKind,
            18 => Status::Failed,
            19 => Status::Redirect,
            20 => Status::Busy,
            21 => Status::Expired,
            22 => Status::Poisoned,
            23 => Status::Closed,
            found => return Err(DecodeError::Status { found }),
        })
    }

    /// Whether the payload of such a reply may lie in a hand-over segment. The other payloads are small, and are
    /// checked when the message is decoded.
    pub const fn may_be_handed_over(self) -> bool {
        matches!(self, Status::Part | Status::Done | Status::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_status_or_refused() {
        let mut known = Vec::new();
        for number in 0..=u16::MAX {
            match Status::from_number(number) {
                Ok(status) => {
                    assert_eq!(status.number(), number);
                    known.push(status);
                }
                Err(error) => assert_eq!(error, DecodeError::Status { found: number }),
            }
        }
        assert_eq!(known, Status::ALL);
    }

    #[test]
    fn only_started_and_part_are_interim() {
        for status in Status::ALL {
            let interim = matches!(status, Status::Started | Status::Part);
            assert_eq!(status.is_final(), !interim, "{status:?}");
        }
    }
}
