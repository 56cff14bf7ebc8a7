//! An argument that is a place in a channel's history: `EPOCH:OFFSET`, as `history` and `pub` print it.
//!
//! In: text. Out: a position, or words on what one looks like.

use tokensocket_client::{Epoch, Position};

/// Reads a position.
pub(super) fn parse(text: &str) -> Result<Position, String> {
    let read = || {
        let (epoch, offset) = text.rsplit_once(':')?;
        Position::new(Epoch::new(epoch).ok()?, offset.parse().ok()?).ok()
    };
    read().ok_or_else(|| {
        "write it as `tokensocket history` prints it: EPOCH:OFFSET, like 5bd1e995c3a1f00d:7".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_positions_are_printed_as() {
        for text in ["5bd1e995c3a1f00d:7", "a:b:0"] {
            assert_eq!(parse(text).map(|position| position.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "7", ":7", "epoch:", "epoch:-1", "epoch:9007199254740992"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
