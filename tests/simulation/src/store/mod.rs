//! Stores that outlive a server's process, on a simulated disk.
//!
//! ```text
//! Broker ── records ──▶ ┌──────┐
//!                       │ Disk │ ── synced, in order ──▶ the one who wrote, and the next process
//! DeviceStore ────────▶ └──────┘
//! ```
//!
//! In: what the server's traits ask for. Out: the same, by the rules that `tokensocket-server` has for stores: built on
//! its `queues`, `log` and `keys`, as the one on a real disk is. Knows nothing of sockets.

mod broker;
mod devices;
mod disk;

pub(crate) use broker::DiskBroker;
pub(crate) use devices::DiskDevices;
pub use disk::Sabotage;
pub(crate) use disk::{Care, Disk};
