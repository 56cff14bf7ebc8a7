//! A file's content as a tree of values that know where they stand.
//!
//! In: YAML or TOML. Out: one tree for both, or the mistake at which reading ended. Knows no setting.

mod toml;
mod yaml;

use std::sync::Arc;

use serde_json::Value;

use super::mistake::{Mistake, same};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// The beginning of a file.
    pub(super) fn start(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 1, column: 1 }
    }

    /// Somewhere without lines.
    pub(super) fn of(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 0, column: 0 }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Nothing, as behind `development:`.
    Nothing,
    /// A text, a number, a truth.
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and what stands behind it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Reads a file by what its name ends in: `.toml` is TOML, everything else YAML.
    pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Self, Mistake> {
        let is_toml = file.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("toml"));
        if is_toml { toml::read(file, text) } else { yaml::read(file, text) }
    }

    /// The entries, where this is a map; nothing is an empty one.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            Content::Nothing => Some(&[]),
            _ => None,
        }
    }

    /// The entry of this key, where this is a map.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        let entries = self.entries().unwrap_or_default();
        entries.iter().find(|entry| same(&entry.key) == same(key))
    }

    /// This as the only entry of a map.
    pub(super) fn within(&self, key: &str) -> Self {
        let entry = Entry { key: key.to_owned(), place: self.place.clone(), value: self.clone() };
        Self { place: self.place.clone(), content: Content::Map(vec![entry]) }
    }

    /// The same without places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Nothing => Value::Null,
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect()
            }
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Nothing => "nothing",
            Content::Scalar(Value::String(_)) => "a text",
            Content::Scalar(Value::Bool(_)) => "true or false",
            Content::Scalar(_) => "a number",
            Content::List(_) => "a list",
            Content::Map(_) => "a section",
        }
    }
}
