//! The server's half of the wire: from a client's text to what it asks for, and back.
//!
//! In: one message's text, and the answers that the server found. Out: [`Event`]s and encoded messages.
//! It opens nothing, waits for nothing and reads no clock. Payloads stay raw; decoding borrows from the
//! text and does not recurse.
//!
//! ```text
//! text ──Session::handle_message──▶ Event ──(driver: hooks, actions, hub)──▶ Answer::resp ──▶ text
//! ```

mod calls;
mod session;

pub use calls::Calls;
pub use session::{Command, Event, Session};
