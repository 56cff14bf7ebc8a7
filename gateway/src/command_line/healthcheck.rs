//! `tokensocket healthcheck`: whether a gateway serves.
//!
//! In: where it is. Out: an exit status, for whoever watches over containers that have nothing else in them.

use std::io::{self, Write};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::gateway::Place;
use super::manual;

/// Says whether a gateway serves
///
/// Asks for `/healthcheck`, and ends with status 0 if that is answered with `ok`. For a container's health check:
/// nothing else need be in it.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket healthcheck
  tokensocket healthcheck --url http://127.0.0.1:8080 --timeout 1s"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Healthcheck {
    /// Say it as JSON, with how long the answer took
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Something answers there, which is not what serves.
#[derive(Debug, thiserror::Error)]
#[error("{url} answered {answer:?} in place of \"ok\"")]
struct NotOk {
    url: String,
    answer: String,
}

impl Healthcheck {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let asked = Instant::now();
        let place = self.place.open()?;
        let answer = place.text("/healthcheck").await?;
        if answer.trim() != "ok" {
            let answer = answer.chars().take(80).collect();
            return Err(NotOk { url: place.url().to_owned(), answer }.into());
        }
        let mut out = io::stdout().lock();
        if self.json {
            let took = asked.elapsed().as_secs_f64() * 1e3;
            writeln!(out, "{}", json!({ "ok": true, "milliseconds": took }))?;
        } else {
            writeln!(out, "ok")?;
        }
        Ok(())
    }
}
