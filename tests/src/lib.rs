//! What the end to end tests stand on.
//!
//! In: a server under test, in this process or as a program. Out: peers that speak its wire byte by byte,
//! and programs beside it. Knows no test.
//!
//! Every wait has a time limit, [`limit::LIMIT`] unless a test needs another. What fails panics, and says
//! what was awaited.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test stops at what it does not expect"
)]

pub mod balancer;
pub mod bus;
pub mod device;
pub mod engine;
pub mod gate;
pub mod gateway;
pub mod http;
pub mod keeper;
pub mod ledger;
pub mod limit;
pub mod listening;
pub mod native;
pub mod netns;
pub mod node;
pub mod nodes;
pub mod open_files;
pub mod packets;
pub mod polling;
pub mod ports;
pub mod process;
pub mod program;
pub mod proxy;
pub mod scale;
pub mod scenarios;
pub mod site;
pub mod slow_link;
pub mod sockjs;
pub mod stream;
pub mod wire;
