//! `tokensocket sites`: the sites of a gateway.
//!
//! In: a gateway. Out: one line on standard output for each site.

use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use serde_json::json;

use super::gateway::Gateway;
use super::manual;
use super::site_status::{self, Broker, Site, Status};

/// Prints the sites of a gateway
///
/// Prints one line for each site that the key opens, or whose keys the configuration has: its name, how many connections it has, how many users those
/// are, how many channels are followed, how many deliveries wait for devices, and of how many nodes all of this is, with
/// tabs between them; `-` where the gateway does not count. `2 of 3` nodes means that one did not answer, and that what it
/// has is missing.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket sites
  tokensocket sites --json | jq 'select(.queued > 1000).site'"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Sites {
    /// Print each site as a JSON object with `site`, `connections`, and whatever else is known
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: Gateway,
}

impl Sites {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let status = Status::all(self.gateway.open()?.get_all(site_status::PATH).await?);
        Ok(self.print(&status)?)
    }

    fn print(&self, status: &Status) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        let style = Style::new().bold();
        if !self.json {
            writeln!(out, "{style}site\tconnections\tusers\tchannels\tqueued\tnodes{style:#}")?;
        }
        for site in &status.sites {
            if self.json {
                writeln!(out, "{}", json!(site))?;
                continue;
            }
            let Site { name, connections, users, channels, queued, nodes, .. } = site;
            let nodes = nodes.map_or_else(|| "-".to_owned(), |nodes| nodes.to_string());
            let [users, channels, queued] = [*users, *channels, *queued].map(known);
            writeln!(out, "{name}\t{connections}\t{users}\t{channels}\t{queued}\t{nodes}")?;
        }
        if let Some(complaint) = status.broker.as_ref().and_then(Broker::complaint) {
            anstream::eprintln!("{complaint}");
        }
        Ok(())
    }
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
