//! A payload that stands in a message, not looked into and not copied.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One JSON text, known to be well formed, that stands in somebody else's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSlice<'a>(&'a str);

impl<'a> RawSlice<'a> {
    /// The JSON text `null`.
    pub(crate) const NULL: RawSlice<'static> = RawSlice("null");

    /// `text` is one JSON value, without whitespace around it.
    pub(crate) fn well_formed(text: &'a str) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The JSON text, as bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// Reads the text as a type, which may borrow from it.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0)
    }
}

impl<'a> From<&'a RawValue> for RawSlice<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawSlice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self::from)
    }
}
