//! The TokenSocket wire and both ends' session logic, without I/O.
//!
//! ```text
//!        client::Session                                    server::Session
//! ┌──────────────────────────────┐                  ┌──────────────────────────────┐
//! │ handle_call, handle_text, …  │   text frames    │ handle_message(text)         │
//! │ poll_output, poll_timeout    │ ◀──────────────▶ │   ──▶ Event ──▶ Answer       │
//! └──────────────────────────────┘                  └──────────────────────────────┘
//!   driven by a client crate's task                   driven by the server's task
//! ```
//!
//! Nothing in this crate opens a socket, waits, reads a clock or asks for randomness: the driver hands
//! texts, times and random numbers in, and does what it is told. The wire itself is described in
//! `docs/protocol.md`; each verb is a file in [`command`].
//!
//! # Driving the server's half
//!
//! Hand each text to [`server::Session::handle_message`] and act on the [`server::Event`]. Every request
//! comes with its [`Answer`], which is used up by what it says.
//!
//! ```
//! use tokensocket_protocol::RawJson;
//! use tokensocket_protocol::server::{Command, Event, Session};
//!
//! # fn main() -> Result<(), serde_json::Error> {
//! let mut session = Session::new();
//! let auth = r#"{"rpc":"auth","token":"abababab-abab-4bab-abab-abababababab","uuid":"1"}"#;
//! let Event::Authenticate { answer, .. } = session.handle_message(auth, Vec::new()) else { panic!() };
//! session.authenticated(); // the token was good
//! let text = answer.authenticated(None);
//! assert!(text.as_bytes().ends_with(br#""uuid":"1","resp":"success"}"#));
//!
//! let call = r#"{"rpc":"double","req":21,"uuid":"2"}"#;
//! let Event::Command(Command::Call(call, answer)) = session.handle_message(call, Vec::new()) else { panic!() };
//! assert_eq!(call.path, "double");
//! let n: i64 = call.data.parse()?;
//! let text = answer.resp(&RawJson::new(&(2 * n))?);
//! assert_eq!(text.as_bytes(), br#"{"rpc":"double","uuid":"2","resp":42}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Driving the client's half
//!
//! See [`client`]. It is generic over its payload and over how JSON is read and written, so that a native
//! client and a browser's share it: see [`codec`].
//!
//! # Other wires
//!
//! [`sockjs`] and [`engineio`] are what carries messages where a WebSocket does not, or where a client speaks nothing
//! else; [`socketio`] is what Socket.IO's clients say on the latter. None of them knows the sessions above.
//!
//! # Features
//!
//! `json` (default): raw JSON payloads through `serde_json`, actions, and the server's half. Without it the
//! client's session remains, for platforms with a JSON of their own.

#[cfg(feature = "json")]
pub mod action;
#[cfg(feature = "json")]
mod answer;
mod channel;
pub mod client;
mod close;
pub mod codec;
#[cfg(feature = "json")]
pub mod command;
#[cfg(feature = "json")]
pub mod engineio;
#[cfg(feature = "json")]
mod envelope;
mod error;
#[cfg(feature = "json")]
pub mod event;
#[cfg(feature = "json")]
mod framing;
#[cfg(feature = "json")]
mod json;
pub mod message;
mod pattern;
mod position;
#[cfg(feature = "json")]
mod raw_json;
#[cfg(feature = "json")]
mod rpc_error;
#[cfg(feature = "json")]
pub mod server;
#[cfg(feature = "json")]
pub mod socketio;
#[cfg(feature = "json")]
pub mod sockjs;
#[cfg(feature = "json")]
mod threads;
mod token;

#[cfg(feature = "json")]
pub use answer::Answer;
pub use channel::{Channel, InvalidChannel, MAX_CHANNEL_BYTES, RESERVED_CHANNELS};
pub use close::{Close, Reconnect};
#[cfg(feature = "json")]
pub use envelope::MAX_DEPTH;
pub use error::ErrorCode;
#[cfg(feature = "json")]
pub use framing::{Framed, Framing};
#[cfg(feature = "json")]
pub use json::slice::RawSlice;
pub use message::ResyncReason;
pub use pattern::Pattern;
pub use position::{Epoch, InvalidPosition, MAX_OFFSET, Position};
#[cfg(feature = "json")]
pub use raw_json::RawJson;
#[cfg(feature = "json")]
pub use rpc_error::RpcError;
#[cfg(feature = "json")]
pub use threads::{MaybeSend, MaybeSync};
pub use token::{MalformedToken, Token};
