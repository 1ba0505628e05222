//! A service's figures, for whoever wants to see how it does.

use rustix::io::Errno;

use super::board::{BOARD, FINGERPRINT, LEN};
use crate::directory::{Directory, Name, is_errno};
use crate::error::{Error, Result};
use crate::segment::SegmentOptions;

/// What a server has done since it began, as it stands on its status page.
///
/// Each figure is right at some moment of the look, not all at the same. Those of a server that has died stay until the
/// next one begins, at 0.
///
/// # Examples
///
/// ```
/// use osps_ipc::{Directory, Figures, Name, Server};
///
/// let name = Name::new(format!("doc-figures-{}", std::process::id()))?;
/// let server = Server::bind(name.as_str())?;
/// let figures = Figures::read(&Directory::runtime()?, &name)?;
/// assert_eq!((figures.epoch, figures.sessions), (server.epoch(), 0));
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// The number of the server.
    pub epoch: u64,
    /// Sessions that are open.
    pub sessions: u64,
    /// Sessions that were ever opened by it, a predecessor's that it goes on with among them.
    pub connects: u64,
    /// Requests that it has handed out, as far as it has told: it does so when it looks for bells.
    pub requests: u64,
    /// Those of them that a server before had begun, which then died.
    pub redelivered: u64,
    /// Sessions that were closed for a broken protocol.
    pub corrupt: u64,
    /// Sessions that found no free slot.
    pub busy: u64,
}

impl Figures {
    /// Reads the figures of `service`, which stands in `runtime`. Nobody is disturbed, nor asked.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if there is no such service; [`Error::BadSegment`], [`Error::Os`].
    pub fn read(runtime: &Directory, service: &Name) -> Result<Figures> {
        let opened = runtime.open_at(service.as_str()).and_then(|directory| {
            SegmentOptions::raw(FINGERPRINT, LEN).open_read_only_at(&directory, BOARD)
        });
        let (page, _) = match opened {
            Err(error) if is_errno(&error, Errno::NOENT) => {
                return Err(Error::NotRunning {
                    service: service.to_string(),
                    directory: runtime.path().to_owned(),
                });
            }
            opened => opened?,
        };
        let word = |index: usize| page.load::<u64>(index * size_of::<u64>());
        Ok(Figures {
            epoch: word(1)?,
            sessions: word(2)?,
            connects: word(3)?,
            requests: word(4)?,
            redelivered: word(5)?,
            corrupt: word(6)?,
            busy: word(7)?,
        })
    }
}
