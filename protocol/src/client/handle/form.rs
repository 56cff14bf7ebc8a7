//! The authentication data as a query, the way the original clients write it.
//!
//! In: a JSON object. Out: `a=1&b[c]=d`, percent-encoded. Nested objects and arrays become nested keys.

use form_urlencoded::Serializer;
use serde_json::Value;

/// Writes the fields as a query, without a leading `?`.
pub fn encode(fields: &serde_json::Map<String, Value>) -> String {
    let mut form = Serializer::new(String::new());
    for (key, value) in fields {
        append(&mut form, key, value);
    }
    form.finish()
}

/// The value's depth is bounded: it comes from `serde_json`, and from our own user.
fn append(form: &mut Serializer<'_, String>, key: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                append(form, &format!("{key}[{inner}]"), value);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                append(form, &format!("{key}[{index}]"), value);
            }
        }
        Value::String(text) => {
            form.append_pair(key, text);
        }
        // The original clients leave these out: they count as empty objects there.
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            form.append_pair(key, &value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(value: &Value) -> String {
        value.as_object().map(encode).unwrap_or_default()
    }

    #[test]
    fn nested_keys_stand_in_brackets() {
        let value = json!({ "a": 1, "b": { "c": "d e", "f": [true, "x&y"] }, "n": null });
        assert_eq!(encoded(&value), "a=1&b%5Bc%5D=d+e&b%5Bf%5D%5B0%5D=true&b%5Bf%5D%5B1%5D=x%26y");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(encoded(&json!({})), "");
    }
}
