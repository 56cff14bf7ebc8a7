//! `tokensocket call`: one call of an action.
//!
//! In: a path and JSON. Out: the answer as JSON on standard output.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::Value;
use tokensocket_client::RawJson;

use super::connection::Connection;
use super::json_argument::JsonArgument;
use super::manual;

/// Calls an action and prints its answer
///
/// Connects, calls the action PATH with JSON as its argument, prints the answer as JSON and ends. On a
/// terminal the answer is laid out for reading, elsewhere it is one line. An error that the server
/// answers goes to standard error, with its code and details.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket call time
  tokensocket call whoami --user ann
  tokensocket call echo '{\"hello\":\"world\"}'
  tokensocket call echo - <request.json
  tokensocket call orders.list --url https://example.org --timeout 30s"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Call {
    /// The action: its path, with dots between names, such as `echo` or `orders.list`
    path: String,
    /// Its argument, or `-` to read it from standard input
    #[arg(value_name = "JSON", default_value = "null", allow_negative_numbers = true)]
    data: JsonArgument,
    /// Print the answer on one line, on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Call {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let data = self.data.read()?;
        let called = self.connection.in_time(async {
            let socket = self.connection.open(false).await?;
            let answer = socket.rpc::<RawJson>(self.path, &data).await;
            Ok((socket, answer))
        });
        let (socket, answer) = called.await?;
        socket.end().await;
        print(&answer?, self.json)
    }
}

fn print(answer: &RawJson, one_line: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if one_line || !out.is_terminal() {
        writeln!(out, "{answer}")?;
    } else {
        writeln!(out, "{:#}", answer.parse::<Value>()?)?;
    }
    Ok(())
}
