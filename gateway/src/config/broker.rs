//! The engine that several gateways share, as it was configured.
//!
//! In: a section `broker`, or one address; the variables `BROKER_URL` and the original's `REDIS_URL`. Out: a
//! [`BrokerConfig`], or what is wrong with it. Nothing is connected to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use confique::Config;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use tokensocket_server::Outage;

use super::site::Secret;
use super::value::{Number, Seconds, Text, wrong};

/// The least that a stream of histories may keep.
const LEAST_HISTORY: u64 = 1 << 20;
/// How long a scheme may be to be repeated: nobody's password.
const MAX_SCHEME: usize = 16;

/// What an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrokerKind {
    Redis,
    Nats,
}

/// How an engine is reached and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerConfig {
    /// Where it is; with a password perhaps.
    pub(crate) url: BrokerUrl,
    /// What all names there begin with.
    pub(crate) prefix: String,
    /// Who is trusted to say who the engine is, in place of those whom the system trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// By what NATS knows this gateway.
    pub(crate) credentials_file: Option<PathBuf>,
    /// The certificate that NATS is shown, and its key.
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// By what Sentinels know this gateway: a user, if they have any, and a password.
    pub(crate) sentinel: (Option<String>, Option<Secret>),
    /// What becomes of publications while it is away.
    pub(crate) outage: Outage,
    /// After how long a gateway that says nothing counts as dead.
    pub(crate) lease: Duration,
    /// On how many servers of a cluster NATS keeps things.
    pub(crate) replicas: usize,
    /// Among how many streams NATS divides histories.
    pub(crate) history_streams: usize,
    /// How many bytes each of these keeps at most.
    pub(crate) max_history_bytes: Option<u64>,
}

impl BrokerConfig {
    /// An engine at this address, used as by default.
    pub(crate) fn at(url: BrokerUrl) -> Self {
        Self {
            url,
            prefix: "ts".to_owned(),
            ca_file: None,
            credentials_file: None,
            client_certificate: None,
            sentinel: (None, None),
            outage: Outage::Refuse,
            lease: Duration::from_secs(30),
            replicas: 1,
            history_streams: 1,
            max_history_bytes: None,
        }
    }

    pub(crate) fn kind(&self) -> BrokerKind {
        self.url.kind
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis (the feature `redis`)",
            Self::Nats => "NATS (the feature `nats`)",
        })
    }
}

/// The section as it is written.
#[derive(Config)]
#[config(layer_attr(derive(Debug)))]
pub(super) struct Written {
    #[config(env = "BROKER_URL")]
    pub(super) url: Option<BrokerUrl>,
    #[config(default = "ts")]
    pub(super) prefix: Text,
    pub(super) ca_file: Option<Text>,
    pub(super) credentials_file: Option<Text>,
    pub(super) client_certificate: Option<Text>,
    pub(super) client_key: Option<Text>,
    pub(super) sentinel_user: Option<Text>,
    #[config(env = "BROKER_SENTINEL_PASSWORD")]
    pub(super) sentinel_password: Option<Hidden>,
    #[config(default = "refuse")]
    pub(super) outage: WhenAway,
    #[config(default = 100_000)]
    pub(super) buffer_messages: Number,
    #[config(default = 67_108_864)]
    pub(super) buffer_bytes: Number,
    #[config(default = 30)]
    pub(super) lease: Seconds,
    #[config(default = 1)]
    pub(super) replicas: Number,
    #[config(default = 1)]
    pub(super) history_streams: Number,
    pub(super) max_history_bytes: Option<Number>,
}

