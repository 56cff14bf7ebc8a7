//! JSON strings: what in them is not itself, written and read a word at a time.
//!
//! A word is copied whole before it is known whether all of it counts; what does not is overwritten by
//! what comes next.

/// One in each byte.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGH: u64 = ONES << 7;

/// Where the first byte stands, from `at` on, that cannot stand in a JSON string as it is: a quote, a
/// backslash, or a control character; the end, when there is none.
#[inline]
pub(super) fn special(bytes: &[u8], at: usize) -> usize {
    // Names are short: most end in the first word.
    if let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = specials(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
    }
    special_further_on(bytes, at)
}

#[inline(never)]
fn special_further_on(bytes: &[u8], at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((_, behind)) = rest.split_first_chunk().filter(|(chunk, _)| is_plain(chunk)) {
        rest = behind;
    }
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let found = specials(u64::from_le_bytes(*chunk));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    special_at_end(bytes, bytes.len() - rest.len())
}

/// Whether nothing among sixteen bytes is special.
#[inline]
fn is_plain(chunk: &[u8; 2 * WORD]) -> bool {
    // Without a branch, so that the compiler looks at all of them at once.
    let special = |byte: &u8| u8::from((byte ^ 0x02) < 0x21) | u8::from(*byte == b'\\');
    chunk.iter().fold(0, |any, byte| any | special(byte)) == 0
}

fn special_at_end(bytes: &[u8], mut at: usize) -> usize {
    if let Some(chunk) = bytes.last_chunk() {
        // What is left of the last eight bytes; the rest of the word is zeros, which are control characters.
        let known = 8 * (8 - (bytes.len() - at));
        let word = u32::try_from(known).ok().and_then(|known| u64::from_le_bytes(*chunk).checked_shr(known));
        let found = specials(word.unwrap_or_default());
        return at + found.trailing_zeros() as usize / 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// The highest bit of each byte that is special. Bytes above the first may be marked wrongly.
#[inline]
fn specials(word: u64) -> u64 {
    // A quote becomes what a space was, and no control character becomes a letter; so one subtraction
    // borrows for both.
    let quotes_and_controls = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslashes = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quotes_and_controls | backslashes) & !word & HIGH
}

/// The highest bit of each byte that is special, and of no other.
#[inline]
fn all_specials(word: u64) -> u64 {
    let no_quote_or_control = (word ^ (ONES * 0x02) | HIGH) - ONES * 0x21;
    let no_backslash = (word ^ (ONES * 0x5c) | HIGH) - ONES;
    !(no_quote_or_control & no_backslash | word) & HIGH
}

/// Appends `text` as the inside of a JSON string.
///
/// Characters that are [unsafe](unsafe_character) on their way to some clients are written as escapes.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    push::<true>(out, text);
}

/// The same for one JSON value without whitespace around it. Most are strings without escapes.
#[inline(never)]
pub(crate) fn push_escaped_value(out: &mut Vec<u8>, value: &[u8]) {
    match value {
        [b'"', inside @ .., b'"'] if is_plain_text(inside) => {
            out.reserve(value.len() + 2);
            out.push(b'\\');
            out.extend_from_slice(&value[..=inside.len()]);
            out.extend_from_slice(b"\\\"");
        }
        _ => push_escaped(out, value),
    }
}

/// Whether nothing in `text` is special, and all of it is ASCII.
#[inline]
fn is_plain_text(text: &[u8]) -> bool {
    let (chunks, rest) = text.as_chunks();
    if let Some(last) = text.last_chunk() {
        return chunks.iter().all(is_plain_ascii) && (rest.is_empty() || is_plain_ascii(last));
    }
    match (text.first_chunk(), text.last_chunk()) {
        // Between them they have all of it.
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|chunk| u64::from_le_bytes(*chunk));
            specials(first) | specials(last) | (first | last) & HIGH == 0
        }
        _ => text.iter().all(|byte| matches!(byte, b' '..0x80) && !matches!(byte, b'"' | b'\\')),
    }
}

