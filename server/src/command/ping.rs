//! `_ping`: say pong, where the server was told to.

use tokensocket_protocol::{Answer, Framed, RpcError};

use crate::node::Node;

pub(crate) fn run(node: &Node, answer: Answer) -> Framed {
    if node.config.ping { answer.pong() } else { answer.error(&RpcError::not_found()) }
}