impl Written {
    /// All of it, at the address that is written here or else this one.
    pub(super) fn at(self, other: Option<BrokerUrl>) -> Option<BrokerConfig> {
        let count = |Number(number): Number| usize::try_from(number).unwrap_or(usize::MAX);
        Some(BrokerConfig {
            url: self.url.or(other)?,
            prefix: self.prefix.0,
            ca_file: self.ca_file.map(|Text(path)| path.into()),
            credentials_file: self.credentials_file.map(|Text(path)| path.into()),
            client_certificate: self
                .client_certificate
                .zip(self.client_key)
                .map(|(Text(certificate), Text(key))| (certificate.into(), key.into())),
            sentinel: (
                self.sentinel_user.map(|Text(user)| user),
                self.sentinel_password.map(|Hidden(password)| password),
            ),
            outage: match self.outage {
                WhenAway::Refuse => Outage::Refuse,
                WhenAway::Buffer => {
                    Outage::Buffer { messages: count(self.buffer_messages), bytes: count(self.buffer_bytes) }
                }
            },
            lease: self.lease.0,
            replicas: count(self.replicas),
            history_streams: count(self.history_streams),
            max_history_bytes: self.max_history_bytes.map(|Number(bytes)| bytes),
        })
    }

    /// A setting, what is wrong with it, and what to write instead.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let is_name = |text: &str| {
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            (1..=32).contains(&text.len()) && text.chars().all(allowed)
        };
        let has_lease = (Duration::from_secs(1)..=Duration::from_mins(1)).contains(&self.lease.0);
        let mistakes = [
            (
                !is_name(&self.prefix.0),
                "prefix",
                "names there cannot begin with that",
                "use up to 32 letters, digits, - and _",
            ),
            (
                !has_lease,
                "lease",
                "that is no time after which somebody is dead",
                "write a time from 1s to 1m",
            ),
            (
                !matches!(self.replicas.0, 1 | 3 | 5),
                "replicas",
                "nothing is kept on so many servers",
                "write 1, 3 or 5",
            ),
            (
                self.client_certificate.is_some() && self.client_key.is_none(),
                "client_certificate",
                "a certificate is shown by its key",
                "add `clientKey:`, the file with its key in PEM",
            ),
            (
                self.client_key.is_some() && self.client_certificate.is_none(),
                "client_key",
                "this is the key of no certificate",
                "add `clientCertificate:`, the file with the certificate in PEM",
            ),
            (
                self.sentinel_user.is_some() && self.sentinel_password.is_none(),
                "sentinel_user",
                "a user has a password",
                "add `sentinelPassword:`, or set BROKER_SENTINEL_PASSWORD",
            ),
            (
                !(1..=64).contains(&self.history_streams.0),
                "history_streams",
                "histories are not divided among so many streams",
                "write a number from 1 to 64",
            ),
            (
                self.max_history_bytes.is_some_and(|bytes| bytes.0 < LEAST_HISTORY),
                "max_history_bytes",
                "hardly a history has room in that",
                "write bytes, 1048576 at least, or leave it out",
            ),
        ];
        let wrong = mistakes.into_iter().filter(|(is_wrong, ..)| *is_wrong);
        wrong.map(|(_, setting, what, instead)| (setting, what, instead)).collect()
    }

    /// Settings that mean nothing to the engine at this address, and what they are of.
    pub(super) fn idle(&self, url: &BrokerUrl) -> Vec<(&'static str, &'static str)> {
        let is_nats = url.kind == BrokerKind::Nats;
        let has_sentinels = url.has_sentinels();
        let only = |of: &'static str, settings: &[(&'static str, bool)]| {
            let written = settings.iter().filter(|(_, is_written)| *is_written);
            written.map(|(setting, _)| (*setting, of)).collect::<Vec<_>>()
        };
        let of_nats = [
            ("credentials_file", self.credentials_file.is_some()),
            ("client_certificate", self.client_certificate.is_some()),
            ("client_key", self.client_key.is_some()),
            ("replicas", self.replicas.0 != 1),
            ("history_streams", self.history_streams.0 != 1),
            ("max_history_bytes", self.max_history_bytes.is_some()),
        ];
        let of_sentinels = [
            ("sentinel_user", self.sentinel_user.is_some()),
            ("sentinel_password", self.sentinel_password.is_some()),
        ];
        let of_nats = if is_nats { Vec::new() } else { only("NATS", &of_nats) };
        let of_sentinels = if has_sentinels { Vec::new() } else { only("redis+sentinel://", &of_sentinels) };
        [of_nats, of_sentinels].concat()
    }
}

