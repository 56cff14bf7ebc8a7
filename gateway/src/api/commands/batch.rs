//! Many commands in one request.
//!
//! In: up to 1,000 commands. Out: what became of each, in their order. They are begun in their order, so that of two
//! publications on one channel the first is the first; each fails by itself. What they publish, and send to sockets,
//! goes out together as far as none of them waits.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{self, FuturesOrdered};
use futures_util::{FutureExt, Stream, StreamExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use tokensocket_server::RawJson;

use super::table;
use crate::api::answer::{Listing, Outcome};
use crate::api::operation::{Caller, Source};
use crate::api::problem::{Kind, Problem};

/// The most commands of one request.
const MOST: usize = 1_000;
/// So many are under way at a time.
const AT_ONCE: usize = 64;

/// Several commands.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub(super) struct Batch {
    /// The commands, 1 to 1,000.
    #[schemars(length(min = 1, max = 1000))]
    commands: Vec<Command>,
}

/// One command: its name, and what it takes.
struct Command {
    name: String,
    takes: RawJson,
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: HashMap<String, RawJson> = HashMap::deserialize(deserializer)?;
        let mut fields = fields.into_iter();
        match (fields.next(), fields.next()) {
            (Some((name, takes)), None) => Ok(Self { name, takes }),
            _ => Err(D::Error::custom(r#"a command is its name and what it takes: {"publish":{…}}"#)),
        }
    }
}

impl JsonSchema for Command {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = table();
        let commands = table.iter().filter(|operation| operation.is_command).map(|operation| {
            json!({
                "type": "object",
                "properties": { operation.name: (operation.takes)(generator) },
                "required": [operation.name],
                "additionalProperties": false,
            })
        });
        let commands: Vec<_> = commands.collect();
        json_schema!({ "description": "One command: its name, and what it takes.", "oneOf": commands })
    }
}

/// The same batch as JSON, of one that has a command on each line.
pub(in crate::api) fn of_lines(text: &[u8]) -> Bytes {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let commands: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    [&br#"{"commands":["#[..], &commands.join(&b','), b"]}"].concat().into()
}

/// Behind the outcomes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchEnd")]
pub(super) struct End {
    /// How many commands there were.
    commands: usize,
}

pub(super) async fn batch(caller: Caller, asked: Batch) -> Result<Listing<Outcome, End>, Problem> {
    let commands = asked.commands.len();
    if !(1..=MOST).contains(&commands) {
        let say = format!("a batch has 1 to {MOST} commands, and this one has {commands}");
        return Err(Problem::bad_request(say));
    }
    let (in_lines, end) = (caller.in_lines, End { commands });
    let server = caller.server().clone();
    let outcomes = outcomes(caller, asked.commands);
    if in_lines {
        // One poll takes all that is there, so that what these commands bring about goes out together.
        let outcomes = server.together(outcomes.ready_chunks(AT_ONCE)).flat_map(stream::iter);
        return Ok(Listing::new(outcomes, end));
    }
    Ok(Listing::of(server.together(outcomes.collect()).await, end))
}

fn outcomes(caller: Caller, commands: Vec<Command>) -> impl Stream<Item = Outcome> + Send + 'static {
    let waiting = commands.into_iter().enumerate();
    let running: FuturesOrdered<BoxFuture<'static, Outcome>> = FuturesOrdered::new();
    stream::unfold((caller, waiting, running), |(caller, mut waiting, mut running)| async move {
        while running.len() < AT_ONCE
            && let Some((at, command)) = waiting.next()
        {
            let mut outcome = run(caller.of_command(at), command).boxed();
            // Begun now, before the next one: whatever order the rest is looked at in.
            running.push_back(match futures_util::poll!(&mut outcome) {
                std::task::Poll::Ready(outcome) => ready(outcome).boxed(),
                std::task::Poll::Pending => outcome,
            });
        }
        running.next().await.map(|outcome| (outcome, (caller, waiting, running)))
    })
}

async fn run(caller: Caller, Command { name, takes }: Command) -> Outcome {
    let id = caller.id.clone();
    let api = std::sync::Arc::clone(&caller.api);
    let done = if let Some(operation) = api.table.command(&name) {
        operation.run(caller, Source::Body(takes.into_bytes())).await
    } else {
        Err(Problem::new(Kind::NotFound, format!("`{name}` is no command of a batch")))
    };
    Outcome::of(done, &id)
}
