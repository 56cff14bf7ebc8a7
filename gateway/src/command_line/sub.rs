//! `tokensocket sub`: follows channels.
//!
//! In: channels. Out: one line on standard output for each message, and on standard error whatever else
//! happens to the connection.

use std::future::ready;
use std::io::Write;

use anstyle::Style;
use clap::Args;
use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tokensocket_client::{
    Channel, Member, Position, RawJson, SubscribeOptions, SubscriptionError, TokenSocket,
};
use tokensocket_server::Pattern;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::{manual, position_argument};
use crate::signals::Signals;

/// Follows channels and prints their messages
///
/// Connects, follows each CHANNEL, and prints one line for each message: the channel, a tab, and the
/// message as JSON. Messages of one channel keep their order. It runs until Ctrl-C, or until --count
/// messages came.
///
/// A lost connection is opened anew, and the channels are followed again. Where the server keeps a channel's
/// history, what was published meanwhile is printed first; standard error says `recovered`, or that messages
/// were lost because they are no longer kept. On a channel without history they are lost.
///
/// A CHANNEL may be a pattern where the server allows it: `news.*` is every channel with one more name
/// behind `news.`, `news.>` with one or more. Its messages are printed under their channels, and are not
/// recovered.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket sub news
  tokensocket sub news weather --user ann
  tokensocket sub news --json | jq .message.title
  tokensocket sub news --count 1
  tokensocket sub news --since 5bd1e995c3a1f00d:7
  tokensocket sub 'news.>'
  tokensocket sub news --presence"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Sub {
    /// The channels
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Begin behind this place in the channel's history, as `history` and `pub` print it; for one CHANNEL
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = position_argument::parse)]
    since: Option<Position>,
    /// Say on standard error who comes and goes, where the server tells it
    #[arg(long)]
    presence: bool,
    /// Print each message as a JSON object with `channel` and `message`
    #[arg(long)]
    json: bool,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// A place is one channel's.
#[derive(Debug, thiserror::Error)]
#[error("--since is a place in the history of one channel: name one")]
pub(super) struct SinceOfSeveral;

/// How many messages of patterns may wait to be printed. More are dropped, which is said.
const WAITING: usize = 1_024;

/// What comes from one of the channels.
type Item = (Channel, Result<RawJson, SubscriptionError>);

/// What comes by patterns: from which channel, and what.
type Covered = mpsc::Receiver<(String, RawJson)>;

impl Sub {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        if self.since.is_some() && self.channels.len() != 1 {
            return Err(SinceOfSeveral.into());
        }
        let mut signals = Signals::new()?;
        let (socket, items, covered) = tokio::select! {
            following = self.connection.in_time(self.follow()) => following?,
            () = signals.next() => return Ok(()),
        };
        eprintln!("following {}", self.channels.join(", "));
        let printed = tokio::select! {
            printed = self.print_all(items, covered) => printed,
            () = signals.next() => Ok(()),
        };
        socket.end().await;
        printed
    }

    async fn follow(
        &self,
    ) -> anyhow::Result<(TokenSocket, impl Stream<Item = Item> + Unpin + use<>, Covered)> {
        let socket = self.connection.open(true).await?;
        tell_of_connection(&socket);
        let covered = self.listen_for_patterns(&socket);
        let mut subscriptions = Vec::new();
        for channel in &self.channels {
            let subscription = socket.subscribe_with(channel, self.options()).await?;
            let channel = subscription.channel().clone();
            let is_pattern = Pattern::of(&channel).is_some();
            subscriptions.push(subscription.filter_map(move |item| {
                // A pattern's subscription does not say which channel it was; the listener does.
                let is_heard = is_pattern && !matches!(item, Err(SubscriptionError::Lost(_)));
                ready((!is_heard).then(|| (channel.clone(), item)))
            }));
        }
        Ok((socket, select_all(subscriptions), covered))
    }

    /// Hears what patterns bring, but for channels that are followed by name.
    fn listen_for_patterns(&self, socket: &TokenSocket) -> Covered {
        let (tell, covered) = mpsc::channel(WAITING);
        let names = self.channels.iter().filter_map(|name| Channel::new(name).ok());
        let (patterns, names): (Vec<_>, Vec<_>) = names.partition(|channel| Pattern::of(channel).is_some());
        let patterns: Vec<Pattern> = patterns.iter().filter_map(Pattern::of).collect();
        socket.on_message(move |channel, message| {
            let is_named = names.iter().any(|name| name.as_str() == channel);
            if !is_named
                && patterns.iter().any(|pattern| pattern.covers(channel))
                && tell.try_send((channel.to_owned(), message.clone())).is_err()
            {
                eprintln!("{channel}: a message was dropped, because it was not printed fast enough");
            }
        });
        covered
    }

    fn options(&self) -> SubscribeOptions {
        let mut options = SubscribeOptions::new();
        if self.presence {
            options = options.presence();
        }
        self.since.iter().fold(options, |options, since| options.since(since.clone()))
    }

    async fn print_all(
        &self,
        mut items: impl Stream<Item = Item> + Unpin,
        mut covered: Covered,
    ) -> anyhow::Result<()> {
        let mut left = self.count;
        while left != Some(0) {
            let item = tokio::select! {
                Some((channel, message)) = covered.recv() => Some((Channel::new(channel)?, Ok(message))),
                item = items.next() => item,
            };
            match item {
                Some((channel, Ok(message))) => {
                    self.print(&channel, &message)?;
                    left = left.map(|left| left - 1);
                }
                Some((channel, Err(SubscriptionError::Lost(error)))) => {
                    let why = error.map_or_else(|| "no reason given".to_owned(), |error| error.to_string());
                    anyhow::bail!("the server took {channel} away: {why}");
                }
                Some((channel, Err(SubscriptionError::Unrecovered))) => {
                    eprintln!("{channel}: messages were lost here, the server no longer has them");
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

/// Says on standard error when the connection is lost and when it is back, and who comes and goes.
fn tell_of_connection(socket: &TokenSocket) {
    socket.on_disconnect(|why| eprintln!("connection lost: {why}; reconnecting"));
    socket.on_reconnect(|outcome| match outcome {
        Ok(()) => {
            eprintln!(
                "connected again; messages in between come now, but are lost on channels without history"
            );
        }
        Err(why) => tracing::info!(%why, "no connection yet"),
    });
    socket.on_recovered(|channel| eprintln!("{channel}: recovered, no message is missing"));
    socket.on_join(|channel, member| eprintln!("{channel}: {} came", name(member)));
    socket.on_leave(|channel, member| eprintln!("{channel}: {} left", name(member)));
}

fn name(Member { client, user, .. }: &Member) -> String {
    user.as_ref().map_or_else(|| client.clone(), |user| format!("{user} ({client})"))
}
