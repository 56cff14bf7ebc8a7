//! What a server speaks over its WebSocket: one file each.
//!
//! In: what the generator wants to say, and the text of messages that arrived.
//! Out: their text, and what they were ([`Incoming`]). A dialect reads no more
//! of a message than it takes to tell its kind and its id, and knows nothing of
//! sockets, workloads or counting.

pub(crate) mod device;
pub(crate) mod jsonrpc;
pub(crate) mod mixed;
pub(crate) mod nats;
pub(crate) mod push;
pub(crate) mod raw;
pub(crate) mod socketio;
pub(crate) mod sockjs;
pub(crate) mod tokensocket;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::socket::{frame::Opcode, template::FIRST_ID};

/// The id of the message that authenticates.
pub(crate) const AUTHENTICATION: u64 = FIRST_ID + 1;
/// The id of the message that subscribes.
pub(crate) const SUBSCRIPTION: u64 = FIRST_ID + 2;
/// The first id of calls.
pub(crate) const CALLS: u64 = FIRST_ID + 16;
/// The first id of messages that publish.
pub(crate) const PUBLICATIONS: u64 = 2 * FIRST_ID;

/// What a message from the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The server's first word, where it has one.
    Greeting,
    /// The answer to the message with this id.
    Answer(u64),
    /// A publication on a channel that this connection follows.
    Publication,
    /// A delivery that wants an acknowledgement.
    Delivery {
        /// What the acknowledgement names.
        id: u64,
        /// The number of the request that it came of.
        number: u64,
    },
    /// What waited for a device.
    Batch {
        /// What the acknowledgement names.
        id: u64,
        /// The numbers of the requests that it came of.
        numbers: Vec<u64>,
    },
    /// A sign of life that wants this text in return.
    Heartbeat(&'static str),
    /// An error.
    Refused(String),
    /// Of no interest.
    Other,
}

/// How to talk to one kind of server.
pub(crate) trait Dialect: Clone + 'static {
    /// The dialect of a channel's `index`th follower.
    fn for_follower(&self, index: usize) -> Self {
        let _ = index;
        self.clone()
    }

    /// What frames of ours are: text, but where a server wants binary ones.
    fn opcode(&self) -> Opcode {
        Opcode::Text
    }

    /// Path and query of the upgrade request; asked once for each connection.
    fn path(&self) -> String;

    /// Where tokens are to be had, if the dialect has them.
    fn token_path(&self) -> Option<&str> {
        None
    }

    /// Whether the server speaks first.
    fn is_greeted(&self) -> bool {
        false
    }

    /// Writes the message that authenticates, answered by
    /// [`AUTHENTICATION`]; false when the dialect has none.
    fn authenticate(&self, token: Option<&str>, out: &mut String) -> bool {
        let _ = (token, out);
        false
    }

    /// Writes a call of the echo action with `data`, a JSON text.
    fn call(&self, id: u64, data: &str, out: &mut String);

    /// Writes the wish to follow `channel`.
    fn subscribe(&self, id: u64, channel: &str, out: &mut String);

    /// Writes a publication of `data`, a JSON text.
    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String);

    /// Says what `text` was; a frame may hold several messages.
    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming));
}

/// A dialect of devices, which acknowledge what is delivered to them.
pub(crate) trait Acknowledging: Dialect {
    /// The text that acknowledges the delivery with this id.
    fn acknowledge(&self, id: u64) -> String;

    /// The same for the batch with this id.
    fn acknowledge_batch(&self, id: u64) -> String;
}

/// The number that begins at the first digit of `text`.
fn leading_number(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// A name to look for in messages; prepared once.
type Mark = LazyLock<Finder<'static>>;

/// What stands behind the first `mark` of `text`.
fn after<'a>(text: &'a [u8], mark: &Mark) -> Option<&'a [u8]> {
    mark.find(text).map(|place| &text[place + mark.needle().len()..])
}

/// The refusal that quotes `text`.
fn refused(text: &[u8]) -> Incoming {
    Incoming::Refused(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
fn read_all(dialect: &impl Dialect, text: &str) -> Vec<Incoming> {
    let mut seen = Vec::new();
    dialect.read(text.as_bytes(), &mut |incoming| seen.push(incoming));
    seen
}
