//! Actions: named functions that the other side may call, for servers and clients alike.
//!
//! In: a call's path and [`Call`] (payload, deadline, the caller's context). Out: a future that gives the
//! answer's payload or an [`crate::RpcError`]. It spawns nothing, keeps no time and knows no connection: who
//! polls the future, for how long, and what happens when it panics is the driver's affair.
//!
//! ```text
//! path ──Actions::get──▶ handler ──FromCall──▶ arguments ──▶ your async fn ──IntoReply──▶ payload
//! ```
//!
//! `C` is the context of a call: what an extractor may reach beyond the payload. On a server that is the
//! socket, on a client its handle.

mod argument;
mod extract;
mod handler;
mod registry;
mod reply;
mod state;

pub use argument::Argument;
pub use extract::{Call, Data, Deadline, FromCall};
pub use handler::{ActionFuture, Handler};
pub use registry::{Actions, InvalidAction};
pub use reply::IntoReply;
pub use state::{MissingState, State, StateMap};
