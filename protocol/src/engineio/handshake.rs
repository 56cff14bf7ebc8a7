//! What the server's first packet says.

use std::time::Duration;

use serde::Serialize;

/// The data of the open packet.
#[derive(Debug, Clone)]
pub struct Handshake<'a> {
    /// The session's name, which all further requests carry.
    pub sid: &'a str,
    /// Whether the client may change to a WebSocket: so for polling, where that is allowed.
    pub websocket: bool,
    /// Between two pings.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How many bytes a request's body may have; clients of protocol 4 keep to it. `None` in protocol 3.
    pub max_payload: Option<usize>,
}

impl Handshake<'_> {
    /// The data: `{"sid":…}`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            sid: &'a str,
            upgrades: &'a [&'a str],
            ping_interval: u64,
            ping_timeout: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_payload: Option<usize>,
        }
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let fields = Fields {
            sid: self.sid,
            upgrades: if self.websocket { &["websocket"] } else { &[] },
            ping_interval: milliseconds(self.ping_interval),
            ping_timeout: milliseconds(self.ping_timeout),
            max_payload: self.max_payload,
        };
        // Nothing in it can fail to be written.
        serde_json::to_string(&fields).unwrap_or_default()
    }
}