/// Does it; as long as all is `ASCII`, where nothing is unsafe, with less to look at.
fn push<const ASCII: bool>(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    // Enough unless there are control characters without a short escape.
    let most = 2 * text.len() + WORD;
    out.resize(start + most, 0);
    let mut to = &mut out[start..];
    let mut rest = text;
    while !rest.is_empty() {
        let (mut word, mut length) = match rest.first_chunk() {
            Some(chunk) => (u64::from_le_bytes(*chunk), WORD),
            None => (last_word(rest), rest.len()),
        };
        let mut found = all_specials(word);
        if word & HIGH != 0 {
            if ASCII {
                let end = start + most - to.len();
                out.truncate(end);
                return push::<false>(out, rest);
            }
            match unsafe_character(rest, word, length) {
                Some((0, escape)) => {
                    to[..6].copy_from_slice(&escape);
                    to = &mut to[6..];
                    rest = &rest[3..];
                    continue;
                }
                // What precedes it is a shorter word.
                Some((before, _)) => {
                    length = before;
                    found &= u64::MAX >> (8 * (WORD - length));
                }
                None => {}
            }
        }
        let mut left = length;
        while found != 0 {
            let bits = found.trailing_zeros() & 0x38;
            let plain = bits as usize / 8;
            let Some((written, _)) = to.split_first_chunk_mut::<WORD>() else { break };
            *written = word.to_le_bytes();
            written[plain] = b'\\';
            to = &mut to[plain + 1..];
            word >>= bits;
            found >>= bits;
            left -= plain;
            let [byte, ..] = word.to_le_bytes();
            if byte >= b' ' {
                found ^= 0x80;
                continue;
            }
            let Some(short) = short_escape(byte) else {
                let end = start + most - to.len() - 1;
                out.truncate(end);
                return push_escaped_slowly(out, &rest[length - left..]);
            };
            to[0] = short;
            to = &mut to[1..];
            left -= 1;
            word >>= 8;
            found >>= 8;
        }
        to[..WORD].copy_from_slice(&word.to_le_bytes());
        to = &mut to[left..];
        rest = &rest[length..];
        if left == WORD {
            while let Some((chunk, behind)) = rest
                .split_first_chunk()
                .filter(|(chunk, _)| if ASCII { is_plain_ascii(chunk) } else { is_safe(chunk) })
            {
                to[..2 * WORD].copy_from_slice(chunk);
                to = &mut to[2 * WORD..];
                rest = behind;
            }
        }
    }
    let end = start + most - to.len();
    out.truncate(end);
}

/// The same byte by byte, for texts that may need more room than was made: a control character can become
/// six bytes.
#[cold]
fn push_escaped_slowly(out: &mut Vec<u8>, mut text: &[u8]) {
    while let [byte, rest @ ..] = text {
        text = rest;
        match (*byte, short_escape(*byte)) {
            (b'"' | b'\\', _) => out.extend_from_slice(&[b'\\', *byte]),
            (_, Some(short)) => out.extend_from_slice(&[b'\\', short]),
            (0..0x20, None) => out.extend_from_slice(&escape(u16::from(*byte))),
            (0xe2 | 0xef, _)
                if let [second, third, behind @ ..] = rest
                    && let Some(unit) = unsafe_unit([*byte, *second, *third]) =>
            {
                out.extend_from_slice(&escape(unit));
                text = behind;
            }
            _ => out.push(*byte),
        }
    }
}

/// Whether nothing among sixteen bytes is special, and all of them are ASCII.
#[inline]
fn is_plain_ascii(chunk: &[u8; 2 * WORD]) -> bool {
    // As signed numbers the bytes beyond ASCII are the lowest, so they cost no comparison of their own.
    let special = |byte: &u8| u8::from((byte ^ 0x02).cast_signed() < 0x21) | u8::from(*byte == b'\\');
    chunk.iter().fold(0, |any, byte| any | special(byte)) == 0
}

/// Whether nothing among sixteen bytes is special, nor begins a character that may be unsafe.
#[inline]
fn is_safe(chunk: &[u8; 2 * WORD]) -> bool {
    let lead = |byte: &u8| u8::from(*byte == 0xe2) | u8::from(*byte == 0xef);
    is_plain(chunk) && chunk.iter().fold(0, |any, byte| any | lead(byte)) == 0
}

/// Where among the first `length` bytes of `text`, which are those of `word`, an unsafe character begins, and
/// its escape.
///
/// Unsafe is what some browsers, or proxies before them, are known to change or to lose (SockJS protocol
/// 0.3.3, `JSONEncoding`): U+200C to U+200F, U+2028 to U+202F, U+2060 to U+206F and U+FFF0 to U+FFFF. Each of
/// them is three bytes of UTF-8.
#[inline]
fn unsafe_character(text: &[u8], word: u64, length: usize) -> Option<(usize, [u8; 6])> {
    // The highest bit of each byte that is 0; bytes above the first may be marked wrongly.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut leads = zeros(word ^ (ONES * 0xe2)) | zeros(word ^ (ONES * 0xef));
    while leads != 0 {
        let at = leads.trailing_zeros() as usize / 8;
        if let Some(unit) = text.get(at..).and_then(<[u8]>::first_chunk).and_then(|bytes| unsafe_unit(*bytes))
        {
            return (at < length).then(|| (at, escape(unit)));
        }
        leads &= leads - 1;
    }
    None
}

