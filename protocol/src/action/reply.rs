//! From a handler's result to the answer's payload.
//!
//! In: `Result<T, E>` with any `T: Serialize` and any `E: Into<RpcError>`. Out: raw JSON or the error. Raw
//! JSON stays what it is; everything else is serialized.

use std::any::Any;

use serde::Serialize;

use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// What a handler may answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer of an action",
    note = "a handler answers `Result<T, E>` with `T: Serialize` and `E: Into<RpcError>`"
)]
pub trait IntoReply {
    /// Turns the result into the payload or the error that the caller gets.
    fn into_reply(self) -> Result<RawJson, RpcError>;
}

impl<T: Serialize + 'static, E: Into<RpcError>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<RawJson, RpcError> {
        let mut value = Some(self.map_err(Into::into)?);
        if let Some(raw) = (&mut value as &mut dyn Any).downcast_mut::<Option<RawJson>>() {
            return Ok(raw.take().unwrap_or_default());
        }
        RawJson::new(&value).map_err(|error| RpcError::new(format!("the answer is not JSON: {error}")))
    }
}

impl From<String> for RpcError {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for RpcError {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}
