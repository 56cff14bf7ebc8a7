//! What a client brings: its token, and what it says of itself.

use http::header::{AUTHORIZATION, HeaderMap};
use tokensocket_server::TokenRequest;

/// The longest token and `meta`, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// What a client brings to be let in.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    /// The site's own token for it.
    pub(super) token: Option<String>,
    /// Passed on to the auth URL as `X-META`.
    pub(super) meta: Option<String>,
    /// Where nothing has to be proven: who it says it is, and in which rooms.
    pub(super) user: Option<String>,
    pub(super) rooms: Option<String>,
}

/// They are longer than anybody needs.
#[derive(Debug)]
pub(super) struct TooLong;

impl Credentials {
    /// From a query, one parameter after the other; empty ones count as missing. A bearer token in the headers counts
    /// where the query has none.
    pub(crate) fn of(query: impl Fn(&str) -> Option<String>, headers: &HeaderMap) -> Self {
        let given = |name: &str| query(name).filter(|text| !text.is_empty());
        let bearer = || {
            let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        };
        Self {
            token: given("token").or_else(bearer),
            meta: given("meta"),
            user: given("user"),
            rooms: given("rooms"),
        }
    }

    pub(super) fn check(&self) -> Result<(), TooLong> {
        let given = [&self.token, &self.meta, &self.user, &self.rooms];
        let fits = given.into_iter().flatten().all(|text| text.len() <= MAX_BYTES);
        if fits { Ok(()) } else { Err(TooLong) }
    }
}

impl From<&TokenRequest> for Credentials {
    fn from(request: &TokenRequest) -> Self {
        Self::of(|name| request.query(name), request.headers())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
