//! What an event client said, as the application sees it.
//!
//! In: a message whose event was found. Out: its parts; what else it says is read when somebody asks.

use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::event::{self, Event};

use super::socket::EventSocket;

/// One message of an event client.
#[derive(Debug, Clone)]
pub struct EventMessage {
    event: String,
    json: RawJson,
}

impl EventMessage {
    pub(super) fn new(event: Event<'_>) -> Self {
        Self { json: RawJson::copy_of(event.message), event: event.name.into_owned() }
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The whole message: an object, with its `event`.
    pub fn json(&self) -> &RawJson {
        &self.json
    }

    /// The whole message as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.json.parse()
    }
}

/// One question for data.
#[derive(Debug, Clone)]
pub struct DataRequest {
    message: EventMessage,
    socket: EventSocket,
}

impl DataRequest {
    pub(super) fn new(message: EventMessage, socket: EventSocket) -> Self {
        Self { message, socket }
    }

    /// What is asked for: all behind the event's `:get:`.
    pub fn name(&self) -> &str {
        event::asked(self.message.event()).unwrap_or_default()
    }

    /// The message that asks.
    pub fn message(&self) -> &EventMessage {
        &self.message
    }

    /// Who asks.
    pub fn socket(&self) -> &EventSocket {
        &self.socket
    }
}
