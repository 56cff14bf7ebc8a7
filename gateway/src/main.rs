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

/// Messages are made by the threads that serve and freed by the one that writes them to the disk, which the C
/// library's allocator makes both wait for: with it, a tenth less is kept a second (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
