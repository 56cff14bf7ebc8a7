//! `_publish`: ask the hooks, hand the message to the broker, answer.

use std::sync::Arc;

use tokensocket_protocol::{Answer, Channel, RawJson};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(
    node: Arc<Node>,
    socket: Socket,
    channel: Channel,
    message: RawJson,
    answer: Answer,
) -> Vec<u8> {
    let asked = (socket.clone(), channel.clone(), message.clone());
    let outcome = match Access::allow(&node.access.on_publish, asked).await {
        Ok(()) => node.publish(channel, message).await.map_err(Into::into),
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(()) => answer.success(),
        Err(error) => answer.error(&error),
    }
}
