//! `_history`: ask the hooks, read what the channel kept, answer.

use std::sync::Arc;

use tokensocket_protocol::command::Past;
use tokensocket_protocol::command::history::History;
use tokensocket_protocol::{Answer, Channel, Framed, RpcError};

use crate::access::Access;
use crate::history::HistoryQuery;
use crate::node::Node;
use crate::socket::Socket;

pub(crate) async fn run(node: Arc<Node>, socket: Socket, request: History, answer: Answer) -> Framed {
    let History { channel, since, limit, reverse } = request;
    let most = node.config.max_history;
    let query = HistoryQuery { since, limit: Some(limit.unwrap_or(most).min(most)), reverse };
    let page = match allow(&node, &socket, &channel).await {
        Ok(()) => node.history(&channel, query).await.map_err(Into::into),
        Err(refused) => Err(refused),
    };
    match page {
        Ok(page) => {
            let past = page.publications.iter().map(|kept| Past {
                offset: kept.offset,
                message: &kept.message,
                at: Some(kept.at.0),
            });
            answer.history(&page.position, past, page.gap, page.more)
        }
        Err(error) => answer.error(&error),
    }
}

/// Without a hook, whoever follows the channel may read what it kept.
async fn allow(node: &Node, socket: &Socket, channel: &Channel) -> Result<(), RpcError> {
    let hooks = &node.access.on_history;
    if hooks.is_empty() && !socket.follows(channel) {
        return Err(RpcError::forbidden());
    }
    Access::allow(hooks, (socket.clone(), channel.clone())).await
}
