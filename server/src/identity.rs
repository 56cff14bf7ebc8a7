//! Who a socket belongs to: what the authenticator returned, kept with the token.
//!
//! In: any serializable value. Out: the same as JSON, so that a token store on another machine can keep
//! it too.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;

/// The authenticated user of a socket. Read it in a handler with [`crate::Auth`].
#[derive(Debug, Clone)]
pub struct Identity(Result<RawJson, String>);

impl Identity {
    /// Keeps `data`. A value that cannot be JSON makes the token request fail with status 500.
    pub fn new<T: Serialize>(data: T) -> Self {
        let data = RawJson::new(&data).map(|data| data.compact());
        Self(data.map_err(|error| format!("the identity is not JSON: {error}")))
    }

    /// An identity that says nothing: JSON `null`.
    pub fn anonymous() -> Self {
        Self(Ok(RawJson::null()))
    }

    /// The data as raw JSON.
    pub fn data(&self) -> &RawJson {
        static NULL: RawJson = RawJson::null();
        self.0.as_ref().unwrap_or(&NULL)
    }

    /// The data as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.data().parse()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.0.as_ref().map(drop).map_err(Clone::clone)
    }
}
