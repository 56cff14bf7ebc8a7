//! What a site accepts as signed tokens.

use super::{Secret, public_key};
use crate::config::value::{HttpUrl, Text, Texts};

/// The algorithms that are understood. A token that names another is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256: one secret, known to both.
    Hs256,
    /// RSA, PKCS #1 1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        match &*name.to_ascii_uppercase() {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Signed tokens, and what they must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtConfig {
    pub(crate) key: JwtKey,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Vec<String>,
    /// The claim with the rooms.
    pub(crate) rooms: String,
}

/// What tokens are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JwtKey {
    /// A secret that both know.
    Secret(Secret),
    /// A public key, in PEM.
    Pem(String),
    /// Public keys that are fetched.
    Jwks(String),
}

pub(super) struct Written {
    pub(super) secret: Option<Text>,
    pub(super) public_key: Option<Text>,
    pub(super) jwks_url: Option<HttpUrl>,
    pub(super) algorithms: Option<Texts>,
    pub(super) issuer: Option<Text>,
    pub(super) audience: Option<Texts>,
    pub(super) rooms: Text,
}

/// A setting, what is wrong with it, and what to write instead.
type Wrong = (&'static str, String, String);

impl Written {
    pub(super) fn check(self) -> Result<Option<JwtConfig>, Wrong> {
        let (key, usual): (JwtKey, &[Algorithm]) = match (self.secret, self.public_key, self.jwks_url) {
            (None, None, None) => return Ok(None),
            (Some(secret), None, None) => (JwtKey::Secret(Secret::new(secret.0)), &[Algorithm::Hs256]),
            (None, Some(pem), None) => (JwtKey::Pem(pem.0), &[Algorithm::Rs256, Algorithm::Es256]),
            (None, None, Some(url)) => (JwtKey::Jwks(url.0), &[Algorithm::Rs256, Algorithm::Es256]),
            _ => {
                return Err((
                    "jwksUrl",
                    "there is more than one kind of key for signed tokens".to_owned(),
                    "keep one of `jwtSecret`, `jwtPublicKey` and `jwksUrl`".to_owned(),
                ));
            }
        };
        let algorithms = match self.algorithms {
            None => usual.to_vec(),
            Some(names) => {
                let mut algorithms = Vec::new();
                for name in names.into_strings() {
                    // A public key taken for a secret would let everybody in who has read it.
                    let known = Algorithm::named(&name).filter(|algorithm| usual.contains(algorithm));
                    algorithms.push(known.ok_or_else(|| {
                        let usual: Vec<_> =
                            usual.iter().map(|known| format!("{known:?}").to_uppercase()).collect();
                        let what = format!("`{name}` is no algorithm for this kind of key");
                        ("jwtAlgorithms", what, format!("write {}", usual.join(" or ")))
                    })?);
                }
                algorithms
            }
        };
        if let JwtKey::Pem(pem) = &key
            && public_key::read(pem).is_err()
        {
            let what =
                "this is not a public key of RSA, of 2,048 to 8,192 bits, or of P-256 in PEM".to_owned();
            let instead =
                "write `jwtPublicKey: |` and below it, indented, what begins with -----BEGIN PUBLIC KEY-----";
            return Err(("jwtPublicKey", what, instead.to_owned()));
        }
        Ok(Some(JwtConfig {
            key,
            algorithms,
            issuer: self.issuer.map(|issuer| issuer.0),
            audience: self.audience.map_or_else(Vec::new, Texts::into_strings),
            rooms: self.rooms.0,
        }))
    }
}
