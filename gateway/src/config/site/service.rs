//! A program that connects with a key of its own.

use serde::Deserialize;

use super::Secret;
use crate::config::value::{Text, Texts};

/// Who has the key is this user, in these rooms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Service {
    pub(crate) key: Secret,
    pub(crate) user: String,
    pub(crate) rooms: Vec<String>,
    /// What others may know of it.
    pub(crate) info: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: Text,
    user: Text,
    #[serde(default)]
    rooms: Texts,
    info: Option<serde_json::Value>,
}

impl From<Written> for Service {
    fn from(written: Written) -> Self {
        Self {
            key: Secret::new(written.key.0),
            user: written.user.0,
            rooms: written.rooms.into_strings(),
            info: written.info,
        }
    }
}
