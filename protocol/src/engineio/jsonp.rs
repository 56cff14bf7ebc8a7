//! Polling by scripts: how a body travels where a page can send forms and load scripts only.
//!
//! In: a payload, or a form's `d`. Out: a script, or a payload. Its packets are `payload.rs`'s.

use crate::json::string;

/// Appends a payload as the script that answers `j`, whose digits alone are used: `___eio[0]("…");`.
///
/// A `<` is escaped, so that no message ends the script it stands in.
pub fn push_jsonp(out: &mut Vec<u8>, j: &str, payload: &[u8]) {
    out.extend_from_slice(b"___eio[");
    out.extend(j.bytes().filter(u8::is_ascii_digit));
    out.extend_from_slice(b"](\"");
    for (at, part) in payload.split(|byte| *byte == b'<').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\\u003c");
        }
        string::push_escaped(out, part);
    }
    out.extend_from_slice(b"\");");
}

/// The payload in a form's field `d`: clients write line ends there as `\n`, and `\n` as `\\n`, since browsers change
/// line ends in forms.
pub fn jsonp_payload(d: &str) -> String {
    let mut out = String::with_capacity(d.len());
    let mut rest = d;
    while let Some((plain, behind)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = if let Some(behind) = behind.strip_prefix("\\n") {
            out.push_str("\\n");
            behind
        } else if let Some(behind) = behind.strip_prefix('n') {
            out.push('\n');
            behind
        } else {
            out.push('\\');
            behind
        };
    }
    out + rest
}
