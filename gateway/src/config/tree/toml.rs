//! TOML, by `toml`, whose values know their places.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Content, Entry, Node, Place};
use crate::config::mistake::Mistake;

pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Node, Mistake> {
    let source = Source { file, text };
    let table = DeTable::parse(text).map_err(|error| {
        let place = source.place(error.span().unwrap_or_default());
        Mistake::new(&place, format!("this is not TOML: {}", error.message()))
    })?;
    Ok(Node { place: Place::start(file), content: source.map(table.get_ref()) })
}

struct Source<'a> {
    file: &'a Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            file: Arc::clone(self.file),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }

    fn map(&self, table: &DeTable<'_>) -> Content {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                place: self.place(key.span()),
                value: self.node(value),
            })
            .collect();
        // As they stand in the file.
        entries.sort_by_key(|entry| (entry.place.line, entry.place.column));
        Content::Map(entries)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let content = match value.get_ref() {
            DeValue::String(text) => Content::Scalar(text.as_ref().into()),
            DeValue::Boolean(value) => Content::Scalar((*value).into()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Content::Scalar(parsed.map_or_else(|_| number.as_str().into(), Value::from))
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().parse::<f64>();
                Content::Scalar(parsed.map_or_else(|_| number.as_str().into(), Value::from))
            }
            DeValue::Datetime(time) => Content::Scalar(time.to_string().into()),
            DeValue::Array(items) => Content::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.map(table),
        };
        Node { place: self.place(value.span()), content }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let tree = read(&"a.toml".into(), "port = 80\n\n[sites.newsite]\napiKey = 54321\n").unwrap();
        let [port, sites] = tree.entries().unwrap() else { panic!("two") };
        assert_eq!((port.place.line, port.value.place.column, port.value.value()), (1, 8, 80.into()));
        let [site] = sites.value.entries().unwrap() else { panic!("one") };
        let [key] = site.value.entries().unwrap() else { panic!("one") };
        assert_eq!((&*key.key, key.place.line, key.value.value()), ("apiKey", 4, 54321.into()));
    }

    #[test]
    fn says_where_reading_ended() {
        let mistake = read(&"a.toml".into(), "port = 80\nlisten = \n").unwrap_err();
        assert_eq!(mistake.line, 2, "{mistake}");
    }
}
