//! `/info`: what a SockJS client asks before it connects (SockJS protocol 0.3.3, "Base URL greeting" and
//! "/info").

use serde_json::json;

/// The greeting at the base URL.
pub(crate) const GREETING: &str = "Welcome to SockJS!\n";

/// The answer of `/info`. `entropy` is 32 random bits.
pub(crate) fn info(entropy: u32) -> String {
    json!({ "websocket": true, "origins": ["*:*"], "cookie_needed": false, "entropy": entropy }).to_string()
}
