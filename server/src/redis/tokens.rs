//! Tokens that all nodes share.
//!
//! In: tokens and identities. Out: each identity once, on whatever node. Of a token's secret Redis has a hash: what is
//! compared there, in however much time, says nothing of the secret.

use std::time::Duration;

use ::redis::{Value, cmd};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sha1::{Digest, Sha1};
use tokensocket_protocol::Token;

use super::link::{Again, Link};
use super::script::Script;
use crate::identity::Identity;
use crate::timestamp::Timestamp;
use crate::token::{TokenStore, TokenStoreError};

static ISSUE: Script = Script::new(include_str!("scripts/issue.lua"));
static REDEEM: Script = Script::new(include_str!("scripts/redeem.lua"));

pub(super) const SCRIPTS: &[&Script] = &[&ISSUE, &REDEEM];

/// Longer than any token waits.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Keeps tokens in Redis: a token is redeemed once, on one node, however many try it.
///
/// Their number is bounded by [`RedisOptions::max_tokens`](super::RedisOptions::max_tokens), about, since with several
/// servers each part of them has a share of that. They expire by Redis' clock, and the bound counts by the nodes' clocks,
/// which count no token out that is there. A redemption whose answer is lost may have taken the token: the client asks for
/// another.
pub struct RedisTokenStore {
    link: Link,
}

impl RedisTokenStore {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }

    /// The keys of a token, and what proves it.
    fn place(&self, token: &Token) -> Place {
        let proof =
            Sha1::new().chain_update(token.key().to_be_bytes()).chain_update(token.secret()).finalize();
        // By all of its bits.
        let part = usize::from(proof[0]) % self.link.spread();
        let name = format!("{:016x}", token.key());
        let list = self.link.key(&format!("tokens:{{t{part}}}"));
        let key = self.link.key(&format!("token:{{t{part}}}:{name}"));
        Place { name, list, key, proof: proof.into() }
    }
}

struct Place {
    name: String,
    list: String,
    key: String,
    proof: [u8; 20],
}

impl std::fmt::Debug for RedisTokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisTokenStore")
    }
}

impl TokenStore for RedisTokenStore {
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>> {
        let Place { name, list, key, proof } = self.place(&token);
        let json = identity.to_json();
        let most = self.link.options().max_tokens.div_ceil(self.link.spread());
        let ttl = u64::try_from(ttl.min(LONGEST).as_millis()).unwrap_or_default().max(1);
        let mut command = cmd("EVALSHA");
        command.arg(ISSUE.name()).arg(2).arg(&list).arg(key);
        command.arg(name).arg(Timestamp::now().0).arg(ttl).arg(most).arg(&proof[..]).arg(&json);
        let issued = self.link.call(&list, command, json.len(), Again::Safe);
        async move {
            match issued.await? {
                Value::Int(1) => Ok(()),
                _ => Err(TokenStoreError::Full),
            }
        }
        .boxed()
    }

    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>> {
        let Place { name, list, key, proof } = self.place(&token);
        let mut command = cmd("EVALSHA");
        command.arg(REDEEM.name()).arg(2).arg(&list).arg(key).arg(name).arg(&proof[..]);
        let redeemed = self.link.call(&list, command, 0, Again::Never);
        async move {
            match redeemed.await? {
                Value::BulkString(json) => Identity::from_json(&json).map(Some).map_err(|error| {
                    TokenStoreError::Unavailable(format!("Redis has no identity under a token: {error}"))
                }),
                _ => Ok(None),
            }
        }
        .boxed()
    }
}
