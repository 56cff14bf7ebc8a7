//! Events of the application's own to one client, whatever it speaks.
//!
//! In: a name, and arguments of any number. Out: one message in the socket's outbox. On the TokenSocket wire an event
//! is a message on the channel of its name.

use serde::Serialize;
use tokensocket_protocol::{Channel, RawJson};

use super::Socket;
use crate::error::PublishError;

impl Socket {
    /// Sends an event with its arguments: a tuple or a list has several, `()` none, anything else is one. To Socket.IO
    /// clients it is just that; event clients get `{"event":…,"args":[…]}`; on the TokenSocket wire it is a message
    /// on the channel of its name, the only argument or the list of all.
    ///
    /// Returns once it is queued. A socket whose queue is full is disconnected, and one that is closed loses the
    /// event. An error: the arguments cannot be JSON, or the name is no channel's, on the TokenSocket wire.
    pub fn emit(&self, event: impl AsRef<str>, args: impl Serialize) -> Result<(), PublishError> {
        let (event, args) = (event.as_ref(), arguments(RawJson::new(&args)?));
        if self.dialect().is_native() {
            Channel::new(event)?;
        }
        self.reply(&self.dialect().event(event, &args));
        Ok(())
    }

    /// The same for what may be lost: nothing is sent while something else still waits to be written. `false`: it was
    /// not sent.
    pub fn emit_volatile(&self, event: impl AsRef<str>, args: impl Serialize) -> Result<bool, PublishError> {
        let is_writable = self.is_writable();
        if is_writable {
            self.emit(event, args)?;
        }
        Ok(is_writable)
    }
}

/// The arguments as a list.
pub(crate) fn arguments(args: RawJson) -> RawJson {
    match args.as_bytes() {
        [b'[', ..] => args,
        b"null" => RawJson::from_text("[]").unwrap_or_default(),
        text => RawJson::from_text([b"[", text, b"]"].concat()).unwrap_or_default(),
    }
}
