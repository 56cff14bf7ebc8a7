//! `auth`: the first message on every connection, `{"rpc":"auth","token":T,"uuid":U,"client":{…}}`.
//!
//! Answered `"resp":"success"`, for a client that said hello with a `session` beside it.

use serde_json::json;

use crate::answer::{Answer, named};
use crate::envelope::string;
use crate::framing::Framed;
use crate::json::slice::RawSlice;
use crate::message::{Hello, MAX_DEVICE_BYTES, SessionInfo};
use crate::raw_json::RawJson;

/// The verb.
pub const NAME: &str = "auth";

/// The longest name, version or feature of a [`Hello`], in bytes, and the most features: what is over is
/// no hello.
const MAX_HELLO: usize = 64;

/// Reads the `client` field. One of another shape is no hello, as it was none to the original servers.
pub(crate) fn hello(client: RawSlice<'_>) -> Option<Hello> {
    #[derive(serde::Deserialize)]
    struct Fields<'a> {
        name: String,
        version: String,
        #[serde(default)]
        features: Vec<String>,
        #[serde(borrow)]
        device: Option<RawSlice<'a>>,
    }

    let Fields { name, version, features, device } = client.parse().ok()?;
    let device = device.and_then(string).filter(|device| (1..=MAX_DEVICE_BYTES).contains(&device.len()));
    let device = device.map(std::borrow::Cow::into_owned);
    let fits = |text: &String| text.len() <= MAX_HELLO;
    (fits(&name) && fits(&version) && features.len() <= MAX_HELLO && features.iter().all(fits))
        .then_some(Hello { name, version, features, device })
}

impl Answer {
    /// The token was good. `session` is for clients that said hello.
    pub fn authenticated(mut self, session: Option<&SessionInfo>) -> Framed {
        if let Some(SessionInfo { id, ping_ms, max_message_bytes, features }) = session {
            let session = json!({
                "id": id,
                "ping_ms": ping_ms,
                "max_message_bytes": max_message_bytes,
                "features": features,
            });
            self.field(named!("session"), RawJson::new(&session).unwrap_or_default().as_bytes());
        }
        self.success()
    }
}