/// Where an engine is: `redis://…`, `nats://…`, and their relatives.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    kind: BrokerKind,
    text: Secret,
}

impl BrokerUrl {
    /// The address, with what may be secret in it.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose()
    }

    fn has_sentinels(&self) -> bool {
        self.expose()
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.to_ascii_lowercase().ends_with("+sentinel"))
    }

    /// Reads an address. An error says what is wrong, and on a second line what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let say = |what: &str, instead: &str| Err(format!("{what}\n{instead}"));
        let usual = "write it as redis://host:6379 or nats://host:4222";
        let Some((scheme, rest)) = text.split_once("://") else {
            return say("this is not a whole address", usual);
        };
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel"
            | "rediss+sentinel" => BrokerKind::Redis,
            "nats" | "tls" => BrokerKind::Nats,
            // What is no scheme at all may be a password.
            other if other.len() <= MAX_SCHEME && other.chars().all(is_of_scheme) => {
                return say(&format!("`{other}` is no engine that is known here"), usual);
            }
            _ => return say("this is not an address", usual),
        };
        let is_built_in = match kind {
            BrokerKind::Redis => cfg!(feature = "redis"),
            BrokerKind::Nats => cfg!(feature = "nats"),
        };
        if !is_built_in {
            return say(&format!("this program was built without {kind}"), "take one that was built with it");
        }
        if text.contains(['<', '>']) {
            return say("the address still has a placeholder", "put your server's address there");
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        if !hosts.split(',').all(is_host) {
            return say("this address has no host, or a port that is none", usual);
        }
        Ok(Self { kind, text: Secret::new(text) })
    }
}

fn is_of_scheme(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '+' | '-')
}

/// `host`, `host:port`, `[::1]:port`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl<'de> Deserialize<'de> for BrokerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        Self::parse(text.trim()).map_err(D::Error::custom)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerUrl").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A text that is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub(super) Secret);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        Ok(Self(Secret::new(&text)))
    }
}

/// What becomes of publications while an engine is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenAway {
    Refuse,
    Buffer,
}

impl<'de> Deserialize<'de> for WhenAway {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some("refuse") => Ok(Self::Refuse),
            Some("buffer") => Ok(Self::Buffer),
            _ => Err(wrong(&format!("{value} is no way to be without an engine"), "write refuse or buffer")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(feature = "nats", feature = "redis"))]
    fn an_address_says_which_engine() {
        for (text, kind) in [
            ("redis://127.0.0.1", BrokerKind::Redis),
            ("rediss://:pass@word@host:6380/0", BrokerKind::Redis),
            ("redis+cluster://a:7000,b:7001,[::1]:7002", BrokerKind::Redis),
            ("redis+sentinel://a:26379,b:26379/main", BrokerKind::Redis),
            ("nats://user:password@a:4222,b:4222", BrokerKind::Nats),
            ("tls://[::1]", BrokerKind::Nats),
        ] {
            assert_eq!(BrokerUrl::parse(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_comes_with_what_is_right() {
        for text in [
            "",
            "localhost:6379",
            "amqp://a",
            "redis://",
            "redis://a:x",
            "redis://a:70000",
            "nats://a,,b",
            ":x@redis://a",
        ] {
            let wrong = BrokerUrl::parse(text).unwrap_err();
            assert!(wrong.contains('\n'), "{text}: {wrong}");
        }
        let template = "rediss://:<password>@<host>:<port>/<database>";
        assert!(BrokerUrl::parse(template).unwrap_err().contains('\n'));
    }

    #[test]
    #[cfg(feature = "redis")]
    fn a_password_is_never_shown() {
        let config = BrokerConfig::at(BrokerUrl::parse("redis://:secret@host").unwrap());
        assert!(!format!("{config:?}").contains("secret"));
        for mistyped in ["redis//:secret@host", ":secret@redis://host", "redis://:secret@host:x"] {
            let wrong = BrokerUrl::parse(mistyped).unwrap_err();
            assert!(!wrong.contains("secret"), "{wrong}");
        }
    }
}
