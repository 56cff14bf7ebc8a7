//! Tokens that one node issues and another redeems.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::{Identity, Token, TokenStore, TokenStoreError};

use super::Seat;

/// A seat as its node's store of tokens.
pub(super) struct Tokens(pub(super) Seat);

impl Tokens {
    fn is_away(&self) -> Option<TokenStoreError> {
        self.0.is_cut().then(|| TokenStoreError::Unavailable("cut off".to_owned()))
    }
}

impl TokenStore for Tokens {
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>> {
        match self.is_away() {
            Some(error) => ready(Err(error)).boxed(),
            None => self.0.bus.0.tokens.issue(token, identity, ttl),
        }
    }

    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>> {
        match self.is_away() {
            Some(error) => ready(Err(error)).boxed(),
            None => self.0.bus.0.tokens.redeem(token),
        }
    }
}
