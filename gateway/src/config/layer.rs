//! One layer of a configuration: a section of a file, or the environment, read setting by setting.
//!
//! In: a section and the settings there are, as `confique` describes them. Out: what could be read, and a mistake for
//! everything else, each with its line. So one mistake hides no other.

use confique::meta::{FieldKind, Meta};
use confique::{Config, Layer};
use serde::de::Deserialize;
use serde::de::value::MapDeserializer;
use serde_json::Value;

use super::mistake::{Mistake, nearest, same};
use super::tree::{Content, Node};

/// How keys are written in a file of this kind, for suggestions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `device_ttl`
    Snake,
    /// `authUrl`
    Camel,
}

/// Reads a section. `passed_over` are keys that are not settings, and not mistakes.
pub(super) fn layer<C: Config>(
    section: &Node,
    style: Style,
    passed_over: &[&str],
    mistakes: &mut Vec<Mistake>,
) -> C::Layer {
    let mut whole = C::Layer::empty();
    let Some(entries) = section.entries() else {
        mistakes.push(
            Mistake::new(&section.place, format!("here is {}, where settings are expected", section.kind()))
                .suggest("write one setting on each line, as in `authUrl: http://…`"),
        );
        return whole;
    };
    for entry in entries {
        if passed_over.iter().any(|key| same(key) == same(&entry.key)) {
            continue;
        }
        let Some(field) = field(&C::META, &entry.key) else {
            mistakes.push(unknown::<C>(entry, style, passed_over));
            continue;
        };
        if matches!(entry.value.content, Content::Nothing) {
            continue;
        }
        let one = std::iter::once((field, entry.value.value()));
        match C::Layer::deserialize(MapDeserializer::<_, serde_json::Error>::new(one)) {
            Ok(one) => whole = whole.with_fallback(one),
            Err(error) => mistakes.push(refused(&entry.key, &entry.value, &error.to_string())),
        }
    }
    whole
}

/// The settings that variables of the environment give. `variable` looks one up.
pub(super) fn variables<C: Config>(
    file: &std::sync::Arc<str>,
    variable: impl Fn(&str) -> Option<String>,
    mistakes: &mut Vec<Mistake>,
) -> C::Layer {
    let mut whole = C::Layer::empty();
    for field in C::META.fields {
        let FieldKind::Leaf { env: Some(name), .. } = field.kind else { continue };
        let Some(text) = variable(name).filter(|text| !text.is_empty()) else { continue };
        let place = super::tree::Place::of(file);
        let node = Node { place, content: Content::Scalar(Value::String(text)) };
        let one = std::iter::once((field.name, node.value()));
        match C::Layer::deserialize(MapDeserializer::<_, serde_json::Error>::new(one)) {
            Ok(one) => whole = whole.with_fallback(one),
            Err(error) => mistakes.push(refused(name, &node, &error.to_string())),
        }
    }
    whole
}

fn field(meta: &'static Meta, key: &str) -> Option<&'static str> {
    meta.fields.iter().map(|field| field.name).find(|name| same(name) == same(key))
}

fn unknown<C: Config>(entry: &super::tree::Entry, style: Style, passed_over: &[&str]) -> Mistake {
    let known: Vec<String> = C::META.fields.iter().map(|field| styled(field.name, style)).collect();
    let mistake = Mistake::new(&entry.place, format!("there is no setting `{}`", entry.key));
    match nearest(&entry.key, known.iter().map(String::as_str).chain(passed_over.iter().copied())) {
        Some(name) => mistake.suggest(format!("did you mean `{name}`?")),
        None => mistake.suggest(format!("the settings here are {}", known.join(", "))),
    }
}

/// A value's own type says what is wrong, and on a second line what to write.
fn refused(key: &str, value: &Node, words: &str) -> Mistake {
    let (wrong, instead) =
        words.split_once('\n').map_or((words, None), |(wrong, instead)| (wrong, Some(instead)));
    let mistake = Mistake::new(&value.place, format!("`{key}`: {wrong}"));
    match instead {
        Some(instead) => mistake.suggest(instead),
        None => mistake,
    }
}

/// A field's name as it is written in files.
pub(super) fn styled(name: &str, style: Style) -> String {
    if style == Style::Snake {
        return name.to_owned();
    }
    let mut parts = name.split('_');
    let mut styled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        styled.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        styled.push_str(letters.as_str());
    }
    styled
}
