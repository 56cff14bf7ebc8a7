//! What the connected server can do, and JetStream, which may begin after it.
//!
//! In: the client, on how many servers everything is to be kept. Out: abilities, and what is said to be lacking. Knows
//! nothing of what is asked of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::context::Context;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::{Client, connection};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::names::token;

/// How often JetStream, or a server of its cluster, is looked for where it was not found.
const SEEK: Duration = Duration::from_secs(2);
/// For how long a stream that is tried may be there: an older one was left by a node that died.
const TRIED: Duration = Duration::from_mins(1);
/// The oldest server that has what is used here.
const OLDEST: (i64, i64, i64) = (2, 9, 0);
/// The oldest server that checks the condition of an append and appends in one step, also where streams are replicated, and
/// that does not do a purge again, as another, when it begins anew.
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
    /// Something that it lacks may come yet.
    pub(super) is_missed: bool,
}

/// What it is to keep, and under which name a stream may be tried.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// On how many servers.
    pub(super) replicas: usize,
    pub(super) prefix: String,
}

/// Looks what it can do; whether it keeps as is `wanted` only if that is said, since a stream is made for it.
pub(super) async fn look(client: &Client, jetstream: &Context, wanted: Option<&Wanted>) -> Abilities {
    let mut abilities = Abilities { version: Some(client.server_info().version), ..Abilities::default() };
    if client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
        abilities.strict = client.is_server_compatible(STRICT.0, STRICT.1, STRICT.2);
        abilities.jetstream = has_jetstream(jetstream).await;
        if !abilities.jetstream {
            abilities.is_missed = true;
            abilities.lacks.push(NO_JETSTREAM.to_owned());
        } else if !abilities.strict {
            abilities.lacks.push(NOT_STRICT.to_owned());
        }
        if abilities.jetstream
            && let Some(wanted) = wanted.filter(|wanted| wanted.replicas > 1)
            && let Some(why) = refuses_replicas(jetstream, wanted).await
        {
            abilities.is_missed = true;
            let replicas = wanted.replicas;
            abilities.lacks.push(format!(
                "no new stream can be kept on {replicas} servers (`replicas`) here, so of histories, device queues, tokens, presence and idempotency keys those are refused whose stream is not there yet: NATS says \"{why}\""
            ));
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

/// Why no new stream can be kept on so many servers, if that is so: what is said to a stream that is tried, in memory, and
/// gone again. Each try has a name of its own, since a stream that another node deletes at that moment answers nobody.
async fn refuses_replicas(jetstream: &Context, wanted: &Wanted) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (trial, prefix) = (format!("{:x}-{:x}", now.as_secs(), rand::random::<u64>()), token(&wanted.prefix));
    let config = Config {
        name: format!("{prefix}_{TRIALS}{trial}"),
        subjects: vec![format!("{prefix}.=replicas.{trial}")],
        storage: StorageType::Memory,
        num_replicas: wanted.replicas,
        ..Config::default()
    };
    let why = match jetstream.request(format!("STREAM.CREATE.{}", config.name), &config).await {
        Ok(Response::<IgnoredAny>::Err { error }) => Some(error.to_string()),
        made => {
            if let Err(error) = made {
                tracing::debug!(%error, "JetStream does not say whether it keeps replicas");
            }
            // It may be there, or come yet.
            let _ = jetstream.delete_stream(&config.name).await;
            None
        }
    };
    sweep(jetstream, &prefix, now).await;
    why
}

/// What stands in the name of a stream that is tried, behind the prefix.
const TRIALS: &str = "=replicas-";

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// Deletes what nodes tried that died before they deleted it.
async fn sweep(jetstream: &Context, prefix: &str, now: Duration) {
    let wanted = serde_json::json!({ "subject": format!("{prefix}.=replicas.*") });
    let Ok(Response::<Names>::Ok(names)) = jetstream.request("STREAM.NAMES", &wanted).await else { return };
    for name in names.streams.unwrap_or_default() {
        if tried(&name, prefix).is_some_and(|tried| now.abs_diff(tried) > TRIED) {
            let _ = jetstream.delete_stream(&name).await;
        }
    }
}

/// When a stream of this name was tried.
fn tried(name: &str, prefix: &str) -> Option<Duration> {
    let trial = name.strip_prefix(prefix)?.strip_prefix('_')?.strip_prefix(TRIALS)?;
    let (seconds, _) = trial.split_once('-')?;
    u64::from_str_radix(seconds, 16).ok().map(Duration::from_secs)
}

/// Looks again for as long as something was missed: a cluster that begins is without JetStream until it has a leader, and
/// without replicas until enough of its servers are there.
pub(super) async fn seek(
    client: Client,
    jetstream: Context,
    abilities: Arc<Mutex<Abilities>>,
    wanted: Wanted,
    address: String,
) {
    loop {
        tokio::time::sleep(SEEK).await;
        let known = abilities.lock().clone();
        if !known.is_missed || client.connection_state() != connection::State::Connected {
            continue;
        }
        let found = look(&client, &jetstream, Some(&wanted)).await;
        if found.jetstream && found != known {
            tracing::info!(address, lacks = ?found.lacks, "JetStream is there");
            *abilities.lock() = found;
        }
    }
}
