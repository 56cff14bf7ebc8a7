//! What a builder is told of deliveries and presence.

use std::time::Duration;

use super::ServerBuilder;
use crate::delivery::DeviceStore;

impl ServerBuilder {
    /// Keeps what is delivered to devices elsewhere than in memory. The default is
    /// [`MemoryDeviceStore`](crate::MemoryDeviceStore) with its limits: what was not acknowledged is gone with the
    /// process.
    pub fn device_store(mut self, store: impl DeviceStore) -> Self {
        self.devices = Box::new(store);
        self
    }

    /// How long a device is remembered after its last connection has ended, and what is delivered to it kept.
    /// Default one hour. A connection whose client named no device is forgotten at once.
    pub fn device_ttl(mut self, ttl: Duration) -> Self {
        self.config.device_ttl = ttl;
        self
    }
}
