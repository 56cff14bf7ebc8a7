//! What every store must do, as checks that any implementation can be put through.
//!
//! In: a way to make the store, empty. Out: nothing, or a panic that says which duty was not done. For the tests of
//! whoever writes a store: with the feature `conformance`, call the suite from a test.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a check stops at what it does not expect")]

mod broker;
mod devices;
mod presence;

pub use broker::broker;
pub use devices::{devices, devices_kept};
pub use presence::presence;
