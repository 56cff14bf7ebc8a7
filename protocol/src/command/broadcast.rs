//! `_broadcast`: `{"rpc":"_broadcast","req":{"data":ANY},"uuid":U}`.
//!
//! Reaches a socket once for each channel it follows, as a publication on that channel. Answered
//! `"success"`.

use crate::json::slice::RawSlice;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_broadcast";

/// Reads `{"data":ANY}`; no data is `null`.
pub(crate) fn data(req: Option<RawSlice<'_>>) -> Result<RawSlice<'_>, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        data: Option<RawSlice<'a>>,
    }

    req.and_then(|req| req.parse::<Request<'_>>().ok())
        .map(|Request { data }| data.unwrap_or(RawSlice::NULL))
        .ok_or_else(|| RpcError::bad_request("req: an object with the field data"))
}
