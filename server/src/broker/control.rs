//! What nodes tell one another besides publications.
//!
//! In: what the application or a node asks. Out: the same, as JSON where it goes by an engine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::{Channel, Close, RawJson};

/// What one node tells all nodes, or one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Control {
    /// Every socket leaves this channel.
    UnsubscribeAll(Channel),
    /// A message to sockets, whether they follow the channel or not.
    Emit {
        /// The users whose sockets get it; `None` for every socket that has authenticated.
        users: Option<Vec<Arc<str>>>,
        /// The channel it comes on.
        channel: Channel,
        /// What it says.
        message: RawJson,
    },
    /// Every socket of these users closes.
    Disconnect {
        /// Their ids.
        users: Vec<Arc<str>>,
        /// How.
        close: Close,
    },
    /// What nodes say of themselves and ask one another. Nothing to a broker.
    Node(RawJson),
}

/// The same as it goes from node to node. A kind that a node of another version does not know is passed over by it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire {
    UnsubscribeAll { channel: String },
    Emit { users: Option<Vec<Arc<str>>>, channel: String, message: RawJson },
    Disconnect { users: Vec<Arc<str>>, code: u16, reason: String },
    Node(RawJson),
}

impl Control {
    /// As JSON, for a broker whose engine carries bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = match self.clone() {
            Self::UnsubscribeAll(channel) => Wire::UnsubscribeAll { channel: channel.as_str().to_owned() },
            Self::Emit { users, channel, message } => {
                Wire::Emit { users, channel: channel.as_str().to_owned(), message }
            }
            Self::Disconnect { users, close } => {
                Wire::Disconnect { users, code: close.code, reason: close.reason.into_owned() }
            }
            Self::Node(message) => Wire::Node(message),
        };
        // Text, numbers and JSON that is there already: nothing of it can fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote. `None`: not understood, which is to be passed over, since nodes of
    /// two versions may share an engine.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let channel = |name: String| Channel::new(name).ok();
        Some(match serde_json::from_slice(json).ok()? {
            Wire::UnsubscribeAll { channel: name } => Self::UnsubscribeAll(channel(name)?),
            Wire::Emit { users, channel: name, message } => {
                Self::Emit { users, channel: channel(name)?, message }
            }
            Wire::Disconnect { users, code, reason } => {
                Self::Disconnect { users, close: Close::new(code, reason) }
            }
            Wire::Node(message) => Self::Node(message),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let channel = Channel::new("news").unwrap();
        let message: RawJson = serde_json::from_str(r#"{"a":[1,"ü"]}"#).unwrap();
        let all = [
            Control::UnsubscribeAll(channel.clone()),
            Control::Emit { users: None, channel: channel.clone(), message: message.clone() },
            Control::Emit { users: Some(vec!["ann".into()]), channel, message: message.clone() },
            Control::Disconnect { users: vec!["ann".into(), "bob".into()], close: Close::new(4500, "bye") },
            Control::Node(message),
        ];
        for control in all {
            let read = Control::from_json(&control.to_json()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{control:?}"));
        }
    }

    #[test]
    fn passes_over_what_it_does_not_know() {
        for text in [r#"{"later":{}}"#, r#"{"unsubscribe_all":{"channel":""}}"#, "", "7"] {
            assert!(Control::from_json(text.as_bytes()).is_none(), "{text}");
        }
    }
}
