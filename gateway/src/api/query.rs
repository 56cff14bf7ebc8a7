//! What stands behind the `?`.
//!
//! In: the text. Out: its fields, and the same as a type. Whose request it is stands there too, which is no affair of
//! what is asked.

use serde::de::DeserializeOwned;

use super::problem::Problem;

/// What every request may have, beside what it asks.
const OURS: [&str; 2] = ["site", "apiKey"];

/// The fields of a query.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds what stood in the path.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// What is asked, as a type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(self.0.iter().filter(|(key, _)| !OURS.contains(&key.as_str())));
        serde_urlencoded::from_str(&text.finish())
            .map_err(|error| Problem::bad_request(format!("the query cannot be understood: {error}")))
    }
}
