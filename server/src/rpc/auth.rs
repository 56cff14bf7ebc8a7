//! The extractor of the caller's identity.

use serde::de::DeserializeOwned;
use tokensocket_protocol::action::{Call, FromCall};
use tokensocket_protocol::{ErrorCode, RpcError};

use crate::socket::Socket;

/// Extracts the caller's identity as a type.
///
/// An identity of another shape than `T` is answered with `forbidden`; the handler does not run.
#[derive(Debug, Clone, Copy)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromCall<Socket> for Auth<T> {
    fn from_call(call: &Call<'_, Socket>) -> Result<Self, RpcError> {
        call.context.identity().parse().map(Auth).map_err(|error| {
            tracing::debug!(socket = %call.context.id(), %error, "the identity has another shape");
            RpcError::forbidden().with_code(ErrorCode::Forbidden)
        })
    }
}
