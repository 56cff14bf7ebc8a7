//! Clients whose messages are events, on a plain WebSocket: `{"event": …}` and nothing more.
//!
//! ```text
//! {"event":"data:get:x"} ──▶ data source ──▶ {"event":"data:set:x","data":…}
//! {"event":"anything"}   ──▶ handler, with the socket to answer on
//! ```
//!
//! In: an endpoint's choices, its data sources and its handler. Out: sockets of the server's node, so that what is
//! delivered or emitted to their users reaches them too. What is no such message is ignored. Knows no other wire.
//!
//! ```
//! use serde_json::json;
//! use tokensocket_server::Server;
//! use tokensocket_server::events::{EventMessage, EventMode, EventOptions, EventSocket};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let events = EventOptions::new(EventMode::Both)
//!     .open()
//!     .data_source("time", |_| async { Ok(json!({ "zone": "UTC" })) })
//!     .on_event(|message: EventMessage, socket: EventSocket| async move {
//!         if message.event() == "echo:message" {
//!             let _ = socket.emit("echo:reply", message.json());
//!         }
//!     });
//! let server = Server::builder().events("/events", events).build()?;
//! # Ok(())
//! # }
//! ```

pub(crate) mod driver;
mod endpoint;
mod message;
mod options;
mod socket;
mod writer;

pub(crate) use endpoint::Endpoint;
pub use message::{DataRequest, EventMessage};
pub use options::{EventMode, EventOptions};
pub use socket::EventSocket;
