//! `tokensocket`: the gateway as one program, and a command line to try any TokenSocket server with.
//!
//! ```text
//! command_line ─▶ serve ─▶ storage ─▶ open (the server) ──┐
//!              │           pages (the rest) ◀── console ─┴▶ serving, until signals
//!              ─▶ call, sub, pub, history, … ─▶ connection ─▶ the native client
//!              ─▶ bench ─▶ the load generator
//! ```
//!
//! As a library it is [`Gateway`]: the same sites, for a program that has routes of its own beside them.
//!
//! Only commands print to standard output. Logs and complaints go to standard error.

mod activation;
mod api;
mod command_line;
mod config;
mod console;
mod engine;
mod front;
mod gateway;
mod log;
mod open;
mod open_files;
mod pages;
mod reloading;
mod serving;
mod signals;
mod site;
mod storage;

use std::process::ExitCode;

use clap::Parser;

use command_line::CommandLine;

pub use gateway::{Gateway, GatewayError};

/// The program: reads its arguments, does what they say, and gives its status.
pub fn run() -> ExitCode {
    CommandLine::parse().run()
}
