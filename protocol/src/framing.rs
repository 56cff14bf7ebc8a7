//! How a transport carries a message: as it is, or within a JSON string.
//!
//! In: JSON text, piece by piece. Out: the same text, or the inside of the string that it becomes. What is the
//! same in every message, names and the punctuation around them, was escaped when this was compiled.

use crate::json::string;

/// How a transport carries a message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As it is.
    #[default]
    Raw,
    /// As the inside of a JSON string, as [`crate::sockjs`] escapes it.
    SockJs,
}

/// A message to a client, in the [`Framing`] of its transport: or raw, which every transport takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Framed {
    framing: Framing,
    bytes: Vec<u8>,
}

impl From<Vec<u8>> for Framed {
    /// A message as it is.
    fn from(bytes: Vec<u8>) -> Self {
        Self { framing: Framing::Raw, bytes }
    }
}

/// What stands before a field's value, the comma before it included, in each framing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) raw: &'static str,
    pub(crate) sockjs: &'static str,
}

/// The [`Name`] of a field, which must need no escapes of its own.
macro_rules! named {
    ($name:literal) => {
        $crate::framing::Name { raw: concat!(",\"", $name, "\":"), sockjs: concat!(",\\\"", $name, "\\\":") }
    };
}
pub(crate) use named;

impl Framing {
    /// Appends a field: its name, then its value, which is one JSON text without whitespace around it.
    #[allow(clippy::inline_always, reason = "a name that is known where it is written is two stores")]
    #[inline(always)]
    pub(crate) fn push_field(self, out: &mut Vec<u8>, name: Name, value: &[u8]) {
        match self {
            Self::Raw => {
                out.reserve(name.raw.len() + value.len() + 1);
                out.extend_from_slice(name.raw.as_bytes());
                out.extend_from_slice(value);
            }
            Self::SockJs => {
                out.extend_from_slice(name.sockjs.as_bytes());
                string::push_escaped_value(out, value);
            }
        }
    }

    /// Appends what `write` appends.
    pub(crate) fn push_with(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write(out);
        if self == Self::SockJs {
            let raw = out.split_off(start);
            string::push_escaped(out, &raw);
        }
    }
}

impl Framed {
    /// An object of `fields`, which are in `framing`, each with a comma before it: the first comma becomes the brace.
    /// Commas and braces are the same in every framing.
    pub(crate) fn object(framing: Framing, mut fields: Vec<u8>) -> Self {
        if let Some(comma) = fields.first_mut() {
            *comma = b'{';
        }
        fields.push(b'}');
        Self { framing, bytes: fields }
    }

    /// The internal command `command`, with this object as its data.
    pub(crate) fn into_internal(self, command: &str) -> Self {
        let Self { framing, bytes: data } = self;
        let mut bytes = Vec::with_capacity(command.len() + data.len() + 48);
        framing.push_with(&mut bytes, |out| crate::command::push_internal_head(out, command));
        bytes.extend_from_slice(&data);
        bytes.push(b'}');
        Self { framing, bytes }
    }

    /// How it stands here.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The message, as its framing has it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, for whoever knows the framing.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
