//! The command line: one command per file, each parsed by clap and run to its end.
//!
//! In: arguments. Out: what the command prints, and an exit status that says how it went.

mod bench;
mod call;
mod check;
mod completions;
mod connection;
mod deliver;
mod gateway;
mod healthcheck;
mod history;
mod init;
mod json_argument;
mod man;
mod manual;
mod moment;
mod nodes;
mod position_argument;
mod presence;
mod publish;
mod receive;
mod send;
mod serve;
mod site_status;
mod sites;
mod status;
mod sub;
mod token;
mod top;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime;

use crate::{activation, log};

/// What serve logs: how the database below it goes about its work is nobody's affair but a debugger's.
const SERVE_LOG: &str = "info,fjall=warn,lsm_tree=warn";

/// Calls in both directions, publish and subscribe, deliveries that are kept: a TokenSocket server, and a client for
/// terminals.
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
  tokensocket pub news '{\"title\":\"It works\"}'
  tokensocket history news
  tokensocket receive order --user ann --device phone
  tokensocket deliver --user ann order '{\"id\":7}'"),
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
    Check(check::Check),
    Init(init::Init),
    Call(call::Call),
    Sub(sub::Sub),
    Pub(publish::Publish),
    History(history::History),
    Presence(presence::Presence),
    Receive(receive::Receive),
    Deliver(deliver::Deliver),
    Send(send::Send),
    Token(token::Token),
    Sites(sites::Sites),
    Nodes(nodes::Nodes),
    Top(top::Top),
    Healthcheck(healthcheck::Healthcheck),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
}

impl CommandLine {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> ExitCode {
        let usual = if matches!(self.command, Command::Serve(_)) { SERVE_LOG } else { "warn" };
        log::start(self.log.as_deref().unwrap_or(usual));
        let outcome = match self.command {
            Command::Serve(serve) => activation::listener().map_err(Into::into).and_then(|inherited| {
                block_on(&mut runtime::Builder::new_multi_thread(), serve.run(inherited))
            }),
            Command::Check(check) => check.run(),
            Command::Init(init) => init.run(),
            Command::Call(call) => as_client(call.run()),
            Command::Sub(sub) => as_client(sub.run()),
            Command::Pub(publish) => as_client(publish.run()),
            Command::History(history) => as_client(history.run()),
            Command::Presence(presence) => as_client(presence.run()),
            Command::Receive(receive) => as_client(receive.run()),
            Command::Deliver(deliver) => as_client(deliver.run()),
            Command::Send(send) => as_client(send.run()),
            Command::Token(token) => as_client(token.run()),
            Command::Sites(sites) => as_client(sites.run()),
            Command::Nodes(nodes) => as_client(nodes.run()),
            Command::Top(top) => as_client(top.run()),
            Command::Healthcheck(healthcheck) => as_client(healthcheck.run()),
            Command::Bench(bench) => bench.run(),
            Command::Completions(completions) => completions.run(Self::command()),
            Command::Man(man) => man.run(Self::command()),
        };
        status::of(outcome)
    }
}

fn as_client(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    block_on(&mut runtime::Builder::new_current_thread(), command)
}

fn block_on(
    runtime: &mut runtime::Builder,
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    runtime.enable_all().build()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        CommandLine::command().debug_assert();
    }
}
