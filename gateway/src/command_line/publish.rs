//! `tokensocket pub`: one publication.
//!
//! In: a channel and JSON. Out: a word on standard output when the server has taken it.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::connection::Connection;
use super::json_argument::JsonArgument;
use super::manual;

/// Publishes on a channel
///
/// Connects, publishes JSON on CHANNEL, and ends when the server has taken it. Nobody needs to follow the
/// channel: then nobody gets it, which is no error.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket pub news '{\"title\":\"It works\"}'
  tokensocket pub news '\"a text\"' --user ann
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
            let published = socket.publish(&self.channel, &data).await;
            Ok((socket, published))
        });
        let (socket, published) = tried.await?;
        socket.end().await;
        published?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "channel": self.channel, "published": true }))?;
        } else {
            writeln!(out, "published on {}", self.channel)?;
        }
        Ok(())
    }
}
