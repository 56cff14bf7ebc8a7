//! Where an engine is: what its address says.
//!
//! In: a text such as `redis://:secret@10.0.0.1/0`. Out: hosts, how they are one engine, and who we are there.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::redis::error::RedisError;

/// A server's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::redis) struct Host {
    /// A name or an IP address, without brackets.
    pub(in crate::redis) name: String,
    pub(in crate::redis) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// How several servers are one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Shape {
    /// Each has a part of the channels and users; often there is one.
    Shards(Vec<Host>),
    /// These know which server is the primary of this service.
    Sentinel { sentinels: Vec<Host>, service: String },
    /// A Redis Cluster, of which these are some servers.
    Cluster(Vec<Host>),
}

/// A whole address.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::redis) struct Address {
    pub(in crate::redis) shape: Shape,
    pub(in crate::redis) tls: bool,
    pub(in crate::redis) user: Option<String>,
    pub(in crate::redis) password: Option<String>,
    pub(in crate::redis) db: i64,
}

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Address {
    /// Reads `redis://`, `rediss://`, `redis+cluster://`, `rediss+cluster://`, `redis+sentinel://` or
    /// `rediss+sentinel://`, several hosts divided by commas.
    pub(in crate::redis) fn parse(text: &str) -> Result<Self, RedisError> {
        Self::read(text).map_err(|reason| RedisError::Address {
            address: without_password(text),
            reason: reason.to_owned(),
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.split(',').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let (scheme, _) = first.split_once("://").ok_or("it begins with redis:// or rediss://")?;
        let (tls, kind) = match scheme {
            "redis" | "valkey" => (false, None),
            "rediss" | "valkeys" => (true, None),
            "redis+cluster" => (false, Some("cluster")),
            "rediss+cluster" => (true, Some("cluster")),
            "redis+sentinel" => (false, Some("sentinel")),
            "rediss+sentinel" => (true, Some("sentinel")),
            _ => return Err("it begins with redis://, rediss://, redis+cluster:// or redis+sentinel://"),
        };
        let is_sentinel = kind == Some("sentinel");
        let port = if is_sentinel { SENTINEL_PORT } else { PORT };
        let mut hosts = Vec::new();
        let (mut user, mut password, mut path, mut cluster) = (None, None, None, kind == Some("cluster"));
        for part in std::iter::once(first).chain(parts) {
            let whole = if part.contains("://") {
                if part.split_once("://").map(|(other, _)| other) != Some(scheme) {
                    return Err("all of its servers have one scheme");
                }
                part.to_owned()
            } else {
                format!("{scheme}://{part}")
            };
            let url = Url::parse(&whole).map_err(|_| "a server is HOST or HOST:PORT")?;
            let name = url.host_str().filter(|name| !name.is_empty()).ok_or("a server has a host")?;
            let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
            hosts.push(Host { name, port: url.port().unwrap_or(port) });
            user = user.or(decoded(url.username())?);
            password = password.or(decoded(url.password().unwrap_or_default())?);
            path = path.or(decoded(url.path().trim_start_matches('/'))?);
            for (name, value) in url.query_pairs() {
                match (&*name, &*value) {
                    ("cluster", "" | "true") if !is_sentinel => cluster = true,
                    ("protocol", "resp3") => {}
                    _ => return Err("an address has no other options than ?cluster"),
                }
            }
        }
        let (service, db) = match (&path, is_sentinel) {
            (path, false) => (None, path.clone()),
            (None, true) => {
                return Err("a Sentinel's address ends with the service: redis+sentinel://HOST/SERVICE");
            }
            (Some(path), true) => match path.split_once('/') {
                Some((service, db)) => (Some(service.to_owned()), Some(db.to_owned())),
                None => (Some(path.clone()), None),
            },
        };
        let db: i64 = db.map_or(Ok(0), |db| db.parse()).map_err(|_| "a database is a number")?;
        if cluster && db != 0 {
            return Err("a cluster has database 0 only");
        }
        let shape = match service {
            Some(service) => Shape::Sentinel { sentinels: hosts, service },
            None if cluster => Shape::Cluster(hosts),
            None => Shape::Shards(hosts),
        };
        Ok(Self { shape, tls, user, password, db })
    }

    /// The hosts that it names.
    pub(in crate::redis) fn hosts(&self) -> &[Host] {
        match &self.shape {
            Shape::Shards(hosts) | Shape::Cluster(hosts) | Shape::Sentinel { sentinels: hosts, .. } => hosts,
        }
    }
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.shape {
            Shape::Shards(_) => "",
            Shape::Sentinel { .. } => "+sentinel",
            Shape::Cluster(_) => "+cluster",
        };
        write!(f, "redis{}{kind}://", if self.tls { "s" } else { "" })?;
        for (at, host) in self.hosts().iter().enumerate() {
            write!(f, "{}{host}", if at > 0 { "," } else { "" })?;
        }
        if let Shape::Sentinel { service, .. } = &self.shape {
            write!(f, "/{service}")?;
        }
        if self.db != 0 {
            write!(f, "/{}", self.db)?;
        }
        Ok(())
    }
}

fn decoded(text: &str) -> Result<Option<String>, &'static str> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "what stands for % is text")?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

/// An address that was not understood may have a password anywhere: also in what others take for options.
fn without_password(text: &str) -> String {
    let (hidden, shown) = match (text.find("://"), text.rfind('@')) {
        (Some(from), Some(to)) if from < to => (format!("{}://…", &text[..from]), &text[to..]),
        (None, Some(to)) => ("…".to_owned(), &text[to..]),
        _ => (String::new(), text),
    };
    hidden + shown.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn reads_every_shape() {
        let one = parse("redis://localhost");
        assert_eq!(one.shape, Shape::Shards(vec![host("localhost", 6379)]));
        assert_eq!((one.tls, one.db, one.user, one.password), (false, 0, None, None));
        let full = parse("rediss://ann:p%40ss@10.0.0.1:7000/3");
        assert_eq!(full.shape, Shape::Shards(vec![host("10.0.0.1", 7000)]));
        assert_eq!((full.tls, full.db), (true, 3));
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("ann"), Some("p@ss")));
        let shards = parse("redis://:secret@a:1,b:2,redis://[::1]:3");
        assert_eq!(shards.shape, Shape::Shards(vec![host("a", 1), host("b", 2), host("::1", 3)]));
        assert_eq!(shards.password.as_deref(), Some("secret"));
        for cluster in ["redis+cluster://a,b:2", "redis://a,b:2?cluster", "redis://a,b:2/?cluster=true"] {
            assert_eq!(
                parse(cluster).shape,
                Shape::Cluster(vec![host("a", 6379), host("b", 2)]),
                "{cluster}"
            );
        }
        let sentinel = parse("redis+sentinel://u:p@s1,s2:9/main/2");
        let sentinels = vec![host("s1", 26379), host("s2", 9)];
        assert_eq!(sentinel.shape, Shape::Sentinel { sentinels, service: "main".to_owned() });
        assert_eq!((sentinel.db, sentinel.user.as_deref()), (2, Some("u")));
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        for text in [
            "",
            "localhost",
            "http://localhost",
            "redis://",
            "redis://a,",
            "redis://a:port",
            "redis://a/x",
            "redis://a?what=ever",
            "redis://a,rediss://b",
            "redis+sentinel://a",
            "redis+cluster://a/1",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn is_shown_without_its_password() {
        for (text, shown) in [
            ("redis://u:secret@a/1", "redis://a:6379/1"),
            ("rediss+sentinel://:secret@a,b/main", "rediss+sentinel://a:26379,b:26379/main"),
            ("redis+cluster://[::1]:1", "redis+cluster://[::1]:1"),
        ] {
            assert_eq!(parse(text).to_string(), shown);
        }
        for wrong in [
            "redis://u:secret@a/x",
            "u:secret@a",
            "redis://a?password=secret",
            "redis://a/x#secret",
            "redis://u:secret?secret@a/x",
        ] {
            assert!(!Address::parse(wrong).unwrap_err().to_string().contains("secret"));
        }
    }
}
