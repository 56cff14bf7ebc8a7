//! TokenSocket in a browser: calls both ways, channels, and coming back after the connection is lost.
//!
//! ```text
//!  Rust front ends ──▶ typed ──┐                 ┌──▶ transport   (WebSocket, or requests in its place)
//!  JavaScript      ──▶ bundle ─┼──▶ driver ──────┼──▶ token       (fetch, JSONP)
//!                              │     │           ├──▶ timer       (setTimeout, performance.now)
//!                              │     ▼           └──▶ page        (online, visibility)
//!                              │  protocol's client session
//! ```
//!
//! All that decides is in [`tokensocket_protocol::client`], which native clients share. This crate does what
//! the session says with what a page offers, and runs in pages, workers and Node.
//! Each part that talks to the page is a few lines of JavaScript beside its Rust: they cost a fraction of
//! what the same calls cost as imports of one browser function each.
//!
//! # Features
//!
//! - `typed` (default): for front ends written in Rust; payloads are raw JSON text.
//! - `bundle`: the class that the npm package `tokensocket` is made of; payloads are the engine's own
//!   values, read and written by its own `JSON`. Built without `typed`.

#[cfg(feature = "bundle")]
mod bundle;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod driver;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod listener;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod page;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod timer;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod token;
#[cfg(any(feature = "bundle", feature = "typed"))]
mod transport;
#[cfg(feature = "typed")]
mod typed;

#[cfg(feature = "bundle")]
pub use bundle::Connection;
#[cfg(feature = "typed")]
pub use tokensocket_protocol::action::{self, Data, Deadline, State};
#[cfg(feature = "typed")]
pub use tokensocket_protocol::client::handle::{
    Delivery, DeliveryHandler, Error, Event, HistoryPage, Kept, Listener, Member, Members, Published, Resync,
    SubscriptionError, UnknownEvent,
};
#[cfg(feature = "typed")]
pub use tokensocket_protocol::client::{
    ConnectionError, PublishOptions, State as ConnectionState, SubscribeOptions, WhenFull,
};
#[cfg(feature = "typed")]
pub use tokensocket_protocol::message::{HistoryQuery, PresenceQuery, Settings};
#[cfg(feature = "typed")]
pub use tokensocket_protocol::{
    Channel, Close, Epoch, ErrorCode, InvalidChannel, Position, RawJson, ResyncReason, RpcError,
};
#[cfg(feature = "typed")]
pub use typed::{
    Actions, BuildError, Builder, Credentials, Rpc, Subscription, TokenBy, TokenSocket, Transport,
};
