//! What every client in Rust hands to its user: errors, listeners, and the buffers between a driver and the
//! readers of a channel.
//!
//! In: what the session tells its driver. Out: types that a client crate shows as its own. Nothing here does
//! I/O, waits, or knows how a driver runs; a client crate adds the handle itself.

mod buffer;
mod error;
pub mod form;
mod listeners;
mod subscribers;

pub use buffer::Buffer;
pub use error::{Error, SubscriptionError};
pub use listeners::{Event, EventName, Listener, Listeners, UnknownEvent};
pub use subscribers::Subscribers;
