//! SockJS as its protocol text looks at it: header by header, and one HTTP chunk after the other.
//!
//! In: requests as a test spells them. Out: what a server answers, byte for byte. Nothing of it shares code with
//! the server.

mod headers;
mod hixie;
mod receiver;
mod request;
mod response;
mod service;

pub use headers::{
    CACHE_FOR_LONG, NEVER_CACHED, check_cached, check_cookie, check_cors, check_never_cached,
    check_no_cookie, check_not_found, check_preflight,
};
pub use hixie::{Hixie, NONCE};
pub use receiver::{Attached, Receiver, SECOND_RECEIVER};
pub use request::Request;
pub use response::Response;
pub use service::{GO_AWAY, Services, Session, echo, go_away, listens};
