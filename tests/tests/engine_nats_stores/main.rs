//! Tokens, presence and device queues over real NATS servers: their duties, several nodes, and what happens when a node or
//! a server dies.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]

mod against_memory;
mod answers;
mod cluster;
mod duties;
mod faults;
mod leases;
mod losses;
mod node;
mod nodes;
mod tokens;
mod writers;
