//! The token by which a child finds a segment that it inherited.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::str::FromStr;

use crate::error::Error;
use crate::sys::file;

/// A descriptor's number, with the device and inode that must be found under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) number: RawFd,
    pub(super) identity: (u64, u64),
}

const PREFIX: &str = "osps-segment";

impl Token {
    pub(super) fn of(fd: &OwnedFd) -> rustix::io::Result<Token> {
        let identity = file::status(fd.as_fd())?.identity;
        Ok(Token {
            number: fd.as_raw_fd(),
            identity,
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, inode) = self.identity;
        write!(f, "{PREFIX}:{}:{device}:{inode}", self.number)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token, Error> {
        let parsed = || {
            let mut parts = text.split(':');
            (parts.next()? == PREFIX).then_some(())?;
            let number = parts.next()?.parse().ok()?;
            let identity = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts.next().is_none().then_some(Token { number, identity })
        };
        parsed().ok_or_else(|| Error::BadName {
            name: text.to_owned(),
            reason: "it is no token of SharedSegment::inherit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_text_and_other_text_is_refused() {
        let token = Token {
            number: 7,
            identity: (1, u64::MAX),
        };
        assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        for bad in [
            "",
            "osps-segment",
            "osps-segment:7:1",
            "osps-segment:7:1:2:3",
            "other:7:1:2",
            "osps-segment:x:1:2",
        ] {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(error.contains("no token"), "{error}");
        }
    }
}
