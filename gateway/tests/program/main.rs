//! The program at its public face: arguments in, output and exit status out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]
#![cfg(unix)]

mod bench;
mod call;
mod channels;
mod console;
mod deliver;
mod history;
mod http;
mod program;
mod serve;
mod sockets;
mod storage;
