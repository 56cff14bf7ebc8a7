//! One wire verb per file: what a client asks, what the server answers.
//!
//! In: the raw parts of a request. Out: checked values, and encoded messages. The server's files of the
//! same names do what the verb says.

pub mod acknowledge;
pub mod answer;
pub mod auth;
pub mod broadcast;
pub mod call;
pub mod cancel;
pub mod deliver;
pub mod history;
pub mod ping;
pub mod presence;
pub mod publish;
pub mod reconnect;
pub mod subscribe;
pub mod unsubscribe;

use crate::channel::Channel;
use crate::position::Position;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// A publication that a channel kept.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Its place in its epoch.
    pub offset: u64,
    /// What was published.
    pub message: &'a RawJson,
    /// When, in milliseconds since 1970, where it is told.
    pub at: Option<u64>,
}

/// Checks the name of a channel in a request.
pub(crate) fn channel(name: &str) -> Result<Channel, RpcError> {
    Channel::new(name).map_err(|invalid| RpcError::bad_request(invalid.to_string()))
}

/// Appends `"epoch":E,"offset":N`. An epoch needs no escapes.
pub(crate) fn push_position(out: &mut Vec<u8>, position: &Position) {
    out.extend_from_slice(b"\"epoch\":\"");
    out.extend_from_slice(position.epoch.as_str().as_bytes());
    out.extend_from_slice(b"\",\"offset\":");
    push_number(out, position.offset);
}

/// Appends `[{"offset":N,"message":M},…]`, with `"at":MS` where it is told.
pub(crate) fn push_past<'a>(out: &mut Vec<u8>, publications: impl IntoIterator<Item = Past<'a>>) {
    push_array(out, publications, |out, Past { offset, message, at }| {
        out.extend_from_slice(b"{\"offset\":");
        push_number(out, offset);
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(message.as_bytes());
        if let Some(at) = at {
            out.extend_from_slice(b",\"at\":");
            push_number(out, at);
        }
        out.push(b'}');
    });
}

pub(crate) fn push_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Wraps `data`, one JSON text, as the internal command `command`.
pub(crate) fn internal(command: &str, data: &[&[u8]]) -> Vec<u8> {
    let length: usize = data.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(command.len() + length + 48);
    push_internal_head(&mut out, command);
    for part in data {
        out.extend_from_slice(part);
    }
    out.push(b'}');
    out
}

/// Appends what stands before the data of an internal command; behind them comes one brace.
pub(crate) fn push_internal_head(out: &mut Vec<u8>, command: &str) {
    out.extend_from_slice(b"{\"internal\":true,\"command\":\"");
    out.extend_from_slice(command.as_bytes());
    out.extend_from_slice(b"\",\"data\":");
}
