//! The token request: an HTTP GET that answers `{"token":…}` or `{"error":…}`.
//!
//! In: a URL and how to ask. Out: one answer, unless the request is dropped before. How long it may take is
//! the session's affair.

mod fetch;
mod jsonp;

use tokensocket_protocol::client::ConnectionError;
use wasm_bindgen::prelude::*;

use crate::listener::Listener;
use crate::page::AbortController;

#[wasm_bindgen]
extern "C" {
    /// What came of a token request, with every field of the type it should have.
    type Answer;

    #[wasm_bindgen(method, getter)]
    fn token(this: &Answer) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn error(this: &Answer) -> String;
    #[wasm_bindgen(method, getter)]
    fn refused(this: &Answer) -> bool;
}

/// How to ask for tokens.
pub(crate) struct TokenSource {
    /// The absolute URL, with the authentication in its query.
    pub(crate) url: String,
    /// By which means.
    pub(crate) means: Means,
}

/// By which means to ask.
pub(crate) enum Means {
    /// The page's `fetch`, or one that was handed in. Across origins the server has to allow it (CORS).
    Fetch {
        /// Headers to add; an object, or undefined.
        headers: JsValue,
        /// Whether cookies go along: a `RequestCredentials`, or undefined for `same-origin`.
        credentials: JsValue,
        /// Instead of the page's `fetch`; a function, or undefined.
        fetch: JsValue,
    },
    /// A script, which servers of any origin can be asked with. It tells no status, so a refusal is
    /// known by its text only, and where the engine does not run a script with an error's status, not at
    /// all.
    Jsonp,
}

/// A request under way. Dropped, it is called off and answers no more.
pub(crate) struct TokenRequest {
    under_way: AbortController,
}

impl TokenSource {
    /// Asks. `answered` is called once with what [`TokenRequest::answer`] understands.
    pub(crate) fn ask(&self, answered: &Listener) -> TokenRequest {
        let under_way = match &self.means {
            Means::Fetch { headers, credentials, fetch } => {
                fetch::ask(&self.url, headers, credentials, fetch, answered.as_ref())
            }
            Means::Jsonp => jsonp::ask(&self.url, answered.as_ref()),
        };
        TokenRequest { under_way }
    }
}

impl TokenRequest {
    pub(crate) fn answer(answer: JsValue) -> Result<String, ConnectionError> {
        let answer: Answer = answer.unchecked_into();
        match answer.token() {
            Some(token) => Ok(token),
            None if answer.refused() => Err(ConnectionError::Refused(answer.error())),
            None => Err(ConnectionError::Token(answer.error())),
        }
    }
}

impl Drop for TokenRequest {
    fn drop(&mut self) {
        self.under_way.abort();
    }
}
