//! Where the values of a JSON text end.
//!
//! In: text. Out: each value as a slice, well formed, and how deep they nest. It takes exactly what
//! `serde_json` takes for a value that it skips, in a quarter of the instructions; the tests hold it to
//! that. Nesting uses no stack, whatever its depth.

use std::borrow::Cow;

use super::slice::RawSlice;
use super::{NotJson, string};

/// Reads a text from its beginning to its end.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    deepest: usize,
}

/// The brackets around what is being read: one bit for each, set for an object's.
struct Brackets {
    /// The inner ones, the innermost last.
    inner: u64,
    /// The others, by 64.
    outer: Vec<u64>,
    depth: usize,
}

impl Brackets {
    fn around(bracket: u8) -> Self {
        Self { inner: u64::from(bracket == b'{'), outer: Vec::new(), depth: 1 }
    }

    fn open(&mut self, bracket: u8) {
        if self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(bracket == b'{');
        self.depth += 1;
    }

    /// `false` for the last one.
    fn close(&mut self) -> bool {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
        self.depth > 0
    }

    fn is_object(&self) -> bool {
        self.inner & 1 == 1
    }

    fn closing(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, deepest: 0 }
    }

    /// How deep the values nest that were read so far: 0 for a number, 1 for `[]`.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether nothing follows.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.token();
        self.at == self.text.len()
    }

    /// Takes `byte` if it is what comes next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let comes = self.token() == byte;
        self.at += usize::from(comes);
        comes
    }

    /// Goes behind whitespace.
    #[inline]
    pub(crate) fn skip_space(&mut self) {
        self.token();
    }

    /// Goes behind `key`, a key with its quotes and its colon, if it stands here just so. One that is written in another
    /// way is found by [`Scanner::key`].
    #[inline]
    pub(crate) fn take_key(&mut self, key: &'static str) -> bool {
        let comes = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(key.as_bytes()));
        self.at += if comes { key.len() } else { 0 };
        comes
    }

    /// Reads an object's key and its colon.
    #[inline(never)]
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, NotJson> {
        if self.token() != b'"' {
            return Err(NotJson);
        }
        let start = self.at;
        let has_escapes = self.string()?;
        let end = self.at;
        if !self.take(b':') {
            return Err(NotJson);
        }
        if has_escapes {
            // Also finds surrogates that stand alone, which a value may have and a key may not.
            return serde_json::from_str(&self.text[start..end]).map(Cow::Owned).map_err(|_| NotJson);
        }
        Ok(Cow::Borrowed(&self.text[start + 1..end - 1]))
    }

    /// Reads a value.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<RawSlice<'a>, NotJson> {
        let first = self.token();
        let start = self.at;
        match first {
            b'"' => self.string().map(drop)?,
            b'{' | b'[' => self.nested(first)?,
            _ => self.scalar(first)?,
        }
        Ok(RawSlice::well_formed(&self.text[start..self.at]))
    }

    /// The next byte that is no whitespace; 0, which begins nothing, at the end.
    #[inline]
    fn token(&mut self) -> u8 {
        match self.byte() {
            byte @ b'!'.. => byte,
            _ => self.token_behind_space(),
        }
    }

    #[inline(never)]
    fn token_behind_space(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    /// Goes behind a string, at whose opening quote it stands, and says whether that has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, NotJson> {
        let bytes = self.text.as_bytes();
        let at = string::special(bytes, self.at + 1);
        if bytes.get(at) == Some(&b'"') {
            self.at = at + 1;
            return Ok(false);
        }
        self.escaped_string(at)
    }

    /// The same from a byte on that is special and does not end the string.
    #[inline(never)]
    fn escaped_string(&mut self, mut at: usize) -> Result<bool, NotJson> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(true);
                }
                Some(b'\\') => at = string::special(bytes, at + escape(&bytes[at..])?),
                _ => return Err(NotJson),
            }
        }
    }

    /// Goes behind a value that is neither text nor nested, and begins with `first`.
    #[inline(never)]
    fn scalar(&mut self, first: u8) -> Result<(), NotJson> {
        let word: &[u8] = match first {
            b'n' => b"null",
            b't' => b"true",
            b'f' => b"false",
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return Err(NotJson),
        };
        if !self.text.as_bytes()[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        if self.byte() == b'0' {
            self.at += 1;
            if self.byte().is_ascii_digit() {
                return Err(NotJson);
            }
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NotJson) }
    }

    /// The byte where it stands; 0 at the end.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    /// Goes behind an object or array, at whose bracket `first` it stands.
    #[inline(never)]
    fn nested(&mut self, first: u8) -> Result<(), NotJson> {
        let mut brackets = Brackets::around(first);
        let mut is_first = true;
        self.at += 1;
        self.deepest = self.deepest.max(1);
        loop {
            let byte = self.token();
            if is_first && byte == brackets.closing() {
                self.at += 1;
                if !brackets.close() {
                    return Ok(());
                }
            } else {
                let byte = if brackets.is_object() {
                    self.skip_key(byte)?;
                    self.token()
                } else {
                    byte
                };
                match byte {
                    b'"' => self.string().map(drop)?,
                    b'{' | b'[' => {
                        brackets.open(byte);
                        self.at += 1;
                        self.deepest = self.deepest.max(brackets.depth);
                        is_first = true;
                        continue;
                    }
                    _ => self.scalar(byte)?,
                }
            }
            while !self.take(b',') {
                if !self.take(brackets.closing()) {
                    return Err(NotJson);
                }
                if !brackets.close() {
                    return Ok(());
                }
            }
            is_first = false;
        }
    }

    fn skip_key(&mut self, first: u8) -> Result<(), NotJson> {
        if first != b'"' {
            return Err(NotJson);
        }
        self.string()?;
        if self.take(b':') { Ok(()) } else { Err(NotJson) }
    }
}

/// How long the escape is that begins here.
fn escape(bytes: &[u8]) -> Result<usize, NotJson> {
    match bytes {
        [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(2),
        [_, b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => Ok(6),
        _ => Err(NotJson),
    }
}
