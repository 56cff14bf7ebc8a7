//! `_ack`: `{"rpc":"_ack","req":{"id":SEQ},"uuid":U}`, with `{"batch":SEQ}` or with `{"resync":N}`.
//!
//! The device has what [`super::deliver`] sent it on this connection. Answered `"success"` once it is removed; with an error the
//! client says it again later.

use crate::json::slice::RawSlice;
use crate::position::MAX_OFFSET;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_ack";

pub use crate::message::Acknowledge;

/// Reads `{"id":SEQ}`, `{"batch":SEQ}` or `{"resync":N}`.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<Acknowledge, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request {
        id: Option<u64>,
        batch: Option<u64>,
        resync: Option<u64>,
    }

    let fits = |number: Option<u64>| number.filter(|number| *number <= MAX_OFFSET);
    let named = req.and_then(|req| req.parse().ok()).and_then(|Request { id, batch, resync }| {
        match (fits(id), fits(batch), fits(resync)) {
            (Some(id), None, None) => Some(Acknowledge::One(id)),
            (None, Some(last), None) => Some(Acknowledge::Batch(last)),
            (None, None, Some(number)) => Some(Acknowledge::Resync(number)),
            _ => None,
        }
    });
    named.ok_or_else(|| RpcError::bad_request("req: an object with one number, as id, batch or resync"))
}
