//! `_ping`: `{"rpc":"_ping","req":{},"uuid":U}`, answered `{"message":"pong"}`.

use crate::answer::Answer;

/// The verb.
pub const NAME: &str = "_ping";

impl Answer {
    /// Says pong.
    pub fn pong(mut self) -> Vec<u8> {
        self.field("resp", b"{\"message\":\"pong\"}");
        self.finish()
    }
}
