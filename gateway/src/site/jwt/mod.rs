//! Signed tokens (JSON Web Tokens), by which a client proves who it is without anybody being asked.
//!
//! In: a token. Out: who it is for, or that it is not good. It has to name an algorithm that was configured, be signed
//! by a key that was configured or fetched, have an `exp` in the future, and the issuer and audience that were
//! configured.

mod keys;
mod ring_provider;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonwebtoken::{Algorithm as Named, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::SiteClient;
use super::identity::Known;
use super::refusal::Refused;
use crate::config::public_key::{self, BadKey};
use crate::config::{Algorithm, JwtConfig, JwtKey};
use keys::Keys;

/// What a site accepts as signed tokens.
#[derive(Debug)]
pub(super) struct Verifier {
    config: JwtConfig,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Known(DecodingKey),
    Fetched(Arc<Keys>),
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    info: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Verifier {
    pub(super) fn new(client: SiteClient, config: JwtConfig) -> Result<Self, BadKey> {
        ring_provider::install();
        let source = match &config.key {
            JwtKey::Secret(secret) => Source::Known(DecodingKey::from_secret(secret.expose().as_bytes())),
            JwtKey::Pem(pem) => Source::Known(public_key::read(pem)?),
            JwtKey::Jwks(url) => Source::Fetched(Keys::new(client, url.clone())),
        };
        Ok(Self { config, source })
    }

    /// Whether a text looks like such a token at all.
    pub(super) fn is_meant(token: &str) -> bool {
        token.matches('.').count() == 2 && decode_header(token).is_ok()
    }

    /// Who a token is for.
    pub(super) async fn verify(&self, token: &str) -> Result<Known, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Failed)?;
        let allowed = self.config.algorithms.iter().any(|&algorithm| named(algorithm) == header.alg);
        if !allowed {
            return Err(Refused::Failed);
        }
        match &self.source {
            Source::Known(key) => self.check(token, header.alg, key),
            Source::Fetched(keys) => {
                let key = keys.find(header.kid.as_deref(), header.alg).await?;
                self.check(token, header.alg, &key)
            }
        }
    }

    fn check(&self, token: &str, algorithm: Named, key: &DecodingKey) -> Result<Known, Refused> {
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        if let Some(issuer) = &self.config.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if self.config.audience.is_empty() {
            validation.validate_aud = false;
        } else {
            validation.set_audience(&self.config.audience);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        let claims: Claims = decode(token, key, &validation)
            .map_err(|error| {
                tracing::debug!(%error, "a signed token is not good");
                Refused::Failed
            })?
            .claims;
        let user = match claims.sub {
            Some(Value::String(user)) if !user.is_empty() => Some(user),
            Some(Value::Number(user)) => Some(user.to_string()),
            _ => None,
        };
        let rooms = match claims.others.get(&self.config.rooms) {
            None | Some(Value::Null) => Vec::new(),
            Some(rooms) => Vec::deserialize(rooms).map_err(|_| Refused::Failed)?,
        };
        Ok(Known { user, rooms, public: claims.info, authorization: None })
    }
}

fn named(algorithm: Algorithm) -> Named {
    match algorithm {
        Algorithm::Hs256 => Named::HS256,
        Algorithm::Rs256 => Named::RS256,
        Algorithm::Es256 => Named::ES256,
    }
}
