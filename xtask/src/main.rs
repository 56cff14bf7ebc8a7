//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! Comes in: a command line. Goes out: the programs it runs (cargo, npm and so
//! on) with their output, and an exit status that is not zero when one failed.
//! It knows the workspace's folders and must not depend on any of its crates.
//!
//! A new command is a new variant of [`Command`] and a module of its own.

mod bench;
mod bundle;
mod layers;
mod report;
mod simulate;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all checks and tests, or only the steps named
    Test(test::Arguments),
    /// Check that imports run downward only, as docs/layers.toml says
    Layers,
    /// Build and run the load generator; all arguments, --help too, are passed on
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Simulate worlds by their seeds; all arguments, --help too, are passed on
    #[command(disable_help_flag = true)]
    Simulate(simulate::Arguments),
    /// Build the browser client and its npm package, in js-dist/dist
    Bundle(bundle::Arguments),
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let outcome = Workspace::find().and_then(|workspace| match line.command {
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Layers => layers::run(&workspace),
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
        Command::Simulate(arguments) => simulate::run(&workspace, &arguments),
        Command::Bundle(arguments) => bundle::run(&workspace, &arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}
