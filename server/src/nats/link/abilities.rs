//! What the connected server can do, and JetStream, which may begin after it.
//!
//! In: the client. Out: abilities, and what is said to be lacking. Knows nothing of what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::Context;
use async_nats::jetstream::response::Response;
use async_nats::{Client, connection};
use parking_lot::Mutex;
use serde::de::IgnoredAny;

/// How often JetStream is looked for where it was not found.
const SEEK: Duration = Duration::from_secs(2);
/// The oldest server that has what is used here.
const OLDEST: (i64, i64, i64) = (2, 9, 0);
/// The oldest server that checks the condition of an append and appends in one step, also where streams are replicated.
const STRICT: (i64, i64, i64) = (2, 10, 0);
/// What an older server is said not to have.
const NOT_STRICT: &str = "NATS before 2.10 may let two nodes through that append on the same condition at the same moment: each such append is looked at again, which costs a round trip where several channels are busy";
/// What a server without JetStream is said not to have.
pub(super) const NO_JETSTREAM: &str = "no JetStream on this NATS server, which keeps histories, device queues, tokens, presence and idempotency keys: start it with `-js` or a `jetstream` block";

/// What the connected server can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) version: Option<String>,
    pub(super) jetstream: bool,
    /// Conditions of appends are checked and the append done in one step.
    pub(super) strict: bool,
    pub(super) lacks: Vec<String>,
}

/// Looks what it can do.
pub(super) async fn look(client: &Client, jetstream: &Context) -> Abilities {
    let mut abilities = Abilities { version: Some(client.server_info().version), ..Abilities::default() };
    if client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
        abilities.strict = client.is_server_compatible(STRICT.0, STRICT.1, STRICT.2);
        abilities.jetstream = has_jetstream(jetstream).await;
        if !abilities.jetstream {
            abilities.lacks.push(NO_JETSTREAM.to_owned());
        } else if !abilities.strict {
            abilities.lacks.push(NOT_STRICT.to_owned());
        }
    } else {
        abilities.lacks.push("JetStream of NATS 2.9 or later is needed: no histories, device queues, tokens, presence and idempotency keys".to_owned());
    }
    abilities
}

/// Whether it has JetStream for this account, or another server of its cluster has.
async fn has_jetstream(jetstream: &Context) -> bool {
    match jetstream.request("INFO", &()).await {
        Ok(Response::<IgnoredAny>::Ok(_)) => true,
        Ok(Response::Err { error }) => {
            tracing::debug!(%error, "JetStream is not enabled");
            false
        }
        Err(error) => {
            tracing::debug!(%error, "JetStream does not answer");
            false
        }
    }
}

/// Looks for JetStream for as long as it was not found: a cluster that begins is without it until it has a leader.
pub(super) async fn seek(
    client: Client,
    jetstream: Context,
    abilities: Arc<Mutex<Abilities>>,
    address: String,
) {
    loop {
        tokio::time::sleep(SEEK).await;
        let is_missed = abilities.lock().lacks.iter().any(|lack| lack == NO_JETSTREAM);
        if !is_missed || client.connection_state() != connection::State::Connected {
            continue;
        }
        let found = look(&client, &jetstream).await;
        if found.jetstream {
            tracing::info!(address, "JetStream is there");
            *abilities.lock() = found;
        }
    }
}
