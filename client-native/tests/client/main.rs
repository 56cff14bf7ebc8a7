//! The client against a peer that the test plays, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod actions;
mod calls;
mod channels;
mod connecting;
mod deliveries;
mod peer;
mod recovery;
