//! `_rpc`: a client's answer to a call of the server's,
//! `{"rpc":"_rpc","fid":F,"resp":{"data":ANY}}` or `{"rpc":"_rpc","fid":F,"resp":{"error":ANY,"code":…}}`.
//!
//! It gets no answer itself. One that nobody waits for is ignored.

use serde_json::Value;

use crate::command::call::Fid;
use crate::envelope::string;
use crate::error::ErrorCode;
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_rpc";

/// A client's answer.
#[derive(Debug)]
pub struct ClientAnswer<'a> {
    /// Which of the server's calls.
    pub fid: Fid,
    /// The result, JSON `null` when there was none, or the error.
    pub outcome: Result<RawSlice<'a>, RpcError>,
}

impl<'a> ClientAnswer<'a> {
    /// Reads an answer; `None` when it names no call that could be ours.
    pub(crate) fn read(fid: Option<RawSlice<'a>>, resp: Option<RawSlice<'a>>) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Response<'a> {
            #[serde(borrow)]
            data: Option<RawSlice<'a>>,
            #[serde(borrow)]
            error: Option<RawSlice<'a>>,
            #[serde(borrow)]
            code: Option<std::borrow::Cow<'a, str>>,
            #[serde(borrow)]
            details: Option<RawSlice<'a>>,
        }

        let fid = Fid::parse(&fid.and_then(string)?)?;
        let response = resp.map(RawSlice::parse::<Response<'_>>);
        let outcome = match response {
            Some(Ok(Response { error: Some(error), code, details, .. })) => {
                let value = error.parse().unwrap_or(Value::Null);
                let code = code.and_then(|code| ErrorCode::parse(&code)).unwrap_or(ErrorCode::Internal);
                let error = RpcError::value(value).with_code(code);
                Err(match details {
                    Some(details) => error.with_details(&RawJson::copy_of(details)),
                    None => error,
                })
            }
            Some(Ok(Response { data, .. })) => Ok(data.unwrap_or(RawSlice::NULL)),
            None | Some(Err(_)) => {
                Err(RpcError::text("the client's answer is malformed").with_code(ErrorCode::BadRequest))
            }
        };
        Some(Self { fid, outcome })
    }
}
