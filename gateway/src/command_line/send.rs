//! `tokensocket send`: one event for rooms of a site, as the site's application sends it.
//!
//! In: rooms, an event and its arguments. Out: a word on standard output when the gateway has taken it.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;
use tokensocket_client::RawJson;

use super::gateway::Gateway;
use super::json_argument::JsonArgument;
use super::manual;

/// Sends an event to rooms of a site
///
/// Asks the gateway to send EVENT with its arguments to everybody in the rooms, by `POST /send`, just as the
/// site's application does. A room with the site's user prefix is one user: the event is kept for each device of
/// it until the device acknowledges it. Whoever is in several of the rooms gets it once.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket send --site newsite --room user_1 --room staff update_store '\"user\"' '{\"id\":1,\"age\":5}'
  tokensocket send --site newsite --room user_1 --resync update_store - <update.json
  curl -d rooms=staff -d event=closing 'http://127.0.0.1:1337/send?site=newsite' -H 'Authorization: Bearer KEY'"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Send {
    /// To everybody in this room; give it again for more
    #[arg(long, value_name = "NAME", required = true)]
    room: Vec<String>,
    /// The event's name
    event: String,
    /// Its arguments, each as JSON; `-` reads one from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    args: Vec<JsonArgument>,
    /// A device that acknowledges it before an earlier one of the same event has to fetch everything anew
    #[arg(long)]
    resync: bool,
    /// Say what happened as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: Gateway,
}

impl Send {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { room: rooms, event, args, resync, json: as_json, gateway } = self;
        let args = args.into_iter().map(JsonArgument::read).collect::<Result<Vec<RawJson>, _>>()?;
        let body = json!({ "rooms": rooms, "event": event, "args": args });
        let resync = if resync { "true" } else { "false" };
        gateway.open()?.posted("/send", &[("resync", resync)], &body).await?;
        Ok(print(&rooms, &event, as_json)?)
    }
}

fn print(rooms: &[String], event: &str, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({ "sent": true, "event": event, "rooms": rooms }))
    } else {
        writeln!(out, "{event} was sent to {}", rooms.join(", "))
    }
}
