//! `reconnect`: `{"internal":true,"command":"reconnect","data":{"after_ms":N}}`.
//!
//! Sent before a close with 1012, to clients that said hello. Each gets another N, so that they do not
//! all come back at once.

use std::time::Duration;

/// Tells a client that the server is about to close, and when to come back.
pub fn hint(after: Duration) -> Vec<u8> {
    super::internal("reconnect", &[format!("{{\"after_ms\":{}}}", after.as_millis()).as_bytes()])
}
