//! The one-time token: a UUID v4 in its canonical lower-case form.
//!
//! In: text from the wire, or 16 bytes of the operating system's randomness. Out: a [`Token`]. Who
//! issues, keeps and redeems tokens is the server's affair; a client treats them as opaque text.

use std::fmt;

/// A one-time token. Its `Debug` form hides it, so that it never ends up in a log.
///
/// Compare tokens through [`Token::secret`] in constant time; there is no `PartialEq` on purpose.
#[derive(Clone)]
pub struct Token([u8; 16]);

impl Token {
    /// Makes a token of 16 random bytes, setting the version (4) and variant bits of RFC 9562, section 5.4.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads the canonical text: 36 characters, lower-case hexadecimal, version 4.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(MalformedToken);
        }
        let mut bytes = [0_u8; 16];
        let mut at = 0;
        for byte in &mut bytes {
            if matches!(at, 8 | 13 | 18 | 23) {
                if text[at] != b'-' {
                    return Err(MalformedToken);
                }
                at += 1;
            }
            *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
            at += 2;
        }
        if bytes[6] >> 4 != 4 || bytes[8] >> 6 != 0b10 {
            return Err(MalformedToken);
        }
        Ok(Self(bytes))
    }

    /// The first half: good as a look-up key, since knowing it does not help to guess the rest.
    pub fn key(&self) -> u64 {
        self.half(0, u64::from_be_bytes)
    }

    /// The second half: compare it in constant time.
    pub fn secret(&self) -> [u8; 8] {
        self.half(8, |half| half)
    }

    /// The canonical text.
    pub(crate) fn text(&self) -> String {
        const DIGITS: &str = "0123456789abcdef-";
        let mut text = String::with_capacity(36);
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push_str(&DIGITS[16..]);
            }
            for digit in [usize::from(byte >> 4), usize::from(byte & 15)] {
                text.push_str(&DIGITS[digit..=digit]);
            }
        }
        text
    }

    fn half<R>(&self, from: usize, read: impl FnOnce([u8; 8]) -> R) -> R {
        let mut half = [0; 8];
        half.copy_from_slice(&self.0[from..from + 8]);
        read(half)
    }
}

/// The text is not a UUID v4 in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is a UUID v4 in lower-case canonical form")]
pub struct MalformedToken;

fn nibble(digit: u8) -> Result<u8, MalformedToken> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(MalformedToken),
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let token = Token::from_random([0xab; 16]);
        let text = token.to_string();
        assert_eq!(text, "abababab-abab-4bab-abab-abababababab");
        assert_eq!(Token::parse(&text).map(|token| token.to_string()), Ok(text));
    }

    #[test]
    fn refuses_what_is_not_a_canonical_uuid_v4() {
        for text in [
            "",
            "nonsense",
            "ABABABAB-abab-4bab-abab-abababababab",
            "abababab-abab-1bab-abab-abababababab",
            "abababab-abab-4bab-cbab-abababababab",
            "abababababab-4bab-abab-abababababab-",
            "abababab-abab-4bab-abab-ababababababa",
            "ababababéabab-4bab-abab-ababababab",
        ] {
            assert_eq!(Token::parse(text).err(), Some(MalformedToken), "{text}");
        }
    }

    #[test]
    fn is_hidden_in_debug_output() {
        assert_eq!(format!("{:?}", Token::from_random([1; 16])), "Token(…)");
    }
}
