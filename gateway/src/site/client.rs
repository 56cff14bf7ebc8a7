//! The HTTP client for what sites answer.
//!
//! In: nothing. Out: a client that follows no redirects, since an `Authorization` is for the address that was
//! configured, and that leaves limits of size and time to whoever asks.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::crypto::ring;

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for sites cannot be made: {0}")]
pub(crate) struct ClientError(reqwest::Error);

/// A client with connections of its own.
pub(crate) fn client() -> Result<Client, ClientError> {
    // The process's own choice, for whoever makes none. It may have been made before.
    let _ = ring::default_provider().install_default();
    let client = Client::builder().redirect(Policy::none()).pool_idle_timeout(IDLE);
    client.user_agent(concat!("tokensocket/", env!("CARGO_PKG_VERSION"))).build().map_err(ClientError)
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
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
