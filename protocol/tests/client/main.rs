//! The client's session, driven in virtual time against a server that the test plays.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod calling;
mod channels;
mod connecting;
mod delivering;
mod driver;
mod interleavings;
mod invoking;
mod losses;
mod recovering;
mod waiting;
mod waking;
