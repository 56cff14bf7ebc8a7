//! `tokensocket bench`: the load generator against a server that runs already.
//!
//! In: a workload and how much of it. Out: a report on standard output. What is measured, and how, is the
//! load generator's affair. It blocks, so it gets no runtime of ours.

use std::io::{self, Write};

use clap::Args;
use tokensocket_benches::BenchArgs;

use super::manual;

/// Measures how fast a server is
///
/// Loads one server that runs already, for some seconds, and prints what it did: calls per second with
/// their latencies, deliveries to many subscribers, memory per idle socket, or connects.
///
/// The generator and the server share this machine unless both are pinned to cores of their own. With the
/// server's --pid the report also says what it did per second of CPU time, which depends less on what
/// else runs.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket bench calls
  tokensocket bench --pid $(pidof -s tokensocket) fanout --subscribers 1000
  tokensocket bench --url http://127.0.0.1:8080 --seconds 10 --json connect"),
    ("Exit status", "  \
  0  measured
  1  the server cannot be reached, refused, or broke off
  2  the command line is wrong; nothing was measured"),
]))]
pub(super) struct Bench {
    #[command(flatten)]
    arguments: BenchArgs,
}

impl Bench {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let report = self.arguments.run()?;
        let text = self.arguments.render(&report);
        writeln!(io::stdout().lock(), "{}", text.trim_end())?;
        Ok(())
    }
}
