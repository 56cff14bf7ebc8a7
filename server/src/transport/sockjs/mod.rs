//! SockJS 0.3.3: its transports, and endpoints that are plain SockJS. What its paths answer is `http/sockjs`.

pub(crate) mod exchange;
pub(crate) mod hixie;
pub(crate) mod inbox;
pub(crate) mod options;
pub(crate) mod receiving;
pub(crate) mod service;
pub(crate) mod websocket;
