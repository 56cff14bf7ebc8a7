//! What the server does for each verb of the wire. The files are named as in the protocol crate.
//!
//! In: a checked command, and the [`tokensocket_protocol::Answer`] that waits for its result. Out: calls
//! of the node, and the answer.

pub(crate) mod acknowledge;
pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod broadcast;
pub(crate) mod call;
pub(crate) mod history;
pub(crate) mod ping;
pub(crate) mod presence;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod unsubscribe;
