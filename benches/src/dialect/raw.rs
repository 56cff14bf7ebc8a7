//! No protocol at all, for servers that show what a WebSocket costs by itself.
//!
//! The first byte says what a message asks for: `e` comes back whole, `s`
//! follows the one channel and comes back whole, `p` goes whole to every
//! follower.

use std::fmt::Write;

use super::{Dialect, Incoming, leading_number};

/// Speaks to `/`, without tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw;

impl Dialect for Raw {
    fn path(&self) -> String {
        "/".to_owned()
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        let _ = write!(out, "e{id}{data}");
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        let _ = write!(out, "s{id}{channel}");
    }

    fn publish(&self, _id: u64, _channel: &str, data: &str, out: &mut String) {
        let _ = write!(out, "p{data}");
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(match text {
            [b'p', ..] => Incoming::Publication,
            [b'e' | b's', rest @ ..] => leading_number(rest).map_or(Incoming::Other, Incoming::Answer),
            _ => Incoming::Other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{CALLS, read_all};

    #[test]
    fn reads_back_what_it_writes() {
        let (mut call, mut publication) = (String::new(), String::new());
        Raw.call(CALLS, "\"x\"", &mut call);
        Raw.publish(0, "bench", "\"x\"", &mut publication);
        assert_eq!(read_all(&Raw, &call), [Incoming::Answer(CALLS)]);
        assert_eq!(read_all(&Raw, &publication), [Incoming::Publication]);
    }
}
