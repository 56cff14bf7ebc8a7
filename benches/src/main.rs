//! Compares our server with others, or measures one that runs already.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokensocket_benches::{BenchArgs, compare};

/// Compares our server with those a user might pick instead: starts each,
/// pinned to one core, loads it from another, and prints what each does with a
/// second of CPU time.
#[derive(Parser)]
#[command(name = "tokensocket-benches", args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: compare::CompareArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one server that runs already, as `tokensocket bench` does.
    Run(BenchArgs),
}

fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let outcome: Result<String, Box<dyn std::error::Error>> = match &arguments.command {
        Some(Command::Run(bench)) => bench.run().map(|report| bench.render(&report)).map_err(Into::into),
        None => compare::run(&arguments.compare).map_err(Into::into),
    };
    match outcome {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
