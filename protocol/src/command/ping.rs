//! `_ping`: `{"rpc":"_ping","req":{},"uuid":U}`, answered `{"message":"pong"}`.

use crate::answer::{Answer, named};

/// The verb.
pub const NAME: &str = "_ping";

impl Answer {
    /// Says pong.
    pub fn pong(mut self) -> Vec<u8> {
        self.field(named!("resp"), b"{\"message\":\"pong\"}");
        self.finish()
    }
}
