//! YAML, by `serde-saphyr`, whose values know their places.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::{Content, Entry, Node, Place};
use crate::config::mistake::Mistake;

pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Node, Mistake> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node { place: Place::start(file), content: Content::Nothing });
    }
    let read: Spanned<Raw> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(|| Place::start(file), |location| place(file, location));
        let plain = error.without_snippet().to_string();
        // It says the place again, behind what is wrong.
        let words = plain.rsplit_once(" at line ").map_or(&*plain, |(words, _)| words);
        // A tab is noticed late, if at all as one.
        let tab = text.lines().position(|line| line.trim_start_matches(' ').starts_with('\t'));
        match tab.map(|line| line + 1).filter(|line| line.abs_diff(place.line) <= 1) {
            Some(line) => Mistake::new(
                &Place { line, column: 1, ..place },
                "this is not YAML: the line begins with a tab",
            )
            .suggest("indent with spaces: YAML takes no tabs"),
            None => Mistake::new(&place, format!("this is not YAML: {words}")).suggest(
                "look at this line and the one before it, at indentation, quotes and colons above all",
            ),
        }
    })?;
    Ok(node(file, read))
}

fn place(file: &Arc<str>, location: Location) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Place { file: Arc::clone(file), line: number(location.line()), column: number(location.column()) }
}

fn node(file: &Arc<str>, read: Spanned<Raw>) -> Node {
    let content = match read.value {
        Raw::Nothing => Content::Nothing,
        Raw::Scalar(value) => Content::Scalar(value),
        Raw::List(items) => Content::List(items.into_iter().map(|item| node(file, item)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| Entry {
                place: place(file, key.referenced),
                key: key.value,
                value: node(file, value),
            };
            Content::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { place: place(file, read.referenced), content }
}

enum Raw {
    Nothing,
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn file() -> Arc<str> {
        "a.yml".into()
    }

    #[test]
    fn every_value_knows_its_line() {
        let tree = read(&file(), "# sites\nnewsite:\n  apiKey: 54321\n  open: yes\nempty:\n").unwrap();
        let [site, empty] = tree.entries().unwrap() else { panic!("two") };
        assert_eq!((&*site.key, site.place.line), ("newsite", 2));
        let [key, open] = site.value.entries().unwrap() else { panic!("two") };
        assert_eq!((&*key.key, key.value.place.line, key.value.place.column), ("apiKey", 3, 11));
        assert_eq!(key.value.value(), 54321);
        assert_eq!(open.place.line, 4);
        assert!(matches!(empty.value.content, Content::Nothing));
    }

    #[test]
    fn says_where_reading_ended() {
        for (text, line) in [("a: 1\nb: [1,\n", 3), ("a: 1\n\tb: 2\n", 2), ("a: 1\na: 2\n", 2)] {
            let mistake = read(&file(), text).unwrap_err();
            assert!(mistake.line.abs_diff(line) <= 1, "{text:?}: {mistake}");
        }
    }
}
