//! The arguments of an event or an acknowledgement: JSON texts, one behind the other, as they came.
//!
//! In: an array, or values and bytes. Out: each argument, and the text in which all of them are forwarded.

use bytes::Bytes;

use crate::RawJson;
use crate::json::scanner::Scanner;
use crate::json::slice::RawSlice;

use super::placeholder;

/// Arguments that stand in a packet's text. Copying copies a reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// What stands between the brackets: well-formed values with commas between them.
    inside: &'a str,
}

impl<'a> Arguments<'a> {
    /// The values of an array; `None` for another value.
    pub fn of_array(array: RawSlice<'a>) -> Option<Self> {
        let inside = array.as_str().strip_prefix('[')?.strip_suffix(']')?;
        Some(Self { inside: inside.trim_ascii() })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// The texts of all arguments, as they came, with commas between them: what stands inside of an array.
    pub fn as_str(&self) -> &'a str {
        self.inside
    }

    /// Takes the first one off.
    pub fn split_first(self) -> Option<(RawSlice<'a>, Self)> {
        let mut scanner = Scanner::new(self.inside);
        let first = scanner.value().ok()?;
        let start = first.as_str().as_ptr().addr() - self.inside.as_ptr().addr();
        let behind = self.inside.get(start + first.as_str().len()..)?.trim_ascii_start();
        let inside = behind.strip_prefix(',').unwrap_or_default().trim_ascii_start();
        Some((first, Self { inside }))
    }

    /// One argument after the other, as JSON. Bytes are placeholders: [`ArgumentList::iter`] knows them.
    pub fn iter(self) -> impl Iterator<Item = RawSlice<'a>> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let (first, behind) = rest.split_first()?;
            rest = behind;
            Some(first)
        })
    }

    /// Keeps them, with what was attached.
    pub fn to_list(self, attachments: Vec<Bytes>) -> ArgumentList {
        ArgumentList { inside: self.inside.to_owned(), attachments }
    }
}

/// Arguments to keep or to send, and their attachments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgumentList {
    inside: String,
    attachments: Vec<Bytes>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument<'a> {
    /// A JSON value. Placeholders may stand deeper in it, for [`ArgumentList::attachments`].
    Json(RawSlice<'a>),
    /// Bytes.
    Binary(Bytes),
}

impl ArgumentList {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values of a JSON array; `None` for another value.
    pub fn of_array(array: &RawJson) -> Option<Self> {
        let array = array.as_str().trim_ascii();
        let inside = array.strip_prefix('[')?.strip_suffix(']')?;
        Some(Self { inside: inside.trim_ascii().to_owned(), attachments: Vec::new() })
    }

    /// The same with attachments, for which placeholders stand in it.
    pub fn of_parts(array: &RawJson, attachments: Vec<Bytes>) -> Option<Self> {
        Some(Self { attachments, ..Self::of_array(array)? })
    }

    /// Adds a JSON value.
    #[must_use]
    pub fn json(mut self, value: &RawJson) -> Self {
        self.separate();
        self.inside.push_str(value.as_str());
        self
    }

    /// Adds bytes. Clients refuse a packet with more than [`MAX_ATTACHMENTS`](super::MAX_ATTACHMENTS).
    #[must_use]
    pub fn binary(mut self, bytes: impl Into<Bytes>) -> Self {
        self.separate();
        self.inside.push_str(&placeholder::text(self.attachments.len()));
        self.attachments.push(bytes.into());
        self
    }

    fn separate(&mut self) {
        if !self.inside.is_empty() {
            self.inside.push(',');
        }
    }

    /// The arguments in their text.
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments { inside: &self.inside }
    }

    /// What is attached, in the order of sending.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The arguments as a JSON array. What is attached stands there as placeholders.
    pub fn to_array(&self) -> String {
        format!("[{}]", self.inside)
    }

    /// One argument after the other.
    pub fn iter(&self) -> impl Iterator<Item = Argument<'_>> {
        self.arguments().iter().map(|argument| {
            // Without attachments an object that looks like a placeholder is the application's own.
            let attachment = if self.attachments.is_empty() { None } else { placeholder::number(argument) };
            match attachment.and_then(|number| self.attachments.get(number)) {
                Some(bytes) => Argument::Binary(bytes.clone()),
                None => Argument::Json(argument),
            }
        })
    }
}
