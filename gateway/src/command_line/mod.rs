//! The command line: one command per file, each parsed by clap and run to its end.
//!
//! In: arguments. Out: what the command prints, and an exit status that says how it went.

mod bench;
mod call;
mod connection;
mod json_argument;
mod manual;
mod publish;
mod serve;
mod status;
mod sub;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::log;

/// Calls in both directions, publish and subscribe: a TokenSocket server, and a client for terminals.
///
/// `tokensocket serve` is a server to begin with: nothing to configure, nothing else to install. The
/// other commands speak to it, or to any other TokenSocket server, from a second terminal.
#[derive(Parser)]
#[command(
    name = "tokensocket",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "`tokensocket help COMMAND` says everything about a command.",
    after_long_help = manual::sections(&[
        ("Examples", "  \
  tokensocket serve
  tokensocket call whoami --user ann
  tokensocket sub news
  tokensocket pub news '{\"title\":\"It works\"}'"),
        manual::EXIT_STATUS,
        manual::ENVIRONMENT,
    ]),
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// What is logged to standard error, such as `debug` or `off`
    ///
    /// A level (error, warn, info, debug, trace, off), or filters such as `warn,tokensocket_server=debug`.
    /// Without it: info for serve, warn for every other command. Logs are text on a terminal, elsewhere
    /// one JSON object per line.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "RUST_LOG",
        hide_env = true,
        value_parser = log::parse,
        display_order = 100
    )]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Call(call::Call),
    Sub(sub::Sub),
    Pub(publish::Publish),
    Bench(bench::Bench),
}

impl CommandLine {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> ExitCode {
        let usual = if matches!(self.command, Command::Serve(_)) { "info" } else { "warn" };
        log::start(self.log.as_deref().unwrap_or(usual));
        let outcome = match self.command {
            Command::Serve(serve) => block_on(&mut runtime::Builder::new_multi_thread(), serve.run()),
            Command::Call(call) => block_on(&mut runtime::Builder::new_current_thread(), call.run()),
            Command::Sub(sub) => block_on(&mut runtime::Builder::new_current_thread(), sub.run()),
            Command::Pub(publish) => block_on(&mut runtime::Builder::new_current_thread(), publish.run()),
            Command::Bench(bench) => bench.run(),
        };
        status::of(outcome)
    }
}

fn block_on(
    runtime: &mut runtime::Builder,
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    runtime.enable_all().build()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        CommandLine::command().debug_assert();
    }
}
