//! Forms with lists and objects in them: `rooms[]=a&args[1][id]=7`, as Rails, PHP and jQuery write them.
//!
//! ```text
//! rooms[]=a&rooms[]=b            {"rooms": ["a", "b"]}              also rooms=a&rooms=b, rooms[0]=a&rooms[1]=b
//! args[]=user&args[1][id]=7      {"args": ["user", {"id": "7"}]}    jQuery
//! args[]=user&args[][id]=7       the same                           Rails
//! ```
//!
//! In: the text of a form. Out: the values, in which every leaf is a text. It must not know what a field means.

use indexmap::IndexMap;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// The most fields of a form.
pub(super) const MOST_FIELDS: usize = 10_000;
/// How deep objects and lists may be nested.
pub(super) const DEEPEST: usize = 32;

/// Why a form cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("a form has at most {MOST_FIELDS} fields")]
    TooMany,
    #[error("lists and objects in a form are nested at most {DEEPEST} deep")]
    TooDeep,
}

/// A value of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Branch(Branch),
}

/// A list, or an object: which of them, only the whole form says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Branch {
    entries: IndexMap<String, Value>,
    /// Where the next `[]` goes: behind the largest number so far.
    next: u64,
    /// The entry that the last `[]` made.
    pushed: Option<u64>,
}

/// One step into a key: `[name]`, or `[]`.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Push,
}

/// Reads a form.
pub(super) fn parse(text: &[u8]) -> Result<Branch, FormError> {
    let mut form = Branch::default();
    for (at, (key, value)) in form_urlencoded::parse(text).enumerate() {
        if at >= MOST_FIELDS {
            return Err(FormError::TooMany);
        }
        let (name, steps) = steps(&key)?;
        form.put(Step::Name(name), &steps, value.into_owned());
    }
    Ok(form)
}

/// Takes `args[1][id]` apart. What is no bracket stands for itself.
fn steps(key: &str) -> Result<(&str, Vec<Step<'_>>), FormError> {
    let Some(open) = key.find('[').filter(|&at| at > 0 && key.ends_with(']')) else {
        return Ok((key, Vec::new()));
    };
    let (name, mut rest) = key.split_at(open);
    let mut steps = Vec::new();
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((step, behind)) = inner.split_once(']') else { return Ok((key, Vec::new())) };
        if steps.len() >= DEEPEST {
            return Err(FormError::TooDeep);
        }
        steps.push(if step.is_empty() { Step::Push } else { Step::Name(step) });
        rest = behind;
    }
    if rest.is_empty() { Ok((name, steps)) } else { Ok((key, Vec::new())) }
}

impl Branch {
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.entries.shift_remove(name)
    }

    fn put(&mut self, step: Step<'_>, rest: &[Step<'_>], text: String) {
        let key = match step {
            Step::Name(name) => name.to_owned(),
            Step::Push => self.push(rest).to_string(),
        };
        if let Some(number) = index(&key) {
            self.next = self.next.max(number.saturating_add(1));
        }
        match rest {
            [] => match self.entries.entry(key) {
                indexmap::map::Entry::Vacant(entry) => {
                    entry.insert(Value::Text(text));
                }
                // The same key again makes a list of it.
                indexmap::map::Entry::Occupied(mut entry) => {
                    entry.get_mut().put(Step::Push, &[], text);
                }
            },
            [step, rest @ ..] => {
                let entry = self.entries.entry(key).or_insert_with(|| Value::Branch(Self::default()));
                entry.put(*step, rest, text);
            }
        }
    }

    /// Where `[]` stands. Of `a[][id]=1&a[][age]=2` both are of one object, until a key comes again.
    fn push(&mut self, rest: &[Step<'_>]) -> u64 {
        if let Some(pushed) = self.pushed
            && !rest.is_empty()
            && let Some(Value::Branch(last)) = self.entries.get(&pushed.to_string())
            && last.has_room(rest)
        {
            return pushed;
        }
        self.pushed = Some(self.next);
        self.next
    }

    /// Whether nothing stands where these steps lead.
    fn has_room(&self, steps: &[Step<'_>]) -> bool {
        match steps {
            [] => false,
            [Step::Push, ..] => true,
            [Step::Name(name), rest @ ..] => match self.entries.get(*name) {
                None => true,
                Some(Value::Branch(inner)) => inner.has_room(rest),
                Some(Value::Text(_)) => false,
            },
        }
    }

    /// As a list, in the order of its numbers; `None` for an object.
    fn list(&self) -> Option<Vec<&Value>> {
        let mut numbered: Vec<(u64, &Value)> =
            self.entries.iter().map(|(key, value)| Some((index(key)?, value))).collect::<Option<_>>()?;
        numbered.sort_by_key(|&(number, _)| number);
        Some(numbered.into_iter().map(|(_, value)| value).collect())
    }
}

/// The number that a key is, as it is written without needless zeros.
fn index(key: &str) -> Option<u64> {
    let number = key.parse().ok()?;
    (key.bytes().all(|byte| byte.is_ascii_digit()) && (key == "0" || !key.starts_with('0'))).then_some(number)
}

impl Value {
    /// Puts a text into this branch. A text that stands here alone becomes the first entry of one.
    fn put(&mut self, step: Step<'_>, rest: &[Step<'_>], text: String) {
        match self {
            Self::Branch(branch) => branch.put(step, rest, text),
            Self::Text(first) => {
                let mut branch = Branch::default();
                branch.put(Step::Push, &[], std::mem::take(first));
                branch.put(step, rest, text);
                *self = Self::Branch(branch);
            }
        }
    }

    /// The texts of a list of texts, or of one text.
    pub(super) fn into_texts(self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::Branch(branch) => {
                let text = |value: &Self| match value {
                    Self::Text(text) => Some(text.clone()),
                    Self::Branch(_) => None,
                };
                branch.list()?.into_iter().map(text).collect()
            }
        }
    }

    /// The text, if it is one.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Branch(_) => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Branch(branch) => branch.serialize(serializer),
        }
    }
}

