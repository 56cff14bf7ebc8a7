//! The load generator on a command line; `tokensocket bench` uses it too.

use std::time::Duration;

use clap::Args;

use crate::{
    error::BenchError,
    report::Report,
    run::run,
    target::{DialectName, Options, Target},
    workload::Workload,
};

/// Measures one running server.
///
/// The server runs beside it and shares the machine unless both are pinned;
/// figures per server CPU-second need `--pid`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// The server, as <http://HOST:PORT>, or <https://HOST:PORT> for TLS, whose
    /// certificate is not verified.
    #[arg(long, default_value = "http://127.0.0.1:1337")]
    pub url: String,
    /// What it speaks.
    #[arg(long, value_enum, default_value_t)]
    pub dialect: DialectName,
    /// Where it issues tokens.
    #[arg(long, default_value = "/socket/token")]
    pub token_path: String,
    /// Where its sockets are.
    #[arg(long, default_value = "/sockets")]
    pub socket_prefix: String,
    /// The action that answers with its argument.
    #[arg(long, default_value = "echo")]
    pub action: String,
    /// Where the SockJS service is that sends every message back, without tokens.
    #[arg(long, default_value = "/echo")]
    pub echo_path: String,
    /// The server's process id, for its CPU time and memory (Linux).
    #[arg(long)]
    pub pid: Option<u32>,
    /// Seconds to count.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds of load before counting.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// What is measured.
    #[command(subcommand)]
    pub workload: Workload,
}

impl BenchArgs {
    /// Runs what the arguments say. Blocks as [`run`] does.
    pub fn run(&self) -> Result<Report, BenchError> {
        let mut target = Target::new(&self.url)?
            .dialect(self.dialect)
            .token_path(&self.token_path)
            .socket_prefix(&self.socket_prefix)
            .action(&self.action)
            .echo_path(&self.echo_path);
        if let Some(pid) = self.pid {
            target = target.server(pid);
        }
        let options = Options { measure: seconds(self.seconds), warm_up: seconds(self.warm_up) };
        run(&target, &self.workload, &options)
    }

    /// `report` in the form that was asked for.
    pub fn render(&self, report: &Report) -> String {
        if self.json {
            serde_json::to_string_pretty(report).unwrap_or_else(|error| error.to_string())
        } else {
            report.to_string()
        }
    }
}

/// A duration of `seconds`; of none when that is no duration.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
