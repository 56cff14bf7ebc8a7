//! An event client's socket, for whoever answers it.
//!
//! In: values. Out: JSON texts in the socket's outbox.

use serde::Serialize;
use tokensocket_protocol::{RawJson, event};

use crate::identity::Identity;
use crate::socket::Socket;

/// A connected event client. Cloning gives another handle to the same socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSocket(pub(super) Socket);

impl EventSocket {
    /// Sends `{"event":EVENT,"data":DATA}`.
    ///
    /// Returns once it is queued. A socket whose queue is full is disconnected, and one that is closed loses the
    /// message.
    pub fn emit(&self, event: &str, data: impl Serialize) -> Result<(), serde_json::Error> {
        self.0.reply(&event::with_data(event, &RawJson::new(&data)?));
        Ok(())
    }

    /// Sends a message as it is; see [`EventSocket::emit`] for when it arrives.
    pub fn send(&self, message: impl Serialize) -> Result<(), serde_json::Error> {
        self.0.reply(RawJson::new(&message)?.as_bytes());
        Ok(())
    }

    /// Who it is. JSON `null` for a connection that was let in without a token.
    pub fn identity(&self) -> &Identity {
        self.0.identity()
    }

    /// The socket as one of its server's.
    pub fn socket(&self) -> &Socket {
        &self.0
    }
}
