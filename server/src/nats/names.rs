//! How names stand in subjects, keys and names of streams.
//!
//! ```text
//! channel  news.sport:ski        subject  ts.newsite.p.news.sport=3Aski
//! pattern  news.*                subject  ts.newsite.p.news.*
//! ```
//!
//! In: names of any text. Out: tokens that hold nothing which NATS gives a meaning to, each from one name only, and back.
//! A channel's segments stay tokens of their own, so that a pattern of channels is a wildcard of NATS. Pure.

use tokensocket_protocol::{Channel, Pattern};

/// What begins the bytes that stand by their number.
const ESCAPE: u8 = b'=';

/// A name as one token, which has letters, digits, `-`, `_` and `=`, and is never empty.
pub(super) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len() + 8);
    push_token(&mut token, name, b"-_");
    token
}

/// The name that a token stands for; `None` when it is no token of ours.
pub(super) fn name(token: &str) -> Option<String> {
    let mut name = Vec::with_capacity(token.len());
    if token == "=" {
        return Some(String::new());
    }
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            ESCAPE => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                name.push(high << 4 | low);
            }
            b'-' | b'_' => name.push(byte),
            _ if byte.is_ascii_alphanumeric() => name.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(name).ok().filter(|name| self::token(name) == token)
}

/// A channel's name as tokens, one for each of its segments.
pub(super) fn channel_tokens(channel: &Channel) -> String {
    tokens(channel.as_str(), |tokens, segment, _| push_token(tokens, segment, b"-_"))
}

/// The channel that these tokens stand for.
pub(super) fn channel_of(tokens: &str) -> Option<Channel> {
    let segments: Option<Vec<String>> = tokens.split('.').map(name).collect();
    Channel::new(segments?.join(".")).ok()
}

/// A pattern as a wildcard of NATS.
pub(super) fn pattern_tokens(pattern: &Pattern) -> String {
    tokens(pattern.as_str(), |tokens, segment, is_last| match segment {
        "*" => tokens.push('*'),
        ">" if is_last => tokens.push('>'),
        segment => push_token(tokens, segment, b"-_"),
    })
}

fn tokens(name: &str, push: impl Fn(&mut String, &str, bool)) -> String {
    let mut tokens = String::with_capacity(name.len() + 8);
    let mut segments = name.split('.').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        push(&mut tokens, segment, is_last);
        if !is_last {
            tokens.push('.');
        }
    }
    tokens
}

fn push_token(token: &mut String, name: &str, plain: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if name.is_empty() {
        token.push(char::from(ESCAPE));
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            token.push(char::from(byte));
        } else {
            token.push(char::from(ESCAPE));
            token.push(char::from(DIGITS[usize::from(byte >> 4)]));
            token.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What all subjects and streams of one namespace begin with.
#[derive(Debug, Clone)]
pub(super) struct Names {
    subject: String,
    stream: String,
}

impl Names {
    pub(super) fn new(prefix: &str, namespace: &str) -> Self {
        let mut stream = String::new();
        // Without underscores, since they divide.
        push_token(&mut stream, prefix, b"-");
        stream.push('_');
        push_token(&mut stream, namespace, b"-");
        Self { subject: format!("{}.{}", token(prefix), token(namespace)), stream }
    }

    /// The subject of these tokens in this namespace.
    pub(super) fn subject(&self, tokens: impl std::fmt::Display) -> String {
        format!("{}.{tokens}", self.subject)
    }

    /// The name of this namespace's stream, or bucket, for something.
    pub(super) fn stream(&self, of: impl std::fmt::Display) -> String {
        format!("{}_{of}", self.stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use proptest::prelude::*;

    use super::*;

    /// Whether NATS delivers what is published on `subject` to who follows `wildcard`.
    fn matches(wildcard: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        let mut wanted = wildcard.split('.').peekable();
        while let Some(want) = wanted.next() {
            let Some(token) = tokens.next() else { return false };
            match want {
                ">" if wanted.peek().is_none() => return true,
                "*" => {}
                want if want == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        let tokens = |name| channel_tokens(&Channel::new(name).unwrap());
        assert_eq!(tokens("news.sport-1.a_b"), "news.sport-1.a_b");
        assert_eq!(tokens("room:7"), "room=3A7");
        assert_eq!(tokens(".a..é"), "=.a.=.=C3=A9");
        assert_eq!(tokens("a.*.>"), "a.=2A.=3E");
        assert_eq!(pattern_tokens(&Pattern::new("a.*.x y.>").unwrap()), "a.*.x=20y.>");
        assert_eq!(pattern_tokens(&Pattern::new("a.>.b").unwrap()), "a.=3E.b");
    }

    #[test]
    fn what_is_no_token_of_ours_is_nobody_s_name() {
        for token in ["", "a b", "=4", "=3a", "=41", "é", "a=", "=FF"] {
            assert_eq!(name(token), None, "{token}");
        }
    }

    #[test]
    fn namespaces_share_nothing() {
        let names = [("a_b", "c"), ("a", "b_c"), ("a", "b.c"), ("a.b", "c"), ("", "a"), ("a", "")];
        let all: std::collections::HashSet<_> = names
            .iter()
            .flat_map(|(prefix, namespace)| {
                let names = Names::new(prefix, namespace);
                [names.subject("x"), names.stream("x")]
            })
            .collect();
        assert_eq!(all.len(), 2 * names.len(), "{all:?}");
    }

    fn channels() -> impl Strategy<Value = Channel> {
        let piece = prop_oneof![
            Just(".".to_owned()),
            Just("*".to_owned()),
            Just(">".to_owned()),
            "[^\\p{Cc}]{0,4}",
            "[a-c=_3A -]{0,3}"
        ];
        proptest::collection::vec(piece, 1..8)
            .prop_filter_map("a channel's name", |pieces| Channel::new(pieces.concat()).ok())
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_or_collides(one in channels(), other in channels()) {
            let (tokens, others) = (channel_tokens(&one), channel_tokens(&other));
            prop_assert!(tokens.split('.').all(|token| !token.is_empty()), "{tokens}");
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte);
            prop_assert!(tokens.bytes().all(is_plain), "{tokens}");
            prop_assert_eq!(tokens == others, one == other);
            prop_assert_eq!(channel_of(&tokens), Some(one));
        }

        #[test]
        fn a_pattern_is_a_wildcard(pattern in channels(), channel in channels()) {
            let pattern = Pattern::new(pattern.as_str()).unwrap();
            let is_covered = matches(&pattern_tokens(&pattern), &channel_tokens(&channel));
            prop_assert_eq!(is_covered, pattern.covers(channel.as_str()));
        }
    }
}
