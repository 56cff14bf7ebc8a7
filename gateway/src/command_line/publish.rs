//! `tokensocket pub`: one publication.
//!
//! In: a channel and JSON. Out: a word on standard output when the server has taken it.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;
use tokensocket_client::{PublishOptions, Published};

use super::connection::Connection;
use super::json_argument::JsonArgument;
use super::manual;

/// Publishes on a channel
///
/// Connects, publishes JSON on CHANNEL, and ends when the server has taken it, and kept it if the channel has a
/// history: then it says at which place, EPOCH:OFFSET. Nobody needs to follow the channel: then nobody gets it,
/// which is no error.
///
/// When no answer came, it is not known whether the message was published. With --key it may be published
/// again: within five minutes, or what the server says, the same key on the same channel is the same
/// publication.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket pub news '{\"title\":\"It works\"}'
  tokensocket pub news '\"a text\"' --user ann
  tokensocket pub orders '{\"id\":7}' --key order-7
  tokensocket pub news - <article.json"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Publish {
    /// The channel
    channel: String,
    /// What is published, or `-` to read it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    data: JsonArgument,
    /// A name of this publication, 1 to 128 bytes: the same name again is the same publication
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Say what happened as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Publish {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let data = self.data.read()?;
        let tried = self.connection.in_time(async {
            let socket = self.connection.open(false).await?;
            let options = self.key.iter().fold(PublishOptions::new(), PublishOptions::key);
            let published = socket.publish_with(&self.channel, &data, options).await;
            Ok((socket, published))
        });
        let (socket, published) = tried.await?;
        socket.end().await;
        Ok(print(&self.channel, &published?, self.json)?)
    }
}

fn print(channel: &str, Published { position, duplicate }: &Published, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let mut said = json!({ "channel": channel, "published": true });
        if let Some(position) = position {
            said["epoch"] = json!(position.epoch.as_str());
            said["offset"] = json!(position.offset);
        }
        if *duplicate {
            said["duplicate"] = json!(true);
        }
        return writeln!(out, "{said}");
    }
    let place = position.as_ref().map(|position| format!(" at {position}")).unwrap_or_default();
    let before = if *duplicate { " before, under this key" } else { "" };
    writeln!(out, "published on {channel}{place}{before}")
}
