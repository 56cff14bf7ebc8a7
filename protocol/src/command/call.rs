//! A call of an action, in both directions.
//!
//! Up: `{"rpc":"a.b","req":ANY,"uuid":U,"timeout_ms":N}`, answered with `resp` or `error`. Down:
//! `{"internal":true,"command":"rpc","data":{"fid":F,"command":"a.b","args":ANY,"timeout_ms":N}}`,
//! answered by [`super::answer`].

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::answer::write_string;
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The server's name for one of its calls, unique on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fid(u64);

impl fmt::Display for Fid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Fid {
    /// The name that is this number.
    pub const fn of(number: u64) -> Self {
        Self(number)
    }

    /// The number that it is.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads a name that a client sent back.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// A client's call of a server's action.
#[derive(Debug)]
pub struct CallRequest<'a> {
    /// The action's dotted path.
    pub path: Cow<'a, str>,
    /// The argument; JSON `null` when there was none.
    pub data: RawSlice<'a>,
    /// The call's name as its JSON text, for [`super::cancel`]; a call without one cannot be cancelled.
    pub uuid: Option<RawSlice<'a>>,
    /// After how long the client gives up.
    pub timeout: Option<Duration>,
}

/// Reads after how long a client gives up.
pub(crate) fn timeout(raw: RawSlice<'_>) -> Result<Option<Duration>, RpcError> {
    match raw.parse::<Option<u64>>() {
        Ok(millis) => Ok(millis.map(Duration::from_millis)),
        Err(_) => Err(RpcError::bad_request("timeout_ms: a whole number of milliseconds")),
    }
}

/// Encodes the server's call of a client's action.
pub fn call_down(fid: Fid, path: &str, args: &RawJson, timeout: Option<Duration>) -> Vec<u8> {
    let mut data = Vec::with_capacity(path.len() + args.as_bytes().len() + 64);
    data.extend_from_slice(format!("{{\"fid\":\"{fid}\",\"command\":").as_bytes());
    write_string(&mut data, path);
    data.extend_from_slice(b",\"args\":");
    data.extend_from_slice(args.as_bytes());
    if let Some(timeout) = timeout {
        // Rounded up, so that the client does not give up before the server.
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        data.extend_from_slice(format!(",\"timeout_ms\":{millis}").as_bytes());
    }
    data.push(b'}');
    super::internal("rpc", &[&data])
}

/// Tells a client that the answer to the server's call is no longer wanted.
pub fn cancel_down(fid: Fid) -> Vec<u8> {
    super::internal("cancel", &[format!("{{\"fid\":\"{fid}\"}}").as_bytes()])
}
