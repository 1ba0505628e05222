//! Replies that came while another was waited for.

use super::Client;
use super::link::Link;
use super::reply::Reply;
use super::waiting::BATCH;
use crate::error::{Error, Result};

/// Requests that may be unanswered or answered and not fetched; beyond, [`Client::submit`] refuses.
pub(super) const OUTSTANDING: usize = 1 << 16;

impl Client {
    /// Keeps what has come in the other sessions: as long as it is there, nobody sleeps. `false` if something cannot be taken now, for
    /// want of descriptors or memory.
    #[cold]
    pub(super) fn keep_of_others(&mut self, index: usize) -> bool {
        let mut all = true;
        for other in (0..self.links.len()).filter(|other| *other != index) {
            for _ in 0..BATCH {
                if self.links.get(other).is_none_or(Option::is_none) {
                    break;
                }
                match self.on_link(other, Link::receive) {
                    Ok(None) => break,
                    Ok(Some(reply)) => {
                        self.note_redirect(other, &reply);
                        self.keep(reply);
                    }
                    // It stays where it is, for who asks for replies of any session.
                    Err(error) if error.is_shortage() => {
                        all = false;
                        break;
                    }
                    // Told to who asks for them.
                    Err(error) => {
                        self.over.push_back(error);
                        break;
                    }
                }
            }
        }
        all
    }

    /// Keeps a reply for [`next_reply`](Client::next_reply). Of the interim ones, which a server may send without end,
    /// not more than there can be others.
    pub(super) fn keep(&mut self, reply: Reply) {
        if reply.status().is_final() || self.stash.len() < OUTSTANDING {
            self.stash.push_back(reply);
        } else {
            self.unwanted += 1;
        }
    }

    /// An error if no more requests are taken.
    pub(super) fn check_outstanding(&self) -> Result<()> {
        if self.outstanding() < OUTSTANDING {
            return Ok(());
        }
        Err(Error::TooMany {
            what: "requests whose replies were not fetched",
            max: OUTSTANDING as u64,
        })
    }
}
