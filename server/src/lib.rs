//! The TokenSocket server: one-time tokens, RPC in both directions, publish and subscribe.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tokensocket_server::{Actions, Auth, Data, Identity, RpcError, Server, Socket, TokenRequest};
//!
//! #[derive(Serialize, Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Pair {
//!     a: i64,
//!     b: i64,
//! }
//!
//! async fn add(Data(Pair { a, b }): Data<Pair>, Auth(user): Auth<User>) -> Result<i64, RpcError> {
//!     a.checked_add(b).ok_or_else(|| RpcError::new(format!("too large, {}", user.name)))
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .authenticate(|request: TokenRequest| async move {
//!         Ok(Identity::new(User { name: request.query("user").unwrap_or_default() }))
//!     })
//!     .actions(Actions::new().nest("math", Actions::new().action("add", add)))
//!     .build()?;
//! let routes = server.routes(); // a warp filter; or `server.serve(listener).await`
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `socketio`: [`socketio`], Socket.IO clients of versions 1 to 4, by polling and WebSocket.
//! - `events`: [`events`], clients on a plain WebSocket whose messages are events.
//! - `tls`: [`Listener::tls`], TLS by rustls for a server with a listener of its own.
//! - `embedded`: [`EmbeddedStore`], device queues and histories on this machine's disk.
//! - `redis`: [`Redis`], everything that several nodes share: one server, several, Sentinel or a cluster.
//! - `nats`: [`Nats`], the same by NATS with JetStream. See [`ServerBuilder::engine`].
//! - `io-uring`: on Linux, a publication goes to a channel's followers in batches of 64 by `io_uring`, found
//!   out at run time for each thread; where the kernel forbids it, as containers may, nothing changes.
//! - `conformance`: `conformance`, the tests that every broker and store passes.
//!
//! Where to read on: `docs/architecture.md` follows a message through the files of this crate.

mod access;
mod broker;
mod builder;
mod channels;
mod command;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod delivery;
mod drain;
#[cfg(feature = "embedded")]
mod embedded;
mod engine;
mod error;
#[cfg(feature = "events")]
pub mod events;
mod format;
mod guarded;
mod history;
mod http;
mod hub;
mod identity;
mod metrics;
#[cfg(feature = "nats")]
mod nats;
mod node;
mod node_id;
mod presence;
#[cfg(feature = "redis")]
mod redis;
mod rpc;
mod server;
mod session;
mod socket;
#[cfg(feature = "socketio")]
pub mod socketio;
mod store;
mod timestamp;
mod token;
mod transport;

pub use access::{AuthenticateError, Filtered, TokenRequest};
pub use broker::{
    Broker, BrokerError, BrokerHandler, Control, Gap, Key, MemoryBroker, Publication, Publish, Published,
};
pub use builder::ServerBuilder;
pub use channels::ChannelOptions;
pub use delivery::{
    Acknowledge, Appended, Arrival, Arrived, DeliverOptions, Delivered, Device, DeviceHandler, DeviceStore,
    Entry, Expired, MemoryDeviceStore, Message, QueueCounts, QueueLimits, Queued, Resync, ResyncReason, To,
};
pub use drain::Drain;
#[cfg(feature = "embedded")]
pub use embedded::{
    Damage, Durability, EmbeddedBroker, EmbeddedDeviceStore, EmbeddedError, EmbeddedOptions, EmbeddedStore,
    Lost, OpenReport,
};
pub use engine::{Engine, EngineStatus, Outage};
pub use error::{
    BuildError, CallError, DeliverError, HistoryError, IssueError, PresenceError, PublishError, ReachError,
    ServeError, SubscribeError,
};
pub use history::{History, HistoryPage, HistoryQuery, Kept, keys, log};
pub use http::body::ResponseBody;
pub use http::cors::AllowedOrigins;
pub use http::listener::Listener;
#[cfg(feature = "socketio")]
pub use http::service::SocketIoService;
pub use http::service::{RemoteAddress, TokenSocketService};
pub use identity::Identity;
#[cfg(feature = "nats")]
pub use nats::{
    Nats, NatsBroker, NatsDeviceStore, NatsError, NatsOptions, NatsPresenceStore, NatsReplicaOptions,
    NatsTokenStore,
};
pub use node::NodeCounts;
pub use node::peers::{
    ChannelInfo, ChannelQuery, Listed, NodeInfo, OutgoingTo, SocketQuery, Surveyed, Totals,
};
pub use node_id::{InvalidNodeId, NodeId};
pub use presence::{Change, Counts, Member, MemoryPresenceStore, Presence, PresenceStore};
#[cfg(feature = "redis")]
pub use redis::{
    Redis, RedisBroker, RedisDeviceStore, RedisError, RedisOptions, RedisPresenceStore, RedisTokenStore,
};
pub use rpc::auth::Auth;
pub use server::{PublishOptions, Server, Survey, Together};
pub use socket::outgoing::Outgoing;
pub use socket::{Socket, SocketId, SocketInfo, Waiting};
pub use store::StoreError;
pub use timestamp::Timestamp;
pub use token::{MemoryTokenStore, TokenStore, TokenStoreError};
pub use tokensocket_protocol::action::{
    Argument, Data, Deadline, FromCall, Handler, InvalidAction, MissingState, State,
};
pub use tokensocket_protocol::{
    Channel, Close, Epoch, ErrorCode, InvalidChannel, Pattern, Position, RawJson, RpcError, Token,
};
pub use transport::sockjs::options::SockJsOptions;
pub use transport::sockjs::service::{SessionEnded, SockJsSocket};

/// What a store of device queues does apart from keeping it: for whoever writes a [`DeviceStore`].
pub mod queues {
    pub use crate::delivery::queues::{Accepted, Change, Content, DeviceRecord, Held, Queues, Restored};
}

/// The actions of a server: see [`tokensocket_protocol::action::Actions`].
pub type Actions = tokensocket_protocol::action::Actions<Socket>;

/// One call of a server's action, as an extractor sees it.
pub type Call<'a> = tokensocket_protocol::action::Call<'a, Socket>;
