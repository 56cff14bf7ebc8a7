//! `_broadcast`: `{"rpc":"_broadcast","req":{"data":ANY},"uuid":U}`.
//!
//! Reaches a socket once for each channel it follows, as a publication on that channel. Answered
//! `"success"`.

use serde_json::value::RawValue;

use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_broadcast";

/// Reads `{"data":ANY}`; no data is `null`.
pub(crate) fn data(req: Option<&RawValue>) -> Result<&RawValue, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }

    req.and_then(|req| serde_json::from_str::<Request<'_>>(req.get()).ok())
        .map(|Request { data }| data.unwrap_or(RawValue::NULL))
        .ok_or_else(|| RpcError::bad_request("req: an object with the field data"))
}
