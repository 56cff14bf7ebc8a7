//! The arguments of events and acknowledgements, as handlers see and give them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::socketio::{Argument, ArgumentList};

/// The arguments of one event or acknowledgement: any number of JSON values and bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventArgs(pub(crate) ArgumentList);

impl EventArgs {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// The arguments that a value stands for: a tuple or a list has several, `()` none, anything else is one.
    pub fn of(value: impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(
            ArgumentList::of_array(&crate::socket::emit::arguments(RawJson::new(&value)?))
                .unwrap_or_default(),
        ))
    }

    /// Adds a JSON value.
    pub fn json(self, value: impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(self.0.json(&RawJson::new(&value)?)))
    }

    /// Adds bytes. At most 10 of these travel with one event.
    #[must_use]
    pub fn binary(self, bytes: impl Into<Bytes>) -> Self {
        Self(self.0.binary(bytes))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.arguments().iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.arguments().is_empty()
    }

    /// All of them as a type, such as a tuple. Bytes are seen as placeholders.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0.to_array())
    }

    /// One of them as a type; a missing one is JSON `null`.
    pub fn get<T: DeserializeOwned>(&self, at: usize) -> Result<T, serde_json::Error> {
        match self.0.arguments().iter().nth(at) {
            Some(argument) => serde_json::from_slice(argument.as_bytes()),
            None => serde_json::from_str("null"),
        }
    }

    /// One of them as bytes; `None` when it is missing or JSON.
    pub fn bytes(&self, at: usize) -> Option<Bytes> {
        match self.0.iter().nth(at)? {
            Argument::Binary(bytes) => Some(bytes),
            Argument::Json(_) => None,
        }
    }

    /// All of them as a JSON array, as they came. Bytes are placeholders: see [`EventArgs::attachments`].
    pub fn to_json(&self) -> RawJson {
        RawJson::from_text(self.0.to_array()).unwrap_or_default()
    }

    /// The bytes among them, or within them, in order.
    pub fn attachments(&self) -> &[Bytes] {
        self.0.attachments()
    }
}

/// What a handler returns: the arguments of the acknowledgement, if the client wants one.
///
/// Any value that can be JSON is: a tuple or a list has several arguments, `()` none, anything else is one. For bytes,
/// return [`EventArgs`].
pub trait IntoAck {
    /// The arguments. What cannot be JSON becomes none.
    fn into_ack(self) -> EventArgs;
}

impl IntoAck for EventArgs {
    fn into_ack(self) -> EventArgs {
        self
    }
}

impl<T: Serialize> IntoAck for T {
    fn into_ack(self) -> EventArgs {
        EventArgs::of(self).unwrap_or_else(|error| {
            tracing::error!(%error, "an acknowledgement is not JSON");
            EventArgs::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: impl IntoAck) -> String {
        value.into_ack().to_json().as_str().to_owned()
    }

    #[test]
    fn a_value_stands_for_none_one_or_several_arguments() {
        assert_eq!(text(()), "[]");
        assert_eq!(text("a"), r#"["a"]"#);
        assert_eq!(text((1, "b")), r#"[1,"b"]"#);
        assert_eq!(text(EventArgs::new().binary(&b"xy"[..])), r#"[{"_placeholder":true,"num":0}]"#);
    }

    #[test]
    fn gives_each_argument_as_what_it_is() {
        let args = EventArgs::of((1, "two")).unwrap_or_default().binary(&b"xy"[..]);
        assert_eq!(args.len(), 3);
        assert_eq!(args.get::<i32>(0).ok(), Some(1));
        assert_eq!(args.get::<Option<i32>>(3).ok(), Some(None));
        assert_eq!(args.bytes(2).as_deref(), Some(&b"xy"[..]));
        assert_eq!(args.bytes(1), None);
    }
}
