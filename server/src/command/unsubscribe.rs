//! `_unsubscribe`: ask the hooks, leave the channel, tell and answer.

use std::sync::Arc;

use tokensocket_protocol::{Answer, Channel, Framed};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(node: Arc<Node>, socket: Socket, channel: Channel, answer: Answer) -> Framed {
    let asked = (socket.clone(), channel.clone());
    match Access::allow(&node.access.on_unsubscribe, asked).await {
        Ok(()) => {
            node.unsubscribe(&socket, &channel);
            answer.success()
        }
        Err(refused) => answer.error(&refused),
    }
}
