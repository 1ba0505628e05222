//! Where requests of a kind go: asked once, remembered, forgotten when that session ends.

use super::link::{Content, Link};
use super::{Client, reply::Reply};
use crate::directory::Name;
use crate::error::{Error, Result};
use crate::request::{RequestKind, Status};
use crate::session::layout::Status as SessionStatus;
use crate::sys::clock::Timeout;

/// What is known of a kind.
#[derive(Debug)]
pub(super) enum Route {
    /// Its requests go over this link.
    To(usize),
    /// The service has answered the question with something else.
    Refused(Reply),
}

impl Client {
    /// Finds out where requests of this kind go, asking if the service directs its clients.
    #[inline]
    pub(super) fn route(&mut self, kind: RequestKind, timeout: &mut Timeout) -> Result<Route> {
        if let Some(index) = self.known_route(kind)
            && !self.has_ended(index)
        {
            return Ok(Route::To(index));
        }
        if self.has_ended(0) || self.links.first().is_none_or(Option::is_none) {
            let link = self
                .options
                .link(&self.runtime, &self.service, timeout.deadline())?;
            self.add_link(link)?;
        }
        if !self.link(0)?.directs() {
            // Not remembered: after a restart the service may direct.
            return Ok(Route::To(0));
        }
        let id = self.send_until(0, kind, Content::Question, timeout)?;
        let reply = self.wait_for(0, id, timeout)?;
        match reply.status() {
            Status::Done => {
                self.routes.insert(kind, 0);
                Ok(Route::To(0))
            }
            Status::Redirect => self.follow(kind, &reply, timeout).map(Route::To),
            _ => Ok(Route::Refused(reply)),
        }
    }

    /// Most clients have none: then nothing is hashed.
    #[inline]
    pub(super) fn known_route(&self, kind: RequestKind) -> Option<usize> {
        if self.routes.is_empty() {
            return None;
        }
        self.routes.get(&kind).copied()
    }

    /// Forgets a session that is over and in which nothing is waited for: a new one does as well.
    #[inline]
    fn has_ended(&mut self, index: usize) -> bool {
        let Some(Some(link)) = self.links.get(index) else {
            return false;
        };
        // That a service was given up is for the caller to know.
        let is_over = !link.is_open() && !matches!(link.status(), Ok(SessionStatus::GaveUp));
        if !is_over || !link.pending().is_empty() || link.check().is_ok() {
            return false;
        }
        self.forget(index);
        true
    }

    /// Connects to the service that a redirect names, unless a session with it is open, and remembers it for the kind.
    pub(super) fn follow(
        &mut self,
        kind: RequestKind,
        redirect: &Reply,
        timeout: &mut Timeout,
    ) -> Result<usize> {
        let target = redirect.payload().as_slice().unwrap_or_default();
        let target = Name::new(String::from_utf8_lossy(target))?;
        let open =
            |link: &Option<Link>| link.as_ref().is_some_and(|link| *link.service() == target);
        let index = match self.links.iter().position(open) {
            Some(index) => index,
            None => {
                let link = self
                    .options
                    .link(&self.runtime, &target, timeout.deadline())?;
                self.add_link(link)?
            }
        };
        self.routes.insert(kind, index);
        Ok(index)
    }

    /// Puts a session into the first empty place, and its bells into the epoll.
    pub(super) fn add_link(&mut self, mut link: Link) -> Result<usize> {
        let index = match self.links.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.links.push(None);
                self.links.len() - 1
            }
        };
        link.watch(&self.epoll, index as u64)?;
        link.open_bell(&self.epoll, index as u64)?;
        if let Some(place) = self.links.get_mut(index) {
            *place = Some(link);
        }
        Ok(index)
    }

    /// Drops a session that is over, and every route that leads there.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(link) = self.links.get_mut(index).and_then(Option::take) {
            link.watch_no_longer(&self.epoll);
            self.unwanted += link.unwanted();
        }
        self.routes.retain(|_, to| *to != index);
    }

    /// The error of a request that was sent from one service to the next without end.
    pub(super) fn lost(&self, kind: RequestKind) -> Error {
        Error::Corrupt {
            at: format!("the redirects of {:?}", self.service.as_str()),
            what: format!(
                "requests of kind {kind} are sent from one service to the next without end"
            ),
        }
    }
}
