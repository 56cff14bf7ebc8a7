//! `_cancel`: `{"rpc":"_cancel","req":{"uuid":U},"uuid":V}`.
//!
//! The call U is stopped and answered `cancelled`, unless it was answered before; the cancel itself is
//! answered `"success"` either way.

use crate::json::slice::RawSlice;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_cancel";

/// Reads `{"uuid":U}`.
pub(crate) fn target(req: Option<RawSlice<'_>>) -> Result<RawSlice<'_>, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        uuid: RawSlice<'a>,
    }

    req.and_then(|req| req.parse::<Request<'_>>().ok())
        .map(|Request { uuid }| uuid)
        .ok_or_else(|| RpcError::bad_request("req: an object with the field uuid"))
}
