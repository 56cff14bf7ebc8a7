//! `_subscribe`: ask the hooks, follow the channel or the pattern, confirm.

use std::sync::Arc;

use tokensocket_protocol::command::subscribe::{Joined, Subscribe};
use tokensocket_protocol::{Answer, Framed};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

/// `None`: the client has been told, at its place between the channel's publications.
pub(crate) async fn run(
    node: Arc<Node>,
    socket: Socket,
    request: Subscribe,
    answer: Answer,
) -> Option<Framed> {
    let Subscribe { channel, recover, presence } = request;
    let allowed = match node.pattern(&channel) {
        Some(pattern) => Access::allow(&node.access.on_subscribe_pattern, (socket.clone(), pattern)).await,
        None => Access::allow(&node.access.on_subscribe, (socket.clone(), channel.clone())).await,
    };
    let mut answer = Some(answer);
    let outcome = match allowed {
        Ok(()) => {
            let mut confirm = |joined: &Joined<'_>| {
                answer.take().map_or_else(Framed::default, |answer| answer.subscribed(&channel, joined))
            };
            let told = node.subscribe(&socket, &channel, recover.as_ref(), &mut confirm).await;
            if told.is_ok() {
                node.enter(&socket, &channel, presence);
            }
            told.map_err(Into::into)
        }
        Err(refused) => Err(refused),
    };
    outcome.unwrap_or_else(|error| answer.map(|answer| answer.error(&error)))
}
