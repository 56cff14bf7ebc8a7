//! The program at its public face: arguments in, output and exit status out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]
#![cfg(unix)]

mod activation;
mod api;
mod bench;
mod call;
mod channels;
mod configuration;
mod console;
mod deliver;
mod deploy;
mod history;
mod http;
mod manuals;
mod program;
mod reload;
mod serve;
#[cfg(feature = "redis")]
mod several;
mod sites;
mod sockets;
mod storage;
mod stub;
