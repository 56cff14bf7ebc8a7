//! Where NATS is, as whoever sets up a node writes it.
//!
//! In: `nats://ann:secret@one:4222,two:4222`. Out: the servers, who we are, and a text without secrets. Pure.

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use url::Url;

use super::super::error::NatsError;
use super::super::options::Credentials;

/// An address, read.
pub(super) struct Address {
    pub(super) servers: Vec<ServerAddr>,
    /// Without secrets.
    pub(super) shown: String,
    /// The first server's.
    pub(super) credentials: Credentials,
}

impl Address {
    /// Reads addresses divided by commas. One without a scheme has that of the one before it.
    pub(super) fn parse(text: &str) -> Result<Self, NatsError> {
        let mut scheme = "nats";
        let (mut servers, mut shown) = (Vec::new(), Vec::new());
        let mut credentials = Credentials::Address;
        for part in text.split(',').map(str::trim) {
            let (said, rest) = part.split_once("://").unwrap_or((scheme, part));
            if !["nats", "tls"].contains(&said) {
                return Err(wrong(rest));
            }
            scheme = said;
            let mut url: Url = format!("{scheme}://{rest}").parse().map_err(|_| wrong(rest))?;
            let is_bare =
                url.query().is_none() && url.fragment().is_none() && ["", "/"].contains(&url.path());
            if url.host_str().is_none_or(str::is_empty) || !is_bare {
                return Err(wrong(rest));
            }
            if matches!(credentials, Credentials::Address) {
                credentials = credentials_of(&url);
            }
            let bare = url.set_username("").and_then(|()| url.set_password(None));
            bare.map_err(|()| wrong(rest))?;
            shown.push(url.to_string().trim_end_matches('/').to_owned());
            servers.push(ServerAddr::from_url(url).map_err(|_| wrong(rest))?);
        }
        Ok(Self { servers, shown: shown.join(","), credentials })
    }
}

/// Nothing of what stands before the last `@`, or behind a `?` or `#`, is shown.
fn wrong(part: &str) -> NatsError {
    let (before, shown) = part.rsplit_once('@').unwrap_or(("", part));
    let is_clear = !before.contains(['?', '#']);
    let shown = shown.split(['?', '#']).next().filter(|_| is_clear);
    NatsError::Address(shown.unwrap_or_default().to_owned())
}

/// A user alone is a token, as in the tools of NATS.
fn credentials_of(url: &Url) -> Credentials {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", None) => Credentials::Address,
        (token, None) => Credentials::Token(decoded(token)),
        (user, Some(password)) => Credentials::UserAndPassword(decoded(user), decoded(password)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn several_servers_share_scheme_and_credentials() {
        let address = Address::parse("tls://ann:s%40cret@one:4222, two ,[::1]:5").unwrap();
        assert_eq!(address.shown, "tls://one:4222,tls://two,tls://[::1]:5");
        assert!(address.servers.iter().all(ServerAddr::tls_required));
        assert_eq!(address.servers[1].port(), 4222);
        let Credentials::UserAndPassword(user, password) = address.credentials else { panic!("a password") };
        assert_eq!((user.as_str(), password.as_str()), ("ann", "s@cret"));
        assert!(
            matches!(Address::parse("t0ken@one").unwrap().credentials, Credentials::Token(token) if token == "t0ken")
        );
    }

    #[test]
    fn other_addresses_are_refused_without_showing_secrets() {
        for text in [
            "",
            "http://one",
            "nats://",
            "nats://one/path",
            "one,,two",
            "nats://ann:secret@one:x",
            "nats://one?token=secret",
            "nats://one#secret",
            "nats://one?token=a@secret",
            "nats://ann:s?cret@one/secret",
        ] {
            let error = Address::parse(text).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
