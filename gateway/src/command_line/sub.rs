//! `tokensocket sub`: follows channels.
//!
//! In: channels. Out: one line on standard output for each message, and on standard error whatever else
//! happens to the connection.

use std::io::Write;

use anstyle::Style;
use clap::Args;
use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tokensocket_client::{Channel, RawJson, SubscriptionError, TokenSocket};

use super::connection::Connection;
use super::manual;
use crate::signals::Signals;

/// Follows channels and prints their messages
///
/// Connects, follows each CHANNEL, and prints one line for each message: the channel, a tab, and the
/// message as JSON. Messages of one channel keep their order. It runs until Ctrl-C, or until --count
/// messages came.
///
/// A lost connection is opened anew, and the channels are followed again; standard error says so, since
/// what was published meanwhile is not printed.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket sub news
  tokensocket sub news weather --user ann
  tokensocket sub news --json | jq .message.title
  tokensocket sub news --count 1"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Sub {
    /// The channels
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Print each message as a JSON object with `channel` and `message`
    #[arg(long)]
    json: bool,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// What comes from one of the channels.
type Item = (Channel, Result<RawJson, SubscriptionError>);

impl Sub {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let (socket, items) = tokio::select! {
            following = self.connection.in_time(self.follow()) => following?,
            () = signals.next() => return Ok(()),
        };
        eprintln!("following {}", self.channels.join(", "));
        let printed = tokio::select! {
            printed = self.print_all(items) => printed,
            () = signals.next() => Ok(()),
        };
        socket.end().await;
        printed
    }

    async fn follow(&self) -> anyhow::Result<(TokenSocket, impl Stream<Item = Item> + Unpin + use<>)> {
        let socket = self.connection.open(true).await?;
        tell_of_connection(&socket);
        let mut subscriptions = Vec::new();
        for channel in &self.channels {
            let subscription = socket.subscribe(channel).await?;
            let channel = subscription.channel().clone();
            subscriptions.push(subscription.map(move |item| (channel.clone(), item)));
        }
        Ok((socket, select_all(subscriptions)))
    }

    async fn print_all(&self, mut items: impl Stream<Item = Item> + Unpin) -> anyhow::Result<()> {
        let mut left = self.count;
        while left != Some(0) {
            match items.next().await {
                Some((channel, Ok(message))) => {
                    self.print(&channel, &message)?;
                    left = left.map(|left| left - 1);
                }
                Some((channel, Err(SubscriptionError::Lost(error)))) => {
                    let why = error.map_or_else(|| "no reason given".to_owned(), |error| error.to_string());
                    anyhow::bail!("the server took {channel} away: {why}");
                }
                Some((channel, Err(error))) => eprintln!("{channel}: {error}"),
                None => anyhow::bail!("the connection ended for good: the server does not let us in again"),
            }
        }
        Ok(())
    }

    fn print(&self, channel: &Channel, message: &RawJson) -> std::io::Result<()> {
        let mut out = anstream::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "channel": channel.as_str(), "message": message }))?;
        } else {
            let style = Style::new().bold();
            writeln!(out, "{style}{channel}{style:#}\t{message}")?;
        }
        out.flush()
    }
}

/// Says on standard error when the connection is lost and when it is back.
fn tell_of_connection(socket: &TokenSocket) {
    socket.on_disconnect(|why| eprintln!("connection lost: {why}; reconnecting"));
    socket.on_reconnect(|outcome| match outcome {
        Ok(()) => eprintln!("connected again; messages in between are not printed"),
        Err(why) => tracing::info!(%why, "no connection yet"),
    });
}
