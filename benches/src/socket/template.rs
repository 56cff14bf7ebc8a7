//! A message that is sent many times and differs only in its id.
//!
//! In: how a dialect words the message for an id. Out: its masked frame with
//! any other id written into place.

use super::frame::{self, Opcode};

/// Ids have twelve digits from here on, so that one can take another's place.
pub(crate) const FIRST_ID: u64 = 100_000_000_000;

const DIGITS: usize = 12;

/// A frame with a gap for the id; without one when the message carries none.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    payload: usize,
    id: Option<usize>,
}

impl Template {
    /// Prepares what `word` writes for an id.
    pub(crate) fn new(opcode: Opcode, word: impl FnOnce(u64, &mut String)) -> Self {
        // Digits that stand nowhere else in a message.
        let sample = 907_856_341_243;
        let mut text = String::new();
        word(sample, &mut text);
        let mut frame = Vec::new();
        let payload = frame::write(opcode, text.as_bytes(), &mut frame);
        Self { frame, payload, id: text.find(&sample.to_string()) }
    }

    /// Appends the frame for `id`, which counts from [`FIRST_ID`].
    pub(crate) fn write(&self, id: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let Some(place) = self.id else { return };
        let mut rest = id;
        for index in (place..place + DIGITS).rev() {
            let digit = b'0' + (rest % 10) as u8;
            out[start + self.payload + index] = frame::masked(digit, index);
            rest /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patched_frame_equals_one_written_for_its_id() {
        let word = |id: u64, out: &mut String| *out = format!("[{id},\"padding\"]");
        let template = Template::new(Opcode::Text, word);
        for id in [FIRST_ID, FIRST_ID + 7, 123_456_789_012] {
            let mut text = String::new();
            word(id, &mut text);
            let (mut expected, mut patched) = (Vec::new(), Vec::new());
            frame::write(Opcode::Text, text.as_bytes(), &mut expected);
            template.write(id, &mut patched);
            assert_eq!(patched, expected);
        }
    }

    #[test]
    fn a_message_without_an_id_stays_as_it_is() {
        let template = Template::new(Opcode::Text, |_, out| out.push_str("same"));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        template.write(FIRST_ID, &mut one);
        template.write(FIRST_ID + 1, &mut other);
        assert_eq!(one, other);
    }
}
