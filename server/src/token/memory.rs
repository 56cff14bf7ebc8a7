//! Tokens in this process's memory: the default for one node.
//!
//! Tokens of one store share one time to live in practice, so they expire in the order of issue: a queue
//! beside the map is swept at each call, a little at a time.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokensocket_protocol::Token;
use tokio::time::Instant;

use super::{TokenStore, TokenStoreError};
use crate::identity::Identity;

/// Longer than any process runs.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 100);

/// Keeps tokens in memory, at most as many as it was told.
#[derive(Debug)]
pub struct MemoryTokenStore {
    tokens: Mutex<Tokens>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Tokens {
    /// By [`Token::key`].
    kept: HashMap<u64, Kept>,
    /// Keys in the order of issue, redeemed ones among them until they are swept.
    issued: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
struct Kept {
    secret: [u8; 8],
    expires: Instant,
    identity: Identity,
}

impl MemoryTokenStore {
    /// A store for at most `capacity` tokens that wait to be redeemed.
    pub fn new(capacity: usize) -> Self {
        Self { tokens: Mutex::default(), capacity }
    }

    /// How many tokens wait to be redeemed, expired ones that were not swept yet among them.
    pub fn len(&self) -> usize {
        self.tokens.lock().kept.len()
    }

    /// Whether no token waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for MemoryTokenStore {
    /// A store for at most 100,000 tokens.
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl Tokens {
    /// Forgets what has expired, and the queue's entries of what was redeemed.
    fn sweep(&mut self, now: Instant) {
        while let Some(&(expires, key)) = self.issued.front() {
            let gone = self.kept.get(&key).is_none_or(|kept| kept.expires <= now);
            if expires > now && !gone {
                break;
            }
            self.issued.pop_front();
            if gone {
                self.kept.remove(&key);
            }
        }
        if self.kept.is_empty() {
            *self = Self::default();
        } else if self.issued.len() > 2 * self.kept.len() + 64 {
            self.issued.retain(|(_, key)| self.kept.contains_key(key));
        }
    }
}

impl TokenStore for MemoryTokenStore {
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>> {
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        tokens.sweep(now);
        let outcome = if tokens.kept.len() >= self.capacity || tokens.kept.contains_key(&token.key()) {
            Err(TokenStoreError::Full)
        } else {
            // What no clock can tell is as good as for ever.
            let expires = now.checked_add(ttl).unwrap_or(now + FOR_EVER);
            tokens.issued.push_back((expires, token.key()));
            tokens.kept.insert(token.key(), Kept { secret: token.secret(), expires, identity });
            Ok(())
        };
        ready(outcome).boxed()
    }

    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>> {
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        let matches =
            tokens.kept.get(&token.key()).is_some_and(|kept| kept.secret.ct_eq(&token.secret()).into());
        let identity = if matches { tokens.kept.remove(&token.key()) } else { None }
            .filter(|kept| kept.expires > now)
            .map(|kept| kept.identity);
        tokens.sweep(now);
        ready(Ok(identity)).boxed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn token(n: u8) -> Token {
        Token::from_random([n; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn gives_an_identity_once() {
        let store = MemoryTokenStore::default();
        store.issue(token(1), Identity::new("ann"), TTL).await.unwrap();
        let identity = store.redeem(token(1)).await.unwrap().unwrap();
        assert_eq!(identity.parse::<String>().unwrap(), "ann");
        assert!(store.redeem(token(1)).await.unwrap().is_none());
        assert!(store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_what_was_never_redeemed() {
        let store = MemoryTokenStore::new(10_000);
        for n in 0..10_000_u32 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            store.issue(Token::from_random(bytes), Identity::anonymous(), TTL).await.unwrap();
        }
        let refused = store.issue(token(7), Identity::anonymous(), TTL).await;
        assert!(matches!(refused, Err(TokenStoreError::Full)));
        tokio::time::advance(TTL).await;
        assert!(store.redeem(Token::from_random([0; 16])).await.unwrap().is_none());
        assert!(store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_guess_with_the_right_first_half_does_not_spend_the_token() {
        let store = MemoryTokenStore::default();
        store.issue(token(1), Identity::anonymous(), TTL).await.unwrap();
        let mut guess = [1; 16];
        guess[15] = 2;
        assert!(store.redeem(Token::from_random(guess)).await.unwrap().is_none());
        assert!(store.redeem(token(1)).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn its_queue_does_not_outgrow_its_tokens() {
        let store = MemoryTokenStore::default();
        store.issue(token(1), Identity::anonymous(), TTL).await.unwrap();
        for n in 0..10_000_u32 {
            let mut bytes = [9; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            store.issue(Token::from_random(bytes), Identity::anonymous(), TTL).await.unwrap();
            store.redeem(Token::from_random(bytes)).await.unwrap();
        }
        assert!(store.tokens.lock().issued.len() < 100);
    }
}