impl Serialize for Branch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(list) = self.list() {
            let mut seq = serializer.serialize_seq(Some(list.len()))?;
            for value in list {
                seq.serialize_element(value)?;
            }
            return seq.end();
        }
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn json(form: &str) -> String {
        serde_json::to_string(&parse(form.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn reads_lists_however_they_are_written() {
        for form in [
            "r[]=a&r[]=b",
            "r%5B%5D=a&r%5B%5D=b",
            "r=a&r=b",
            "r[0]=a&r[1]=b",
            "r[1]=b&r[0]=a",
            "r[3]=a&r[7]=b",
            "r[]=a&r[1]=b",
        ] {
            assert_eq!(json(form), r#"{"r":["a","b"]}"#, "{form}");
        }
        assert_eq!(json("r=a"), r#"{"r":"a"}"#);
        assert_eq!(json("r[]=a"), r#"{"r":["a"]}"#);
    }

    #[test]
    fn reads_objects_in_lists_as_each_library_writes_them() {
        let same = r#"{"args":["user",{"id":"1","age":"5"}]}"#;
        // PHP's http_build_query, qs
        assert_eq!(json("args%5B0%5D=user&args%5B1%5D%5Bid%5D=1&args%5B1%5D%5Bage%5D=5"), same);
        // jQuery.param
        assert_eq!(json("args[]=user&args[1][id]=1&args[1][age]=5"), same);
        // Rails' to_query
        assert_eq!(json("args[]=user&args[][id]=1&args[][age]=5"), same);
        // Rails: a key that comes again begins the next object.
        assert_eq!(
            json("a[][id]=1&a[][age]=5&a[][id]=2&a[][t][]=x&a[][t][]=y"),
            r#"{"a":[{"id":"1","age":"5"},{"id":"2","t":["x","y"]}]}"#
        );
        assert_eq!(json("a[b][c]=1&a[b][d]=2&a[e]=+x%C3%BC"), r#"{"a":{"b":{"c":"1","d":"2"},"e":" xü"}}"#);
    }

    #[test]
    fn takes_what_is_no_bracket_for_a_name() {
        assert_eq!(
            json("a[=1&b]=2&[c]=3&d[e]f=4&g[h=5"),
            r#"{"a[":"1","b]":"2","[c]":"3","d[e]f":"4","g[h":"5"}"#
        );
        assert_eq!(json("a[01]=x"), r#"{"a":{"01":"x"}}"#);
        assert_eq!(json("a=1&a[b]=2"), r#"{"a":{"0":"1","b":"2"}}"#);
        assert_eq!(json("a[b]=2&a=1"), r#"{"a":{"b":"2","0":"1"}}"#);
        assert_eq!(json("a[18446744073709551615]=1&a[]=2"), r#"{"a":[["1","2"]]}"#);
    }

    #[test]
    fn whatever_comes_is_read_or_refused() {
        use rand::Rng;
        use rand::rngs::StdRng;
        let mut random: StdRng = rand::SeedableRng::seed_from_u64(7);
        let parts = ["a", "b", "[", "]", "[]", "[0]", "[1]", "[a]", "=", "&", "%5B", "%", "+", "1", "\u{fc}"];
        for _ in 0..20_000 {
            let length = random.random_range(0..24);
            let form: String = (0..length).map(|_| parts[random.random_range(0..parts.len())]).collect();
            let read = serde_json::to_string(&parse(form.as_bytes()).unwrap()).unwrap();
            let value: serde_json::Value = serde_json::from_str(&read).unwrap();
            // Nothing is lost: each field is a text somewhere.
            let texts = form_urlencoded::parse(form.as_bytes()).count();
            assert_eq!(leaves(&value), texts, "{form} {read}");
        }
    }

    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => items.iter().map(leaves).sum(),
            serde_json::Value::Object(fields) => fields.values().map(leaves).sum(),
            _ => 1,
        }
    }

    #[test]
    fn bounds_a_form() {
        let many = "a=1&".repeat(MOST_FIELDS + 1);
        assert_eq!(parse(many.as_bytes()), Err(FormError::TooMany));
        let deep = format!("a{}=1", "[x]".repeat(DEEPEST + 1));
        assert_eq!(parse(deep.as_bytes()), Err(FormError::TooDeep));
        let as_deep_as_may_be = format!("a{}=1", "[]".repeat(DEEPEST));
        assert!(parse(as_deep_as_may_be.as_bytes()).is_ok());
    }
}
