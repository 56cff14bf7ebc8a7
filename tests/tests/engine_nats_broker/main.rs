//! The broker of NATS over real servers: its duties, several nodes, and what happens when a server is gone, stopped, full,
//! or has lost what it kept.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]

mod cluster;
mod duties;
mod faults;
mod histories;
mod keys;
mod node;
mod reach;
mod slow;
mod traffic;
