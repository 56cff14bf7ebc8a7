//! The HTTP client for what sites answer.
//!
//! In: whether anybody is asked by https. Out: a client that follows no redirects, since an `Authorization` is for the
//! address that was configured, and that leaves limits of size and time to whoever asks.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::redirect::Policy;
use reqwest::{Client, IntoUrl, Method, RequestBuilder, Response};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for sites cannot be made: {0}")]
pub(crate) struct ClientError(String);

/// A client with connections of its own. Cloning gives another handle to the same one.
#[derive(Debug, Clone)]
pub(crate) struct SiteClient(Arc<ArcSwap<Made>>);

#[derive(Debug)]
struct Made {
    client: Client,
    is_secure: bool,
}

impl SiteClient {
    /// `is_secure`: somebody will be asked by https. Without that, no certificates are looked for: a container need not
    /// have any.
    pub(crate) fn new(is_secure: bool) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Made::new(is_secure)?))))
    }

    /// From now on somebody will be asked by https, too.
    pub(super) fn become_secure(&self) -> Result<(), ClientError> {
        if !self.0.load().is_secure {
            self.0.store(Arc::new(Made::new(true)?));
        }
        Ok(())
    }

    pub(super) fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.0.load().client.request(method, url)
    }

    pub(super) fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }
}

impl Made {
    fn new(is_secure: bool) -> Result<Self, ClientError> {
        let failed = |error: &dyn Error| ClientError(with_causes(error));
        // The process's own choice, for whoever makes none. It may have been made before.
        let _ = ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).pool_idle_timeout(IDLE);
        let client = client.user_agent(concat!("tokensocket/", env!("CARGO_PKG_VERSION")));
        let client = if is_secure {
            client
        } else {
            let provider = Arc::new(ring::default_provider());
            let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let tls = tls.map_err(|error| failed(&error))?;
            let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            client.tls_backend_preconfigured(tls)
        };
        Ok(Self { client: client.build().map_err(|error| failed(&error))?, is_secure })
    }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Broken(String),
}

/// A whole body, unless it is larger than `limit` bytes.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let broken = |error: reqwest::Error| BodyError::Broken(with_causes(&error.without_url()));
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge(limit));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        if body.len() + piece.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// An error with what it was caused by, which is where the useful part of a network error stands.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
