//! The JavaScript function that a page names for what it is sent.
//!
//! In: what a query says. Out: a name that can do no harm in a script.

/// The name of a function in a page, for the transports `htmlfile` and `jsonp`.
///
/// It is made of letters, digits, `-`, `_` and `.`, so that it can stand in a script of ours whatever the page
/// that wrote it (SockJS protocol 0.3.3, `HtmlFile.test_invalid_callback`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

impl Callback {
    /// Checks a name, whose percent-encoding is decoded already. `max` is its greatest length in bytes.
    pub fn parse(name: Option<&str>, max: Option<usize>) -> Result<Self, BadCallback> {
        let name = name.filter(|name| !name.is_empty()).ok_or(BadCallback::Missing)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if max.is_some_and(|max| name.len() > max) || !name.bytes().all(is_allowed) {
            return Err(BadCallback::Invalid);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why there is no callback.
///
/// The texts are the protocol's (`HtmlFile.test_no_callback`, `HtmlFile.test_invalid_callback`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    /// The query names none, or an empty one.
    #[error("\"callback\" parameter required")]
    Missing,
    /// It has a character that is not allowed, or is too long.
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_nothing_that_ends_one() {
        for name in ["callback", "_jp.a12-bC.d", "x"] {
            let parsed = Callback::parse(Some(name), Some(32));
            assert_eq!(parsed.as_ref().map(Callback::as_str), Ok(name));
        }
        for (name, max, bad) in [
            (None, None, BadCallback::Missing),
            (Some(""), None, BadCallback::Missing),
            (Some(" "), None, BadCallback::Invalid),
            (Some("*"), None, BadCallback::Invalid),
            (Some("abc("), None, BadCallback::Invalid),
            (Some("a\nb"), None, BadCallback::Invalid),
            (Some("</script>"), None, BadCallback::Invalid),
            (Some("é"), None, BadCallback::Invalid),
            (Some("123456789012345678901234567890123"), Some(32), BadCallback::Invalid),
        ] {
            assert_eq!(Callback::parse(name, max), Err(bad), "{name:?}");
        }
        assert!(Callback::parse(Some(&"a".repeat(33)), None).is_ok());
    }

    #[test]
    fn says_what_the_protocol_says() {
        assert_eq!(BadCallback::Missing.to_string(), r#""callback" parameter required"#);
        assert_eq!(BadCallback::Invalid.to_string(), r#"invalid "callback" parameter"#);
    }
}
