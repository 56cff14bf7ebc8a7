//! `_cancel`: `{"rpc":"_cancel","req":{"uuid":U},"uuid":V}`.
//!
//! The call U is stopped and answered `cancelled`, unless it was answered before; the cancel itself is
//! answered `"success"` either way.

use serde_json::value::RawValue;

use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_cancel";

/// Reads `{"uuid":U}`.
pub(crate) fn target(req: Option<&RawValue>) -> Result<&RawValue, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        uuid: &'a RawValue,
    }

    req.and_then(|req| serde_json::from_str::<Request<'_>>(req.get()).ok())
        .map(|Request { uuid }| uuid)
        .ok_or_else(|| RpcError::bad_request("req: an object with the field uuid"))
}
