//! One connection of the load generator: a WebSocket, or HTTP requests.
//!
//! ```text
//! address ──▶ stream (tls) ──▶ handshake ──▶ connection ──▶ frames in ──▶ Incoming
//!                   │                            ▲
//!                   │                template ───┘  frames out, built once and patched
//!                   ▼
//!                exchange ──▶ response ──▶ parts of answers
//! ```
//!
//! Framing is written here and not taken from a WebSocket or an HTTP crate for one
//! reason: the generator must cost less than the server it measures. It reads
//! into one buffer for all connections, copies no message, and builds the frame
//! of a call once. It checks no more of the protocol than it needs, and knows
//! nothing of what the messages say.

pub(crate) mod address;
pub(crate) mod buffer;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod template;
pub(crate) mod tls;
pub(crate) mod token;

pub(crate) use address::Address;
pub(crate) use buffer::ReadBuffer;
pub(crate) use connection::Connection;
pub(crate) use exchange::Exchange;
pub(crate) use template::Template;
