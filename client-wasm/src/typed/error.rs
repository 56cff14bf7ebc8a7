//! Why building failed. Why a request or a subscription failed is the same for every client in Rust: see
//! [`tokensocket_protocol::client::handle`].

use tokensocket_protocol::action::InvalidAction;

/// A client cannot be built as it was described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The server's address is no URL with a host and one of the schemes http, https, ws, wss, and not
    /// empty, which stands for where the page came from.
    #[error(
        "{address:?} is no server address: write it like https://host:port, or leave it empty for the page's own"
    )]
    Address {
        /// The address as it was given.
        address: String,
    },
    /// The authentication data is no JSON object, or cannot be serialized.
    #[error("the authentication data must be an object: {0}")]
    Authentication(String),
    /// An action could never be called, or would never work.
    #[error(transparent)]
    Action(#[from] InvalidAction),
    /// The device's name is empty or has more than 128 bytes.
    #[error("a device's name has 1 to 128 bytes")]
    Device,
}
