//! A call's argument, before anybody has looked into it.
//!
//! In: a part of a message, or a payload of its own. Out: a type, or the payload to keep.

use serde::de::DeserializeOwned;

use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;

/// A call's argument, raw. It is copied only when somebody keeps it.
#[derive(Debug, Clone, Copy)]
pub struct Argument<'a>(Text<'a>);

#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    /// Stands in a message that is gone after the call has begun.
    InMessage(RawSlice<'a>),
    /// Can be shared.
    Own(&'a RawJson),
}

impl Argument<'_> {
    /// Reads the argument as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self.0 {
            Text::InMessage(text) => text.parse(),
            Text::Own(text) => text.parse(),
        }
    }

    /// The argument as it is, to keep: copied out of its message, or shared.
    pub fn to_raw(&self) -> RawJson {
        match self.0 {
            Text::InMessage(text) => RawJson::copy_of(text),
            Text::Own(text) => text.clone(),
        }
    }
}

impl<'a> From<RawSlice<'a>> for Argument<'a> {
    fn from(text: RawSlice<'a>) -> Self {
        Self(Text::InMessage(text))
    }
}

impl<'a> From<&'a RawJson> for Argument<'a> {
    fn from(text: &'a RawJson) -> Self {
        Self(Text::Own(text))
    }
}
