//! What every store must do, as checks that any implementation can be put through.
//!
//! In: a way to make the store, empty. Out: nothing, or a panic that says which duty was not done. For the tests of
//! whoever writes a store: with the feature `conformance`, call the suite from a test.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a check stops at what it does not expect")]

mod broker;
mod devices;
mod nodes;
mod presence;
mod tokens;

pub use broker::broker;
pub use devices::{devices, devices_kept, devices_kept_by_own_clock};
pub use nodes::{broker_nodes, broker_nodes_each_in_order};
pub use presence::presence;
pub use tokens::{tokens, tokens_shared};
