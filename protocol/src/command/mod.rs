//! One wire verb per file: what a client asks, what the server answers.
//!
//! In: the raw parts of a request. Out: checked values, and encoded messages. The server's files of the
//! same names do what the verb says.

pub mod answer;
pub mod auth;
pub mod broadcast;
pub mod call;
pub mod cancel;
pub mod ping;
pub mod publish;
pub mod reconnect;
pub mod subscribe;
pub mod unsubscribe;

/// Wraps `data`, one JSON text, as the internal command `command`.
pub(crate) fn internal(command: &str, data: &[&[u8]]) -> Vec<u8> {
    let length: usize = data.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(command.len() + length + 48);
    out.extend_from_slice(b"{\"internal\":true,\"command\":\"");
    out.extend_from_slice(command.as_bytes());
    out.extend_from_slice(b"\",\"data\":");
    for part in data {
        out.extend_from_slice(part);
    }
    out.push(b'}');
    out
}
