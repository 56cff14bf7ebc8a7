//! `_subscribe`: ask the hooks, follow the channel, confirm.

use std::sync::Arc;

use tokensocket_protocol::{Answer, Channel};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(node: Arc<Node>, socket: Socket, channel: Channel, answer: Answer) -> Vec<u8> {
    let asked = (socket.clone(), channel.clone());
    let outcome = match Access::allow(&node.access.on_subscribe, asked).await {
        Ok(()) => node.subscribe(&socket, channel.clone()).await.map_err(Into::into),
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(()) => answer.subscribed(&channel),
        Err(error) => answer.error(&error),
    }
}
