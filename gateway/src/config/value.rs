//! What settings are made of: texts that may be written as numbers, times, addresses.
//!
//! In: a value as it stands in a file, or in a variable, where all are texts. Out: the value, or what is wrong with it
//! and, on a second line, what to write instead.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use url::Url;

/// A text; a number is taken for its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(value) => Ok(Self(value.to_string())),
            _ => Err(wrong("it is not a text", "write one value, in quotes if it has special characters")),
        }
    }
}

/// One text, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts(pub(super) Vec<Text>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = match Value::deserialize(deserializer)? {
            Value::Array(items) => items,
            item => vec![item],
        };
        let texts: Result<_, _> = items.into_iter().map(Text::deserialize).collect();
        texts.map(Self).map_err(D::Error::custom)
    }
}

impl Texts {
    pub(super) fn into_strings(self) -> Vec<String> {
        self.0.into_iter().map(|text| text.0).filter(|text| !text.is_empty()).collect()
    }
}

/// Addresses by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::Object(entries) = Value::deserialize(deserializer)? else {
            return Err(wrong("it is not a section", "write one `name: http://…` on each line"));
        };
        let source = |(name, url)| HttpUrl::deserialize(url).map(|HttpUrl(url)| (name, url));
        entries
            .into_iter()
            .map(source)
            .collect::<Result<_, serde_json::Error>>()
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// What event clients may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventMode {
    /// Nothing: there are none.
    Off,
    /// Ask for data, and send events.
    On,
    /// Ask for data.
    Data,
    /// Send events.
    Passthrough,
}

impl<'de> Deserialize<'de> for EventMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some("data") => return Ok(Self::Data),
            Some("passthrough") => return Ok(Self::Passthrough),
            _ => {}
        }
        match Truth::deserialize(value.clone()) {
            Ok(Truth(true)) => Ok(Self::On),
            Ok(Truth(false)) => Ok(Self::Off),
            Err(_) => Err(wrong(&format!("{value} is no mode"), "write false, true, data or passthrough")),
        }
    }
}

/// Where something is below a site's name: `/live`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(pub(super) String);

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let allowed =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '~');
        let is_part = |part: &str| !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.');
        if text.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_part)) {
            return Ok(Self(text));
        }
        let tame: String = text.chars().filter(|&letter| allowed(letter) || letter == '/').collect();
        let tame = tame.trim_matches(['/', '.']);
        let tame = if tame.is_empty() { "events" } else { tame };
        Err(wrong(&format!("{text} is not a path"), &format!("write it as /{tame}")))
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truth(pub(super) bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = value.as_str().map(str::to_ascii_lowercase);
        match (value.as_bool(), text.as_deref()) {
            (Some(value), _) => Ok(Self(value)),
            (_, Some("true" | "yes" | "on" | "1")) => Ok(Self(true)),
            (_, Some("false" | "no" | "off" | "0")) => Ok(Self(false)),
            _ => Err(wrong(&format!("{value} is neither true nor false"), "write true or false")),
        }
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        number.map(Self).ok_or_else(|| wrong(&format!("{value} is not a whole number"), "write digits only"))
    }
}

/// A time: seconds, or with a unit, such as `250ms` or `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        let time = match (seconds, value.as_str()) {
            (Some(seconds), _) => Duration::try_from_secs_f64(seconds).ok(),
            (None, Some(text)) => humantime::parse_duration(text.trim()).ok(),
            _ => None,
        };
        time.map(Self).ok_or_else(|| {
            wrong(
                &format!("{value} is not a time"),
                "write seconds, or a time with its unit, such as 250ms, 5s or 1h",
            )
        })
    }
}

/// Where another server answers: `http` or `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpUrl(pub(super) String);

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let is_placeholder = text.contains('<');
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && !is_placeholder => {
                Ok(Self(text))
            }
            _ if is_placeholder => {
                Err(wrong(&format!("{text} still has a placeholder"), "put your server's address there"))
            }
            Ok(url) if text.contains("://") => Err(wrong(
                &format!("{text} is neither http nor https but {}", url.scheme()),
                "begin with http:// or https://",
            )),
            Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => Err(wrong(
                &format!("{text} is not a whole address"),
                &format!("did you mean http://{}?", text.trim_start_matches('/')),
            )),
            Err(error) => {
                Err(wrong(&format!("{text} is not an address: {error}"), "write it as http://host/path"))
            }
        }
    }
}

/// Where to listen: `ADDRESS:PORT`, or a port, on every address of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let port = text.parse::<u16>().map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        let address = port.or_else(|_| text.replace("localhost:", "127.0.0.1:").parse());
        address.map(Self).map_err(|_| {
            wrong(
                &format!("{text} is neither a port nor an address"),
                "write it as 1337 or 127.0.0.1:1337; a port is at most 65535",
            )
        })
    }
}

pub(super) fn wrong<E: Error>(what: &str, instead: &str) -> E {
    E::custom(format_args!("{what}\n{instead}"))
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
        T::deserialize(value).map_err(|error| error.to_string())
    }

    #[test]
    fn values_may_be_written_as_people_write_them() {
        assert_eq!(read::<Text>(json!(54321)).unwrap().0, "54321");
        assert_eq!(read::<Truth>(json!("yes")).unwrap(), Truth(true));
        assert_eq!(read::<Seconds>(json!("3600")).unwrap().0, Duration::from_hours(1));
        assert_eq!(read::<Seconds>(json!(0.5)).unwrap().0, Duration::from_millis(500));
        assert_eq!(read::<Seconds>(json!("250ms")).unwrap().0, Duration::from_millis(250));
        assert_eq!(read::<Listen>(json!(80)).unwrap().0.to_string(), "[::]:80");
        assert_eq!(read::<Listen>(json!("localhost:80")).unwrap().0.to_string(), "127.0.0.1:80");
        assert_eq!(read::<Texts>(json!([1, "b"])).unwrap().0.len(), 2);
    }

    #[test]
    fn what_is_wrong_comes_with_what_is_right() {
        let wrong = read::<HttpUrl>(json!("newsite.com/rooms")).unwrap_err();
        assert!(wrong.ends_with("did you mean http://newsite.com/rooms?"), "{wrong}");
        for value in [
            json!("ftp://a/b"),
            json!("https://<path to api>/x"),
            json!("http://"),
            json!("localhost:3000/x"),
        ] {
            assert!(read::<HttpUrl>(value.clone()).unwrap_err().contains('\n'), "{value}");
        }
        assert!(read::<Listen>(json!(70_000)).is_err());
        assert!(read::<Seconds>(json!("soon")).is_err());
        assert!(read::<Seconds>(json!(-1)).is_err());
        assert!(read::<Number>(json!(-1)).is_err());
        assert!(read::<Truth>(json!("maybe")).is_err());
    }
}
