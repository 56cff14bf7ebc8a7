//! `tokensocket`: the gateway as one program, and a command line to try any TokenSocket server with.
//!
//! ```text
//! command_line ─▶ serve ─▶ storage ─▶ open (the server) ──┐
//!              │           pages (the rest) ◀── console ─┴▶ serving, until signals
//!              ─▶ call, sub, pub, history, … ─▶ connection ─▶ the native client
//!              ─▶ bench ─▶ the load generator
//! ```
//!
//! Only commands print to standard output. Logs and complaints go to standard error.

mod command_line;
mod console;
mod log;
mod open;
mod open_files;
mod pages;
mod serving;
mod signals;
mod storage;

use std::process::ExitCode;

use clap::Parser;

use command_line::CommandLine;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
