//! `_ack`: remove what the device has, answer.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokensocket_protocol::message::Acknowledge;
use tokensocket_protocol::{Answer, ErrorCode, Framed, RawJson, RpcError};

use crate::guarded::Guarded;
use crate::node::Node;
use crate::rpc::router::panicked;
use crate::session::running::Running;
use crate::socket::Socket;
use crate::store::StoreError;

/// Begins it at once, so that acknowledgements reach the store in the order in which they came. One that the store
/// does not answer at once goes on in `running`.
pub(crate) fn start(
    node: &Arc<Node>,
    socket: &Socket,
    what: Acknowledge,
    answer: Answer,
    running: &mut Running,
    cx: &mut Context<'_>,
) -> Option<Framed> {
    let Some(cursor) = socket.cursor() else {
        return Some(answer.error(&RpcError::bad_request("nothing is delivered on this connection")));
    };
    let Some(acknowledging) = node.acknowledge(cursor, what) else { return Some(answer.success()) };
    let mut acknowledging = Guarded::new(acknowledging.map(outcome).boxed());
    match acknowledging.poll_unpin(cx) {
        Poll::Ready(finished) => Some(answer.outcome(&finished.unwrap_or_else(|_| Err(panicked(NAME))))),
        Poll::Pending => {
            running.push(NAME.to_owned(), None, None, answer, acknowledging);
            None
        }
    }
}

const NAME: &str = tokensocket_protocol::command::acknowledge::NAME;

fn outcome(acknowledged: Result<(), StoreError>) -> Result<RawJson, RpcError> {
    match acknowledged {
        Ok(()) => Ok(RawJson::new("success").unwrap_or_default()),
        Err(error) => Err(RpcError::text(error.to_string()).with_code(ErrorCode::Overloaded)),
    }
}
