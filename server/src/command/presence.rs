//! `_presence`: ask the hooks, say who is on the channel.

use std::sync::Arc;

use tokensocket_protocol::command::presence::Presence;
use tokensocket_protocol::{Answer, Channel, Framed, RpcError};

use crate::access::Access;
use crate::error::PresenceError;
use crate::node::Node;
use crate::node::presence::as_wire;
use crate::presence::{Counts, Member};
use crate::socket::Socket;

/// How many members are given to who does not say, and at most.
const LIMITS: (usize, usize) = (100, 1_000);

/// What was asked for with a channel's name.
struct Asked {
    after: Option<String>,
    limit: usize,
}

pub(crate) fn run(
    node: Arc<Node>,
    socket: Socket,
    request: Presence<'_>,
    answer: Answer,
) -> impl Future<Output = Framed> + Send + 'static {
    let Presence { channel, limit, after } = request;
    let asked = Asked {
        after: after.map(std::borrow::Cow::into_owned),
        limit: limit.unwrap_or(LIMITS.0).min(LIMITS.1),
    };
    async move {
        let found = match allow(&node, &socket, &channel).await {
            Ok(()) => find(&node, &channel, &asked).await.map_err(Into::into),
            Err(refused) => Err(refused),
        };
        match found {
            Ok((Counts { clients, users }, members, more)) => {
                answer.presence(clients, users, members.iter().map(as_wire), more)
            }
            Err(error) => answer.error(&error),
        }
    }
}

async fn find(
    node: &Node,
    channel: &Channel,
    asked: &Asked,
) -> Result<(Counts, Vec<Member>, bool), PresenceError> {
    let counts = node.presence_counts(channel).await?;
    if asked.limit == 0 {
        return Ok((counts, Vec::new(), false));
    }
    // One more than asked for says whether there is more.
    let mut members = node.presence(channel, asked.after.as_deref(), asked.limit + 1).await?;
    let more = members.len() > asked.limit;
    members.truncate(asked.limit);
    Ok((counts, members, more))
}

/// Without a hook, whoever follows the channel may know who else does.
async fn allow(node: &Node, socket: &Socket, channel: &Channel) -> Result<(), RpcError> {
    let hooks = &node.access.on_presence;
    if hooks.is_empty() && !socket.follows(channel) {
        return Err(RpcError::forbidden());
    }
    Access::allow(hooks, (socket.clone(), channel.clone())).await
}
