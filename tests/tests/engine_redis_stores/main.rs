//! Device queues and presence in real Redis servers: the duties of a store, several nodes, and what Redis loses.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

mod audiences;
mod cluster;
mod duties;
mod faults;
mod keys;
mod leases;
mod node;
mod nodes;
mod presence;
