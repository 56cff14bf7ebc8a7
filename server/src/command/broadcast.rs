//! `_broadcast`: ask the hooks, hand the message to the broker, answer.

use std::sync::Arc;

use tokensocket_protocol::{Answer, Framed, RawJson};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(node: Arc<Node>, socket: Socket, message: RawJson, answer: Answer) -> Framed {
    let asked = (socket.clone(), message.clone());
    let outcome = match Access::allow(&node.access.on_broadcast, asked).await {
        Ok(()) => node.broadcast(message).await.map_err(Into::into),
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(()) => answer.success(),
        Err(error) => answer.error(&error),
    }
}
