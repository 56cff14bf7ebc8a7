//! `_ping`: `{"rpc":"_ping","req":{},"uuid":U}`, answered `{"message":"pong"}`.

use crate::answer::{Answer, named};
use crate::framing::Framed;

/// The verb.
pub const NAME: &str = "_ping";

impl Answer {
    /// Says pong.
    pub fn pong(mut self) -> Framed {
        self.field(named!("resp"), b"{\"message\":\"pong\"}");
        self.finish()
    }
}
