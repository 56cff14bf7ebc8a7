//! The Rust face: for front ends written in Rust, with the names and types of `tokensocket-client`.
//!
//! ```text
//! TokenSocket ──▶ Driver<NativeCodec, Ears> ──▶ Ears ──▶ waiters, subscriptions, listeners, actions, handlers of deliveries
//! ```
//!
//! Payloads are raw JSON text, read and written by serde. Everything runs on the page's one thread, so
//! futures, listeners and handlers may hold values that are bound to it.

mod address;
mod builder;
mod channels;
mod codec;
mod delivery;
mod ears;
mod error;
mod listening;
mod mail;
mod rpc;
mod socket;
mod subscription;
mod transports;

pub use builder::{Builder, Credentials, TokenBy};
pub use error::BuildError;
pub use rpc::Rpc;
pub use socket::{Actions, TokenSocket};
pub use subscription::Subscription;
pub use transports::Transport;
