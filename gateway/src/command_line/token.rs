//! `tokensocket token`: a token for one connection.
//!
//! In: whom it is for. Out: the token on standard output.

use std::io::{self, Write};

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::gateway::{Gateway, OpenGateway};
use super::manual;

/// Gets a token, good for one connection
///
/// Prints a one-time token for a user of a site. With a key it is the site that asks, and the gateway issues the
/// token for whom it is told; a page that is given it connects as that user. Without a key it is asked for as a page
/// does, which tells who somebody is only where everybody is let in.
///
/// A token is good for one connection within half a minute, unless the site says otherwise.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket token --user ann
  tokensocket token --site newsite --user ann --room staff
  tokensocket token --user ann --json | jq -r .token"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Token {
    /// Whom it is for
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A room that the user is in; give it again for more
    #[arg(long, value_name = "NAME")]
    room: Vec<String>,
    /// Print a JSON object with `token`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: Gateway,
}

/// A key opens a site for everybody, so somebody must be named.
#[derive(Debug, thiserror::Error)]
#[error("with a key a token is for somebody: --user says for whom")]
pub(super) struct NobodyNamed;

#[derive(Deserialize)]
struct Issued {
    token: String,
}

impl Token {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let gateway = self.gateway.open()?;
        let issued = if gateway.has_key() { self.issue(&gateway).await } else { self.ask(&gateway).await };
        let Issued { token } = issued?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "token": token }))?;
        } else {
            writeln!(out, "{token}")?;
        }
        Ok(())
    }

    /// As the site.
    async fn issue(&self, gateway: &OpenGateway) -> anyhow::Result<Issued> {
        let Some(user) = &self.user else { return Err(NobodyNamed.into()) };
        let body = json!({ "user": user, "rooms": self.room });
        Ok(gateway.post("/api/v1/tokens", &[], &body).await?)
    }

    /// As a page.
    async fn ask(&self, gateway: &OpenGateway) -> anyhow::Result<Issued> {
        let path = self.gateway.site.as_ref().map(|site| format!("/{site}")).unwrap_or_default();
        let rooms = self.room.join(",");
        let user = self.user.iter().map(|user| ("user", user.as_str()));
        let rooms = (!rooms.is_empty()).then_some(("rooms", rooms.as_str()));
        let query: Vec<_> = user.chain(rooms).collect();
        Ok(gateway.get(&format!("{path}/socket/token"), &query).await?)
    }
}
