//! What every client in Rust hands to its user: errors, listeners, and the buffers between a driver and the
//! readers of a channel.
//!
//! In: what the session tells its driver. Out: types that a client crate shows as its own. Nothing here does
//! I/O, waits, or knows how a driver runs; a client crate adds the handle itself.

mod buffer;
mod deliveries;
mod error;
pub mod form;
mod handlers;
mod listeners;
mod member;
mod page;
mod subscribers;

pub use buffer::Buffer;
pub use deliveries::{Deliveries, Next};
pub use error::{Error, SubscriptionError};
pub use handlers::{Delivery, DeliveryHandler, Handlers, Handling, Resync};
pub use listeners::{Event, EventName, Listener, Listeners, UnknownEvent};
pub use member::{Member, Members};
pub use page::{HistoryPage, Kept, Published};
pub use subscribers::Subscribers;
