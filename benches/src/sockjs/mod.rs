//! SockJS sessions as clients of a plain echo service hold them, on every
//! transport.
//!
//! ```text
//! message ─▶ outgoing ─┬─▶ websocket ─────────▶ a frame for each message
//!                      └─▶ http ─┬─ sender ───▶ a body of all that waits
//!                                └─ receiver ─▶ lines ─▶ frames ─┐
//! ids that came back ◀─ session ◀────────────────────────────────┘
//! ```
//!
//! In: a [`Transport`], an address, the path of a service, and a [`Message`]
//! that is sent with one id after the other. Out: the ids that came back. What
//! comes back must be what was sent, to the byte; it must not know what a
//! workload counts. The protocol is that of SockJS 0.3.3 as npm `sockjs` 0.3.24
//! has it.

mod frame;
mod http;
mod message;
mod outgoing;
mod session;
mod transport;
mod websocket;

pub(crate) use message::Message;
pub(crate) use outgoing::Outgoing;
pub(crate) use session::Session;
pub use transport::Transport;
