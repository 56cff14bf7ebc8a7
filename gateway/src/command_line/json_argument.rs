//! An argument that is JSON: on the command line, or `-` for standard input.
//!
//! In: what the shell left of it. Out: one JSON text, or words on how to quote it.

use std::io::{self, Read};
use std::str::FromStr;

use serde_json::error::Category;
use tokensocket_client::RawJson;

/// JSON that was given as an argument, or is still to be read.
#[derive(Clone, Debug)]
pub(super) enum JsonArgument {
    /// Given.
    Given(RawJson),
    /// To be read from standard input.
    Stdin,
}

/// Why an argument is no JSON.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonArgumentError {
    /// The text is none.
    #[error("{why}\n{hint}")]
    NotJson {
        /// What the parser said.
        why: serde_json::Error,
        /// What to write instead.
        hint: String,
    },
    /// What came from standard input is none.
    #[error("standard input is not one JSON text: {0}")]
    StdinNotJson(serde_json::Error),
    /// Standard input cannot be read.
    #[error("standard input cannot be read: {0}")]
    Stdin(#[from] io::Error),
}

impl FromStr for JsonArgument {
    type Err = JsonArgumentError;

    fn from_str(text: &str) -> Result<Self, JsonArgumentError> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        RawJson::from_text(text.to_owned())
            .map(Self::Given)
            .map_err(|why| JsonArgumentError::NotJson { hint: hint(text, &why), why })
    }
}

impl JsonArgument {
    /// The JSON text. Blocks while it is read from standard input, up to its end.
    pub(super) fn read(self) -> Result<RawJson, JsonArgumentError> {
        match self {
            Self::Given(json) => Ok(json),
            Self::Stdin => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                RawJson::from_text(text.trim().to_owned()).map_err(JsonArgumentError::StdinNotJson)
            }
        }
    }
}

/// How to write what was probably meant. The shell takes quotes away that are not quoted themselves.
fn hint(text: &str, why: &serde_json::Error) -> String {
    let looks_structured = text.starts_with(['{', '[', '"']);
    if looks_structured {
        let cut = if why.classify() == Category::Eof { "; this one ends too early" } else { "" };
        return format!(
            "Put JSON in single quotes, so that the shell keeps its double quotes: '{{\"a\":1}}'{cut}"
        );
    }
    let quoted = serde_json::Value::from(text).to_string().replace('\'', r"'\''");
    format!("A text needs double quotes, and single ones for the shell around them: '{quoted}'")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<JsonArgument>().unwrap_err().to_string()
    }

    #[test]
    fn says_how_to_quote_a_text_that_is_no_json() {
        assert!(complaint("hello").ends_with(r#"'"hello"'"#), "{}", complaint("hello"));
        assert!(complaint("it's").ends_with(r#"'"it'\''s"'"#), "{}", complaint("it's"));
    }

    #[test]
    fn says_that_the_shell_took_the_quotes() {
        assert!(complaint("{a:1}").contains(r#"'{"a":1}'"#), "{}", complaint("{a:1}"));
        assert!(complaint(r#"{"a":"#).contains("too early"), "{}", complaint(r#"{"a":"#));
    }
}
