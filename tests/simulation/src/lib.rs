//! A whole world in virtual time: the real server and the real client sessions, on simulated connections and disks,
//! with everything that can go wrong drawn from a seed.
//!
//! ```text
//! seed ──▶ story ──▶ client (protocol's Session) ◀──▶ network ◀──▶ node (the server, on hyper) ──▶ stores
//!            │              └──────────── facts ──▶ ledger, trace ◀── facts ────────────┘
//!            └──▶ Verdict: what was promised and not kept, and a hash of all that happened
//! ```
//!
//! In: seeds. Out: verdicts. One seed is one world, on a thread of its own, with one runtime whose time is paused: two
//! runs of a seed do the same at the same virtual times, to the last byte. `docs/simulation.md` says what is simulated,
//! what is checked, and how to replay.

#![allow(clippy::panic, reason = "a world that cannot be built is the simulation's own fault")]

mod client;
mod host;
mod ledger;
mod network;
mod node;
mod run;
mod store;
mod story;
mod trace;
mod world;

pub use run::{Options, simulate};
pub use store::Sabotage;
pub use story::Verdict;
