//! The token request.
//!
//! In: the address, the authentication as a query, headers. Out: a token, or why there is none: a refusal
//! (status 403) is told apart, because it may be final.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokensocket_protocol::client::ConnectionError;
use url::Url;

/// Longer answers are no token.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct TokenRequest {
    pub(crate) client: reqwest::Client,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl TokenRequest {
    pub(crate) async fn send(self) -> Result<String, ConnectionError> {
        let failed = |error: reqwest::Error| ConnectionError::Token(with_causes(&error));
        let request = self.client.get(self.url).headers(self.headers);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(ConnectionError::Token(format!("{status} with an endless body")));
            }
            body.extend_from_slice(&chunk);
        }
        read(status, &body)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<String, ConnectionError> {
    let answer = serde_json::from_slice(body).unwrap_or(Answer { token: None, error: None });
    match (answer.token, answer.error) {
        (Some(token), None) if status.is_success() => Ok(token),
        (_, error) if status == StatusCode::FORBIDDEN => {
            Err(ConnectionError::Refused(error.unwrap_or_else(|| "Forbidden".to_owned())))
        }
        (_, Some(error)) => Err(ConnectionError::Token(format!("{status}: {error}"))),
        (_, None) => Err(ConnectionError::Token(format!("{status} without a token"))),
    }
}

/// An error with what it was caused by, which is where the useful part of a network error stands.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_counts_and_only_403_is_a_refusal() {
        let ok = StatusCode::OK;
        assert_eq!(read(ok, br#"{"token":"t"}"#), Ok("t".to_owned()));
        let refused = ConnectionError::Refused("Forbidden".to_owned());
        assert_eq!(read(StatusCode::FORBIDDEN, br#"{"error":"Forbidden"}"#), Err(refused.clone()));
        assert_eq!(read(StatusCode::FORBIDDEN, b"<html>"), Err(refused));
        for (status, body) in [
            (StatusCode::INTERNAL_SERVER_ERROR, &br#"{"error":"boom"}"#[..]),
            (StatusCode::INTERNAL_SERVER_ERROR, br#"{"token":"t"}"#),
            (ok, br#"{"token":5}"#),
            (ok, br#"{"token":"t","error":"boom"}"#),
            (ok, b"null"),
            (ok, b""),
        ] {
            assert!(matches!(read(status, body), Err(ConnectionError::Token(_))));
        }
    }
}
