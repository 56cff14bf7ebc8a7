//! Calls of this server's actions: found by path, their arguments extracted, routes served as actions.
//!
//! In: a call. Out: a running action. Polls nothing and knows no transport. The other direction, a call
//! of a client's action, is `socket/outgoing.rs`.

pub(crate) mod auth;
pub(crate) mod router;
pub(crate) mod routes;
