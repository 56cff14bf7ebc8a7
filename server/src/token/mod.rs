//! One-time tokens: issued over HTTP, redeemed by the first message of a connection.
//!
//! ```text
//! GET /socket/token ──endpoint──▶ access ──▶ TokenStore::issue
//! {"rpc":"auth","token":T} ──session/driver──▶ TokenStore::redeem ──▶ Identity
//! ```

pub(crate) mod endpoint;
mod memory;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokensocket_protocol::Token;

use crate::identity::Identity;

pub use memory::MemoryTokenStore;

/// Keeps the identities of tokens until they are redeemed.
///
/// Duties of an implementation:
/// - A token is good for one [`redeem`](TokenStore::redeem), also when two redeem it at the same time, on
///   whatever nodes.
/// - A token is gone after its time to live, and takes no memory long after that.
/// - The number of tokens is bounded; over it, [`issue`](TokenStore::issue) is refused.
/// - Secrets are compared in constant time: see [`Token::key`] and [`Token::secret`].
pub trait TokenStore: Send + Sync + 'static {
    /// Keeps `identity` under `token` for `ttl`.
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>>;

    /// Takes the identity of `token`, if the token is known, unused and not expired.
    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>>;
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenStoreError {
    /// As many tokens wait as may.
    #[error("too many tokens wait to be redeemed: try again later")]
    Full,
    /// The store cannot be reached, or failed.
    #[error("the token store failed: {0}")]
    Unavailable(String),
}
