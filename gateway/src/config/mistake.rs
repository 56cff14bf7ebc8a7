//! A mistake in a configuration: where it is, what it is, and what to write instead.

use std::fmt;

use super::tree::Place;

/// What stands somewhere and should not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Mistake {
    /// The file as it was named, or `the environment`.
    pub(crate) file: String,
    /// The line, from 1 on; 0 where there are none.
    pub(crate) line: usize,
    /// The column in characters, from 1 on; 0 where there are none.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
    /// Whether the gateway cannot do with it. What is only of no effect is told, and taken.
    pub(crate) severe: bool,
}

impl Mistake {
    pub(super) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            message: message.into(),
            suggestion: None,
            severe: true,
        }
    }

    /// What is taken all the same.
    pub(super) fn note(place: &Place, message: impl Into<String>) -> Self {
        Self { severe: false, ..Self::new(place, message) }
    }

    #[must_use]
    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// `file:line:column: what is wrong`, and on a second line what to do about it.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n  {suggestion}"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Mistaken(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().filter(|mistake| mistake.severe).try_for_each(|mistake| write!(f, "\n{mistake}"))
    }
}

/// The one of `known` that was probably meant.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.into_iter().map(|name| (strsim::jaro_winkler(&same(written), &same(name)), name));
    let best = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(alike, _)| *alike > 0.8).map(|(_, name)| name)
}

/// `deviceTtl`, `device_ttl` and `device-ttl` are one name.
pub(super) fn same(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_probably_meant() {
        assert_eq!(nearest("authURL", ["apiKey", "authUrl", "authScheme"]), Some("authUrl"));
        assert_eq!(nearest("user_room_prefx", ["userRoomPrefix", "publicChannel"]), Some("userRoomPrefix"));
        assert_eq!(nearest("zebra", ["userRoomPrefix", "publicChannel"]), None);
    }
}
