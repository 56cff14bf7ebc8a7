//! `tokensocket history`: what a channel kept.
//!
//! In: a channel, and which part of it. Out: one line on standard output for each publication, and on standard error
//! what is missing.

use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use serde_json::json;
use tokensocket_client::{Error, ErrorCode, HistoryPage, HistoryQuery, Kept, Position, TokenSocket};

use super::connection::Connection;
use super::moment::Moment;
use super::{manual, position_argument};

/// Prints what a channel kept
///
/// Prints the publications that the server has kept of CHANNEL, the oldest first: for each its place, its
/// time and the message as JSON, with tabs between them. A place names the channel's epoch and the
/// publication's number in it; --since reads on from there.
///
/// An epoch is one unbroken run of numbers. When the server has lost publications the channel is in another
/// one, and when some are no longer kept, the first number is not the one that follows. Either is said on standard
/// error, and what is kept is printed.
///
/// Where the server lets only followers read, the channel is followed for a moment.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket history news
  tokensocket history news --limit 10 --reverse
  tokensocket history news --since 5bd1e995c3a1f00d:7
  tokensocket history news --json | jq .message.title"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct History {
    /// The channel
    channel: String,
    /// Only what was published after this place; with --reverse, what was published up to it
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = position_argument::parse)]
    since: Option<Position>,
    /// At most so many publications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// The latest first
    #[arg(long)]
    reverse: bool,
    /// Print each publication as a JSON object with `epoch`, `offset`, `at` (milliseconds since 1970) and `message`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl History {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let socket = self.connection.in_time(async { Ok(self.connection.open(false).await?) }).await?;
        let printed = self.print_all(&socket).await;
        socket.end().await;
        printed
    }

    async fn print_all(&self, socket: &TokenSocket) -> anyhow::Result<()> {
        let (mut since, mut left) = (self.since.clone(), self.limit);
        loop {
            let query = HistoryQuery { since: since.clone(), limit: left, reverse: self.reverse };
            let page = self.connection.in_time(async { Ok(self.read(socket, query).await?) }).await?;
            if let Some(since) = since.filter(|since| self.is_missing(since, &page)) {
                eprintln!("{}: some of what was published after {since} is no longer kept", self.channel);
            }
            for kept in &page.publications {
                self.print(&page, kept)?;
            }
            let last = page.publications.last().map(|kept| kept.offset);
            left = left.map(|left| left.saturating_sub(page.publications.len() as u64));
            let Some(last) = last.filter(|_| page.more && left != Some(0)) else { return Ok(()) };
            let offset = if self.reverse { last.saturating_sub(1) } else { last };
            since = Some(Position { epoch: page.position.epoch, offset });
        }
    }

    fn is_missing(&self, since: &Position, page: &HistoryPage) -> bool {
        page.gap || (self.reverse && since.epoch != page.position.epoch)
    }

    async fn read(&self, socket: &TokenSocket, query: HistoryQuery) -> Result<HistoryPage, Error> {
        match socket.history(&self.channel, query.clone()).await {
            Err(Error::Server(error)) if error.code() == ErrorCode::Forbidden => {
                socket.subscribe(&self.channel).await?.detach();
                socket.history(&self.channel, query).await
            }
            outcome => outcome,
        }
    }

    fn print(&self, page: &HistoryPage, kept: &Kept) -> io::Result<()> {
        let Kept { offset, message, at } = kept;
        let epoch = page.position.epoch.as_str();
        let mut out = anstream::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "epoch": epoch, "offset": offset, "at": at, "message": message }))
        } else {
            let style = Style::new().bold();
            writeln!(out, "{style}{epoch}:{offset}{style:#}\t{}\t{message}", Moment(*at))
        }
    }
}
