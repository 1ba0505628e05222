//! What the kernel tells the server of, as it stands in the number that comes with it.

/// What an event of the epoll is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A new session.
    Door,
    /// A look is due.
    Alarm,
    /// A client rang.
    Bell { slot: u32, version: u32 },
    /// The reader of our bell to a client is gone.
    Death { slot: u32, version: u32 },
}

impl Source {
    /// Two bits of source, 30 of version, 32 of slot.
    pub(super) fn pack(self) -> u64 {
        let (source, slot, version) = match self {
            Source::Door => (0, 0, 0),
            Source::Bell { slot, version } => (1, slot, version),
            Source::Death { slot, version } => (2, slot, version),
            Source::Alarm => (3, 0, 0),
        };
        source << 62 | u64::from(version & VERSIONS) << 32 | u64::from(slot)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "each field is masked or shifted to its width"
    )]
    pub(super) fn unpack(token: u64) -> Source {
        let slot = (token & u64::from(u32::MAX)) as u32;
        let version = (token >> 32) as u32 & VERSIONS;
        match token >> 62 {
            1 => Source::Bell { slot, version },
            2 => Source::Death { slot, version },
            3 => Source::Alarm,
            _ => Source::Door,
        }
    }
}

/// Versions are counted modulo this plus one.
pub(super) const VERSIONS: u32 = (1 << 30) - 1;
