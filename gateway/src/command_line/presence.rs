//! `tokensocket presence`: who is on a channel.
//!
//! In: a channel. Out: how many are there, and one line for each, on standard output.

use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use serde_json::json;
use tokensocket_client::{Member, Members, PresenceQuery, TokenSocket};

use super::connection::Connection;
use super::manual;
use super::moment::Moment;

/// Prints who is on a channel
///
/// Prints how many follow CHANNEL, then one line for each, who came first first: the user, the id of the
/// connection, since when, and what the server tells of it as JSON, with tabs between them. A connection
/// without a user has `-` there. Asking does not make one of them.
///
/// A server may let only followers ask, or keep no presence of a channel; it says so.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket presence news
  tokensocket presence news --limit 0
  tokensocket presence news --json | jq .users"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Presence {
    /// The channel
    channel: String,
    /// Name at most so many; 0 prints how many there are, and nobody
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one JSON object with `clients`, `users` and `members`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Presence {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let socket = self.connection.in_time(async { Ok(self.connection.open(false).await?) }).await?;
        let asked = self.ask(&socket).await;
        socket.end().await;
        Ok(self.print(&asked?)?)
    }

    /// All that were asked for, however many the server tells at a time.
    async fn ask(&self, socket: &TokenSocket) -> anyhow::Result<Members> {
        let mut all = Members::default();
        loop {
            let left = self.limit.map(|limit| limit.saturating_sub(all.members.len() as u64));
            let after = all.members.last().map(|member| member.client.clone());
            let query = PresenceQuery { limit: left, after };
            let page = async { Ok(socket.presence(&self.channel, query).await?) };
            let page = self.connection.in_time(page).await?;
            let is_all = !page.more || page.members.is_empty();
            (all.clients, all.users) = (page.clients, page.users);
            all.members.extend(page.members);
            if is_all || self.limit.is_some_and(|limit| all.members.len() as u64 >= limit) {
                return Ok(all);
            }
        }
    }

    fn print(&self, all: &Members) -> io::Result<()> {
        let Members { clients, users, members, .. } = all;
        let mut out = anstream::stdout().lock();
        if self.json {
            let members: Vec<_> = members.iter().map(as_json).collect();
            return writeln!(out, "{}", json!({ "clients": clients, "users": users, "members": members }));
        }
        let style = Style::new().bold();
        writeln!(out, "{style}clients {clients}, users {users}{style:#}")?;
        for Member { client, user, info, since } in members {
            let user = user.as_deref().unwrap_or("-");
            writeln!(out, "{user}\t{client}\t{}\t{info}", Moment(*since))?;
        }
        Ok(())
    }
}

fn as_json(member: &Member) -> serde_json::Value {
    let Member { client, user, info, since } = member;
    json!({ "client": client, "user": user, "info": info, "since": since })
}