/// The UTF-16 unit of an unsafe character.
fn unsafe_unit(bytes: [u8; 3]) -> Option<u16> {
    match bytes {
        [0xe2, 0x80, 0x8c..=0x8f | 0xa8..=0xaf] | [0xe2, 0x81, 0xa0..=0xaf] | [0xef, 0xbf, 0xb0..=0xbf] => {
            let [lead, middle, last] = bytes.map(u16::from);
            Some((lead & 0x0f) << 12 | (middle & 0x3f) << 6 | last & 0x3f)
        }
        _ => None,
    }
}

/// `\uXXXX`, in the lower case that SockJS wants.
fn escape(unit: u16) -> [u8; 6] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| DIGITS[usize::from(unit >> shift & 15)];
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

/// Fewer bytes than a word has, filled up with spaces.
fn last_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(ONES * 0x20, |word, byte| word << 8 | u64::from(*byte))
}

fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => return None,
    })
}

/// How much room there must be between `to` and `from` in [`unescape`], in bytes.
pub(crate) const WORD: usize = 8;

/// Reads the JSON string whose inside begins at `from`, and writes its text where it stands, from `to` on.
/// Gives the ends of both: where the text ends, and what is behind the closing quote.
///
/// On an error, what is at `from` and behind it up to the offending byte may be overwritten.
pub(crate) fn unescape(bytes: &mut [u8], from: usize, to: usize) -> Result<(usize, usize), BadString> {
    let (mut read, mut write) = (from, to);
    debug_assert!(to + WORD <= from, "words are written before what is behind them is read");
    loop {
        'words: while let Some(chunk) = bytes.get(read..).and_then(<[u8]>::first_chunk) {
            let mut word = u64::from_le_bytes(*chunk);
            let mut found = all_specials(word);
            let mut left = WORD;
            while found != 0 {
                let bits = found.trailing_zeros() & 0x38;
                let plain = bits as usize / 8;
                bytes[write..write + WORD].copy_from_slice(&word.to_le_bytes());
                write += plain;
                left -= plain;
                word >>= bits;
                found >>= bits;
                match word.to_le_bytes() {
                    // The next byte stands for itself.
                    [b'\\', b'"' | b'\\' | b'/', ..] if left > 1 => {
                        word >>= 8;
                        found = (found >> 8) & !0x80;
                        left -= 1;
                    }
                    _ => {
                        read += WORD - left;
                        break 'words;
                    }
                }
            }
            bytes[write..write + WORD].copy_from_slice(&word.to_le_bytes());
            write += left;
            read += WORD;
            if left == WORD {
                while let Some(chunk) = bytes[read..].first_chunk().copied().filter(is_plain) {
                    bytes[write..write + 2 * WORD].copy_from_slice(&chunk);
                    write += 2 * WORD;
                    read += 2 * WORD;
                }
            }
        }
        let (byte, length) = match bytes.get(read..) {
            Some([b'"', ..]) => return Ok((write, read + 1)),
            Some([b'\\', b'u', ..]) => {
                let Some((character, length)) = character(&bytes[read..]) else {
                    return Err(BadString { read, write });
                };
                write += character.encode_utf8(&mut bytes[write..]).len();
                read += length;
                continue;
            }
            Some([b'\\', escaped, ..]) => match escaped {
                b'"' | b'\\' | b'/' => (*escaped, 2),
                b'b' => (0x08, 2),
                b'f' => (0x0c, 2),
                b'n' => (b'\n', 2),
                b'r' => (b'\r', 2),
                b't' => (b'\t', 2),
                _ => return Err(BadString { read, write }),
            },
            Some(&[byte, ..]) if byte >= b' ' && byte != b'\\' => (byte, 1),
            _ => return Err(BadString { read, write }),
        };
        bytes[write] = byte;
        write += 1;
        read += length;
    }
}

/// What is no JSON string, and how far it was read and written.
#[derive(Debug)]
pub(crate) struct BadString {
    pub(crate) read: usize,
    pub(crate) write: usize,
}

/// The character of an escape `\uXXXX`, or of two for one that needs them, and how long that is.
fn character(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(escape.get(at..at + 6)?).ok()?.strip_prefix("\\u")?;
        // Its radix is all that `from_str_radix` takes but a sign.
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, 6));
    }
    let character = char::decode_utf16([first, unit(6)?]).next()?.ok()?;
    Some((character, 12))
}
