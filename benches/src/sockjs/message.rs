//! The message that an echo service sends back, worded once for all sessions.
//!
//! In: how long it is to be. Out: arrays of it with one id after the other, in
//! each of the forms that transports want; and the ids of such arrays. It is a
//! JSON object, as most messages of applications are, so its quotes have to be
//! escaped. What is read must be what was written, to the byte.

use crate::socket::{Template, frame::Opcode};

/// Digits that stand nowhere else in the message.
const SAMPLE: u64 = 907_856_341_243;

/// How many digits an id has.
const DIGITS: usize = 12;

/// Arrays of one message, in each form.
#[derive(Debug)]
pub(crate) struct Message {
    /// One of one element, as a WebSocket frame.
    pub(super) frame: Template,
    /// As JSON.
    pub(super) json: Array,
    /// As JSON within a string of a script.
    pub(super) script: Array,
    /// As JSON in a field of a form.
    pub(super) field: Array,
}

impl Message {
    /// A message of `bytes`, or of as many as it takes to have an id.
    pub(crate) fn new(bytes: usize) -> Self {
        let around = r#"{"id":,"data":""}"#.len() + DIGITS;
        let filler = "x".repeat(bytes.saturating_sub(around));
        let element = quoted(&format!(r#"{{"id":{SAMPLE},"data":"{filler}"}}"#));
        let script = quoted(&element);
        let form: String = form_urlencoded::byte_serialize(element.as_bytes()).collect();
        let json = Array::new(["[", ",", "]"], &element);
        Self {
            frame: Template::new(Opcode::Text, |id, out| out.push_str(&json.of_one(id))),
            script: Array::new(["[", ",", "]"], &script[1..script.len() - 1]),
            field: Array::new(["d=%5B", "%2C", "%5D"], &form),
            json,
        }
    }
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What arrays of a message look like in one form.
#[derive(Debug)]
pub(super) struct Array {
    open: &'static str,
    comma: &'static str,
    close: &'static str,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Says that what came is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign;

impl Array {
    fn new([open, comma, close]: [&'static str; 3], element: &str) -> Self {
        let (before, after) = element.split_once(&SAMPLE.to_string()).unwrap_or_default();
        Self { open, comma, close, before: before.into(), after: after.into() }
    }

    /// Appends an element; the first to what is empty begins the array.
    pub(super) fn push(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(if out.is_empty() { self.open } else { self.comma }.as_bytes());
        out.extend_from_slice(&self.before);
        let mut digits = [b'0'; DIGITS];
        let mut rest = id;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&digits);
        out.extend_from_slice(&self.after);
    }

    /// Ends the array.
    pub(super) fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.close.as_bytes());
    }

    /// An array of one, as text.
    pub(super) fn of_one(&self, id: u64) -> String {
        let mut out = Vec::new();
        self.push(id, &mut out);
        self.close(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Hands the id of each element of `array` to `each`, in order.
    pub(super) fn read(&self, array: &[u8], mut each: impl FnMut(u64)) -> Result<(), Foreign> {
        let mut rest = array.strip_prefix(self.open.as_bytes()).ok_or(Foreign)?;
        loop {
            let (id, behind) = self.read_one(rest).ok_or(Foreign)?;
            each(id);
            match behind.strip_prefix(self.comma.as_bytes()) {
                Some(next) => rest = next,
                None if behind == self.close.as_bytes() => return Ok(()),
                None => return Err(Foreign),
            }
        }
    }

    fn read_one<'a>(&self, bytes: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (digits, rest) = bytes.strip_prefix(&*self.before)?.split_at_checked(DIGITS)?;
        let mut id = 0;
        for digit in digits {
            id = id * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        Some((id, rest.strip_prefix(&*self.after)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::socket::template::FIRST_ID;

    fn three(array: &Array) -> String {
        let mut out = Vec::new();
        (FIRST_ID..).take(3).for_each(|id| array.push(id, &mut out));
        array.close(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn ids(array: &Array, text: &str) -> Result<Vec<u64>, Foreign> {
        let mut seen = Vec::new();
        array.read(text.as_bytes(), |id| seen.push(id)).map(|()| seen)
    }

    #[test]
    fn all_forms_say_the_same() {
        let message = Message::new(64);
        let texts: Vec<String> = serde_json::from_str(&three(&message.json)).unwrap();
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| text.len() == 64), "{texts:?}");
        let first: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
        assert_eq!(first["id"], FIRST_ID);
        let script: String = serde_json::from_str(&format!("\"{}\"", three(&message.script))).unwrap();
        assert_eq!(script, three(&message.json));
        let form = three(&message.field);
        let (name, value) = form_urlencoded::parse(form.as_bytes()).next().unwrap();
        assert_eq!((name.as_ref(), value.as_ref()), ("d", three(&message.json).as_str()));
    }

    #[test]
    fn reads_the_ids_that_it_wrote() {
        let message = Message::new(0);
        for array in [&message.json, &message.script] {
            assert_eq!(ids(array, &three(array)), Ok(vec![FIRST_ID, FIRST_ID + 1, FIRST_ID + 2]));
            assert_eq!(ids(array, &array.of_one(FIRST_ID)), Ok(vec![FIRST_ID]));
        }
    }

    #[test]
    fn what_differs_by_a_byte_is_foreign() {
        let array = Message::new(40).json;
        let written = three(&array);
        for place in 0..written.len() {
            let mut changed = written.clone().into_bytes();
            changed[place] = b'!';
            assert_eq!(array.read(&changed, |_| {}), Err(Foreign), "at {place}");
            assert_eq!(array.read(&written.as_bytes()[..place], |_| {}), Err(Foreign), "cut at {place}");
        }
        assert_eq!(ids(&array, "[]"), Err(Foreign));
    }
}
