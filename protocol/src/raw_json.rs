//! A payload that nobody has looked into yet: JSON text, shared, not copied.
//!
//! In: a slice of a received frame, or a value to serialize. Out: the same text on the way to another
//! peer, or a type when somebody asks for one.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::slice::RawSlice;

/// One JSON text, known to be well formed. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The JSON text `null`.
    pub const fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Serializes a value.
    ///
    /// Fails when the value's `Serialize` fails or when a map's key is no string.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|text| Self(Bytes::from(text)))
    }

    /// The same text in memory of exactly its size, shared with nobody: for what is kept for long.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Keeps a JSON text, after checking that it is one.
    pub fn from_text(text: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        let _: &RawValue = serde_json::from_slice(&text)?;
        Ok(Self(text))
    }

    /// Copies a part of a message.
    pub fn copy_of(raw: RawSlice<'_>) -> Self {
        Self(Bytes::copy_from_slice(raw.as_bytes()))
    }

    /// Shares the part of `frame` in which `raw` stands; copies when `raw` is from elsewhere.
    pub fn slice_of(frame: &Bytes, raw: &RawValue) -> Self {
        let raw = raw.get().as_bytes();
        let within = frame.as_ptr_range();
        if within.contains(&raw.as_ptr()) {
            Self(frame.slice_ref(raw))
        } else {
            Self(Bytes::copy_from_slice(raw))
        }
    }

    /// Reads the text as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text, as characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// The JSON text, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether the text is `null`.
    pub fn is_null(&self) -> bool {
        &self.0[..] == b"null"
    }
}

impl Default for RawJson {
    fn default() -> Self {
        Self::null()
    }
}

impl From<Box<RawValue>> for RawJson {
    fn from(raw: Box<RawValue>) -> Self {
        let text: Box<str> = raw.into();
        Self(Bytes::from(text.into_boxed_bytes()))
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for RawJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_the_frame_it_is_cut_from() -> Result<(), serde_json::Error> {
        let frame = Bytes::from_static(br#"{"req":{"a":1}}"#);
        let envelope: std::collections::HashMap<&str, &RawValue> = serde_json::from_slice(&frame)?;
        let cut = RawJson::slice_of(&frame, envelope["req"]);
        assert_eq!(cut.as_str(), r#"{"a":1}"#);
        assert!(frame.as_ptr_range().contains(&cut.as_bytes().as_ptr()));
        Ok(())
    }

    #[test]
    fn refuses_text_that_is_not_json() {
        assert!(RawJson::from_text("{").is_err());
        assert!(RawJson::from_text("1 2").is_err());
    }
}
