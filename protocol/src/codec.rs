//! How a client reads and writes JSON: the seam between the session and the engine it runs on.
//!
//! In: a [`ClientMessage`] to write, a text to read. Out: text, a [`ServerMessage`]. A native client
//! uses [`NativeCodec`]; a browser's client uses the engine's own `JSON`.

#[cfg(feature = "json")]
mod native;

#[cfg(feature = "json")]
pub use native::NativeCodec;

use crate::message::{ClientMessage, ServerMessage};

/// Reads and writes messages whose payloads are of the type [`Codec::Payload`].
///
/// No method may block, and no text from a peer may make one panic or recurse without a bound.
pub trait Codec {
    /// What a payload is until somebody asks for a type. Cloning should be cheap.
    type Payload: Clone;

    /// What the transport sends and receives as one text message.
    type Text;

    /// The JSON value `null`.
    fn null(&self) -> Self::Payload;

    /// The JSON value of a string.
    fn string(&self, text: &str) -> Self::Payload;

    /// About how many bytes the payload has as JSON text. The queue's limit counts with it.
    fn payload_bytes(&self, payload: &Self::Payload) -> usize;

    /// How many bytes of UTF-8 the text has. The server's limit on messages is compared with it.
    fn text_bytes(&self, text: &Self::Text) -> usize;

    /// Writes a message as one JSON text.
    fn encode(&self, message: &ClientMessage<Self::Payload>) -> Self::Text;

    /// Reads one JSON text. Messages of a shape that this version does not know are
    /// [`ServerMessage::Unknown`]; only text that is no JSON is an error.
    fn decode(&self, text: &Self::Text) -> Result<ServerMessage<Self::Payload>, NotJson>;
}

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's message is not JSON")]
pub struct NotJson;
