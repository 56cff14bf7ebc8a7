//! What a server's handle does with its endpoints of event clients.

use std::sync::Arc;

use super::Server;
use crate::events::EventOptions;

impl Server {
    /// Replaces what an endpoint of event clients offers, while serving. Connections that are open go on with what they
    /// began with. `false` when there is no such endpoint: [`ServerBuilder::events`](crate::ServerBuilder::events) makes
    /// them.
    pub fn set_events(&self, path: &str, options: EventOptions) -> bool {
        let endpoint = self.http.events.iter().find(|(known, _)| known == path);
        endpoint.map(|(_, endpoint)| endpoint.store(Arc::new(options.into()))).is_some()
    }
}
