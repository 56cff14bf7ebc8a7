//! What a builder is told of event clients.

use super::ServerBuilder;
use crate::events::EventOptions;

impl ServerBuilder {
    /// Offers an endpoint for event clients at `path`: a plain WebSocket whose messages are `{"event": …}`. Any number
    /// of them, each with a path of its own. A server that has such endpoints and no authenticator issues no tokens.
    ///
    /// Its sockets are the server's: [`Server::emit_to_users`](crate::Server::emit_to_users) and
    /// [`Server::emit_to_everyone`](crate::Server::emit_to_everyone) reach them as `{"event":CHANNEL,"data":DATA}`,
    /// [`Server::deliver`](crate::Server::deliver) as `{"event":EVENT,"args":[…]}`, which counts as acknowledged once it
    /// was written. What must be fetched anew comes as `{"event":"_resync","data":{"event":E,"reason":R}}`. Messages
    /// of a client that nobody wants, or that are none, are ignored.
    pub fn events(mut self, path: &str, options: EventOptions) -> Self {
        self.events.push((path.to_owned(), options));
        self
    }
}
