//! What the clients of a service are told that nobody will serve again.

use super::Supervisor;
use crate::server::ServerOptions;

impl Supervisor {
    /// Becomes the server for a moment, only to tell every session that the service was given up, and to remove it.
    /// Who connects later finds no service.
    pub(super) fn tell_clients(&self) {
        let bound = ServerOptions::new()
            .directory(self.monitor.runtime().path())
            .bind(self.service().as_str());
        // Where another serves after all, or there is no room, clients wait to their deadlines.
        if let Ok(server) = bound {
            server.give_up();
        }
    }
}
