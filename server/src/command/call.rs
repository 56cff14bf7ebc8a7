//! A call of an action: find it, start it, answer at once or keep it running.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokensocket_protocol::action::{Call, Deadline};
use tokensocket_protocol::command::call::CallRequest;
use tokensocket_protocol::{Answer, Framed, RpcError};
use tokio::time::Instant;

use crate::rpc::router::Router;
use crate::session::running::{Running, guard, outcome};
use crate::socket::Socket;

/// The longest deadline that is kept: a caller that waits longer waits as long as it likes.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// Starts the action. Most answer at the first poll; one that does not goes on in `running`.
pub(crate) fn start(
    request: CallRequest<'_>,
    answer: Answer,
    router: &Router,
    socket: &Socket,
    running: &mut Running,
    cx: &mut Context<'_>,
) -> Option<Framed> {
    let timeout = request.timeout.filter(|timeout| *timeout <= MAX_TIMEOUT);
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let call = Call {
        data: request.data.into(),
        deadline: Deadline(deadline.map(Instant::into_std)),
        context: socket,
        state: &router.state,
    };
    let Some(action) = router.call(&request.path, &call) else {
        return Some(answer.error(&RpcError::not_found()));
    };
    let mut action = guard(action);
    match action.poll_unpin(cx) {
        Poll::Ready(finished) => Some(answer.outcome(&outcome(&request.path, finished))),
        Poll::Pending => {
            let uuid = request.uuid.map(|uuid| uuid.as_str().into());
            running.push(request.path.into_owned(), uuid, deadline, answer, action);
            None
        }
    }
}
