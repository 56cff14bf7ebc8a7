//! Names for messages, made of randomness that is handed in.
//!
//! Out: names that count. A name has the form of a UUID v4 (RFC 9562, section 5.4), its last 48 bits are the
//! message's number and the others the session's own: so an answer's name leads to its message without a
//! table, and none of another session is taken for ours.

use crate::token::Token;

/// A source of random numbers. The operating system's, or a seeded one in tests.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// A message's number, which grows with each.
pub(super) type Number = u64;

/// How many hexadecimal digits of a name are its number.
const DIGITS: usize = 12;

/// Names messages, from 1 on.
#[derive(Debug)]
pub(super) struct Names {
    /// What every name begins with.
    prefix: String,
    last: Number,
}

impl Names {
    pub(super) fn new(random: &mut Random) -> Self {
        let bytes = u128::from(random()) << 64 | u128::from(random());
        let mut prefix = Token::from_random(bytes.to_be_bytes()).text();
        prefix.truncate(prefix.len() - DIGITS);
        Self { prefix, last: 0 }
    }

    pub(super) fn next(&mut self) -> Number {
        self.last += 1;
        self.last
    }

    pub(super) fn text(&self, number: Number) -> String {
        const HEX: &str = "0123456789abcdef";
        let mut text = String::with_capacity(self.prefix.len() + DIGITS);
        text.push_str(&self.prefix);
        for place in (0..DIGITS).rev() {
            let digit = (number >> (4 * place) & 15) as usize;
            text.push_str(&HEX[digit..=digit]);
        }
        text
    }

    /// The number of a name that is ours.
    pub(super) fn number(&self, name: &str) -> Option<Number> {
        let digits = name.strip_prefix(&*self.prefix)?;
        let is_ours = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_ours { Number::from_str_radix(digits, 16).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_names_and_no_others() {
        let mut names = Names::new(&mut (Box::new(|| 0x1234_5678_9abc_def0_u64) as Random));
        let number = names.next();
        let name = names.text(number);
        assert_eq!(name, "12345678-9abc-4ef0-9234-000000000001");
        assert_eq!(names.number(&name), Some(1));
        for other in ["", "1", "12345678-9abc-4ef0-8234-000000000001", "12345678-9abc-4ef0-9234-+00000000001"]
        {
            assert_eq!(names.number(other), None, "{other}");
        }
    }
}
