//! Where requests of a kind go: asked once, remembered, forgotten when that session ends.

use std::time::Duration;

use super::link::{Content, Link};
use super::{Client, reply::Reply};
use crate::directory::Name;
use crate::error::{Error, Result};
use crate::request::{RequestKind, Status};
use crate::session::layout::Status as SessionStatus;
use crate::sys::clock::{Backoff, Deadline, Timeout};

/// What is known of a kind.
#[derive(Debug)]
pub(super) enum Route {
    /// Its requests go over this link.
    To(usize),
    /// The service has answered the question with something else.
    Refused(Reply),
}

/// How patient a client is with services that it is directed to and that are not there: from time to time it asks again
/// where to go.
#[derive(Debug)]
pub(super) struct Search {
    patience: Duration,
    backoff: Backoff,
}

impl Search {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(super) const fn new() -> Search {
        Search {
            patience: Search::FIRST,
            backoff: Backoff::new(),
        }
    }

    /// Until when one service is waited for.
    fn deadline(&mut self) -> Deadline {
        let patience = self.patience;
        self.patience = (patience * 2).min(Search::LONGEST);
        Deadline::after(patience)
    }
}

impl Client {
    /// Finds out where requests of this kind go, asking if the service directs its clients.
    #[inline]
    pub(super) fn route(&mut self, kind: RequestKind, timeout: &mut Timeout) -> Result<Route> {
        if let Some(index) = self.known_route(kind)
            && !self.has_ended(index)
            && !self.is_deserted(index)
        {
            return Ok(Route::To(index));
        }
        let mut search = Search::new();
        loop {
            if let Some(route) = self.find_route(kind, timeout, &mut search)? {
                return Ok(route);
            }
        }
    }

    /// `None` if it is to be asked again.
    fn find_route(
        &mut self,
        kind: RequestKind,
        timeout: &mut Timeout,
        search: &mut Search,
    ) -> Result<Option<Route>> {
        if self.has_ended(0) || self.links.first().is_none_or(Option::is_none) {
            self.connect_to(&self.service.clone(), timeout.deadline())?;
        }
        if !self.link(0)?.directs() {
            // Not remembered: after a restart the service may direct.
            return Ok(Some(Route::To(0)));
        }
        let id = self.send_until(0, kind, Content::Question, timeout)?;
        let reply = self.wait_for(0, id, timeout)?;
        match reply.status() {
            Status::Done => {
                self.routes.insert(kind, 0);
                Ok(Some(Route::To(0)))
            }
            Status::Redirect => {
                let followed = self.follow(kind, &reply, timeout, search)?;
                Ok(followed.map(Route::To))
            }
            _ => Ok(Some(Route::Refused(reply))),
        }
    }

    /// Waits for the final reply to a request; `None` if the service that it was directed to has ended and no server has
    /// begun it: it may go elsewhere. One that `stays` waits for the next server if this one is dead.
    #[inline]
    pub(super) fn answer_of(
        &mut self,
        index: usize,
        id: u64,
        timeout: &mut Timeout,
        stays: bool,
    ) -> Result<Option<Reply>> {
        self.may_leave = !stays && index != 0;
        match self.wait_for(index, id, timeout) {
            Ok(reply) => Ok(Some(reply)),
            // The first service's own end is for the caller to know.
            Err(Error::Closed { .. } | Error::ServerGone { .. })
                if index != 0 && self.taken_back.contains(&id) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a request back from a service whose server is dead and which another one may stand in for, if no server has
    /// begun it: an error then.
    pub(super) fn leave_the_dead(&mut self, index: usize, id: u64) -> Result<()> {
        if !self.may_leave || !self.is_deserted(index) {
            return Ok(());
        }
        // Once: who is sent there again waits.
        self.may_leave = false;
        if self.on_link(index, |link| link.withdraw(id))? {
            self.taken_back = vec![id];
            return Err(Error::ServerGone {
                service: self.link(index)?.service().to_string(),
                reason: "it ended without a farewell".to_owned(),
            });
        }
        Ok(())
    }

    /// Whether the server that requests were directed to is dead: perhaps they go elsewhere by now.
    #[inline]
    fn is_deserted(&mut self, index: usize) -> bool {
        let link = self.links.get_mut(index).and_then(Option::as_mut);
        index != 0 && link.is_some_and(Link::server_gone)
    }

    /// A reply that says that requests of some kind do not belong there.
    #[inline]
    pub(super) fn note_redirect(&mut self, index: usize, reply: &Reply) {
        if reply.status() == Status::Redirect {
            self.routes.retain(|_, to| *to != index);
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
        // That the first service was given up is for the caller to know.
        let told = index == 0 && matches!(link.status(), Ok(SessionStatus::GaveUp));
        let is_over = !link.is_open() && !told;
        if !is_over || !link.pending().is_empty() || link.check().is_ok() {
            return false;
        }
        self.forget(index);
        true
    }

    /// Connects to the service that a redirect names, unless a session with it is open, and remembers it for the kind.
    /// `None` if it is not there, or is ending: then the way is to be asked again.
    pub(super) fn follow(
        &mut self,
        kind: RequestKind,
        redirect: &Reply,
        timeout: &mut Timeout,
        search: &mut Search,
    ) -> Result<Option<usize>> {
        let target = redirect.payload().as_slice().unwrap_or_default();
        let target = Name::new(String::from_utf8_lossy(target))?;
        let known = (0..self.links.len()).find(|index| {
            let link = self.links.get(*index).and_then(Option::as_ref);
            link.is_some_and(|link| *link.service() == target)
        });
        let index = match known {
            Some(index) if index == 0 || !self.has_ended(index) => index,
            _ => {
                let deadline = timeout.deadline();
                let soon = deadline.min(search.deadline());
                match self.connect_to(&target, soon) {
                    Ok(index) => index,
                    Err(error) if is_absence(&error) && search.backoff.wait(deadline) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        self.routes.insert(kind, index);
        Ok(Some(index))
    }

    /// A new session with a service: the index of its link.
    pub(super) fn connect_to(&mut self, service: &Name, deadline: Deadline) -> Result<usize> {
        let runtime = &self.runtime;
        let (link, ()) = self
            .options
            .link(runtime, service, None, deadline, |published| {
                Ok((published.open_up()?, ()))
            })?;
        self.add_link(link)
    }

    /// Puts a session into the first empty place, and its bells into the epoll.
    pub(super) fn add_link(&mut self, link: Link) -> Result<usize> {
        let index = match self.links.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.links.push(None);
                self.links.len() - 1
            }
        };
        link.watch(&self.epoll, index as u64)?;
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

    /// The error of a request that was sent from one service to the next without end; the way is asked anew next time.
    pub(super) fn lost(&mut self, kind: RequestKind) -> Error {
        self.routes.remove(&kind);
        Error::RedirectLoop {
            service: self.service.to_string(),
            kind: kind.to_string(),
        }
    }
}

/// Whether a service is not there now, so that another one may do.
fn is_absence(error: &Error) -> bool {
    matches!(
        error,
        Error::NotRunning { .. }
            | Error::TimedOut { .. }
            | Error::Closed { .. }
            | Error::ServerGone { .. }
    )
}
