//! SockJS 0.3.3: its transports, its `/info`, and endpoints that are plain SockJS.

pub(crate) mod info;
pub(crate) mod service;
pub(crate) mod websocket;
