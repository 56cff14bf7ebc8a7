//! A TokenSocket client for tokio: typed calls in both directions, channels as streams, and a connection
//! that comes back by itself.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use tokensocket_client::{Actions, Data, Error, RpcError, TokenSocket};
//!
//! async fn greet(Data(name): Data<String>) -> Result<String, RpcError> {
//!     Ok(format!("Hello, {name}"))
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = TokenSocket::builder("https://example.com")
//!     .authentication(&serde_json::json!({ "user": "ada" }))
//!     .actions(Actions::new().action("greet", greet))
//!     .connect()?;
//! socket.ready().await?;
//!
//! let sum: i64 = socket.rpc("math.add", &(1, 2)).await?;
//!
//! let mut news = socket.subscribe("news").await?.typed::<String>();
//! socket.publish("news", "something happened").await?;
//! while let Some(item) = news.next().await {
//!     println!("{}", item?);
//! }
//! socket.end().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What can be lost, and how one knows
//! - A call whose connection is lost before the answer came fails with [`Error::Disconnected`]; it is
//!   never sent twice.
//! - While there is no connection, requests wait in a bounded queue; what happens when it is full is the
//!   builder's [`when_full`](Builder::when_full).
//! - Every channel is followed again after a reconnect. On a channel with history what was published meanwhile comes
//!   first, and when the server no longer has it, the reader gets
//!   [`SubscriptionError::Unrecovered`] and [`TokenSocket::on_unrecovered`] is told. On a channel without
//!   history it is lost, and nobody is told but the listeners of [`TokenSocket::on_reconnect`]. What the server itself may
//!   have missed there, while it was cut off from its engine, is told as `Unrecovered`, too.
//! - What the server delivers to this device is kept there until its handler is done: see
//!   [`TokenSocket::on_delivery`]. What the server could not keep is told to [`TokenSocket::on_resync`].
//! - A reader that is too slow for its [`Subscription`] loses the oldest publications and is told how
//!   many.
//!
//! # How it works
//! One task drives the session of `tokensocket_protocol::client`, which decides everything; each action
//! that the server calls runs as a task of its own. All of them are gone when [`TokenSocket::end`]
//! resolves, or soon after the last handle is dropped.

mod address;
mod builder;
mod channels;
mod command;
mod deliveries;
mod delivery;
mod driver;
mod error;
mod invocations;
mod listening;
mod rpc;
mod socket;
mod subscription;
mod token;
mod transport;

pub use builder::Builder;
pub use error::BuildError;
pub use rpc::Rpc;
pub use socket::{Actions, TokenSocket};
pub use subscription::Subscription;
pub use tokensocket_protocol::action::{self, Data, Deadline, State};
pub use tokensocket_protocol::client::handle::{
    Delivery, DeliveryHandler, Error, Event, HistoryPage, Kept, Listener, Member, Members, Published, Resync,
    SubscriptionError, UnknownEvent,
};
pub use tokensocket_protocol::client::{
    ConnectionError, PublishOptions, State as ConnectionState, SubscribeOptions, WhenFull,
};
pub use tokensocket_protocol::message::{HistoryQuery, PresenceQuery, Settings};
pub use tokensocket_protocol::{
    Channel, Close, Epoch, ErrorCode, InvalidChannel, Position, RawJson, ResyncReason, RpcError,
};
