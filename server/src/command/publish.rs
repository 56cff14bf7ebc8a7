//! `_publish`: ask the hooks, hand the message to the broker, answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use tokensocket_protocol::{Answer, Channel, Framed, RawJson};

use crate::access::Access;
use crate::broker::{BrokerError, Key, Published};
use crate::node::Node;
use crate::session::serial::Said;
use crate::socket::Socket;

/// `has_place`: the broker may take its time, but puts the publication in its place at once, so that others may follow
/// meanwhile.
pub(crate) async fn run(
    node: Arc<Node>,
    socket: Socket,
    channel: Channel,
    message: RawJson,
    key: Option<Arc<str>>,
    has_place: bool,
    answer: Answer,
) -> Said {
    let asked = (socket.clone(), channel.clone(), message.clone());
    let key = key.map(|text| Key { text, window: node.config.key_window });
    if let Err(refused) = Access::allow(&node.access.on_publish, asked).await {
        return answer.error(&refused).into();
    }
    if !has_place {
        return said(answer, node.publish(channel, message, key).await).into();
    }
    let mut publishing = async move { said(answer, node.publish(channel, message, key).await) }.boxed();
    match poll_fn(|cx| Poll::Ready(publishing.poll_unpin(cx))).await {
        Poll::Ready(answer) => answer.into(),
        Poll::Pending => Said::Placed(publishing),
    }
}

fn said(answer: Answer, published: Result<Published, BrokerError>) -> Framed {
    match published {
        Ok(published) => answer.published(published.position.as_ref(), published.duplicate),
        Err(error) => answer.error(&error.into()),
    }
}
