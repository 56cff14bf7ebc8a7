//! One task per connection, and what waits to be written to it.

pub(crate) mod answers;
mod burst;
pub(crate) mod clock;
mod dispatch;
pub(crate) mod driver;
pub(crate) mod outbox;
pub(crate) mod running;
pub(crate) mod serial;
