//! `_publish`: ask the hooks, hand the message to the broker, answer.

use std::sync::Arc;

use tokensocket_protocol::{Answer, Channel, RawJson};

use crate::access::Access;
use crate::broker::Key;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(
    node: Arc<Node>,
    socket: Socket,
    channel: Channel,
    message: RawJson,
    key: Option<Arc<str>>,
    answer: Answer,
) -> Vec<u8> {
    let asked = (socket.clone(), channel.clone(), message.clone());
    let key = key.map(|text| Key { text, window: node.config.key_window });
    let outcome = match Access::allow(&node.access.on_publish, asked).await {
        Ok(()) => node.publish(channel, message, key).await.map_err(Into::into),
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(published) => answer.published(published.position.as_ref(), published.duplicate),
        Err(error) => answer.error(&error),
    }
}
