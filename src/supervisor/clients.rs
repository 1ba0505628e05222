//! What the clients of a service are told that nobody will serve again.

use super::Supervisor;
use crate::directory::view::ServiceView;
use crate::server::{Server, ServerOptions};

impl Supervisor {
    /// Tells every session that the service was given up, and removes it. Who connects later finds no service.
    pub(super) fn tell_clients(&self) {
        if let Some(server) = self.step_in() {
            server.give_up();
        }
    }

    /// Closes the sessions of a process that could not do so itself, and removes what it has left.
    pub(super) fn clear(&self) {
        let found = ServiceView::find(self.monitor.runtime(), self.service());
        if matches!(found, Ok(Some(_))) {
            drop(self.step_in());
        }
    }

    /// Becomes the server for a moment, only to end the service in good order. Where another serves after all, or there
    /// is no room, clients wait to their deadlines.
    fn step_in(&self) -> Option<Server> {
        ServerOptions::new()
            .directory(self.monitor.runtime().path())
            .bind(self.service().as_str())
            .ok()
    }
}
