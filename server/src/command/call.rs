//! A call of an action: find it, start it, answer at once or keep it running.

use std::task::{Context, Poll};
use std::time::Duration;

use tokensocket_protocol::action::{Call, Deadline};
use tokensocket_protocol::command::call::CallRequest;
use tokensocket_protocol::{Answer, RpcError};
use tokio::time::Instant;

use crate::guarded::{Guarded, caught};
use crate::rpc::router::{Table, panicked};
use crate::session::answers::Answers;
use crate::session::running::Running;
use crate::socket::Socket;

/// The longest deadline that is kept: a caller that waits longer waits as long as it likes.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// Starts the action. Most answer at the first poll, into `answers`; one that does not goes on in `running`.
///
/// What is large stays where it is, request and outcome: to move them costs more than all else that is done here.
pub(crate) fn start(
    request: &CallRequest<'_>,
    answer: Answer,
    actions: Table<'_>,
    socket: &Socket,
    running: &mut Running,
    answers: &mut Answers,
    cx: &mut Context<'_>,
) {
    let timeout = request.timeout.filter(|timeout| *timeout <= MAX_TIMEOUT);
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let call = Call {
        data: request.data.into(),
        deadline: Deadline(deadline.map(Instant::into_std)),
        context: socket,
        state: actions.state(),
    };
    let (mut action, mut outcome) = (None, Poll::Pending);
    // A panic is this call's error and nobody else's.
    let started = caught(|| {
        action = actions.call(&request.path, &call);
        if let Some(action) = &mut action {
            outcome = action.as_mut().poll(cx);
        }
    });
    let action = action.map(Guarded::new);
    if started.is_err() {
        answers.push(answer.error(&panicked(&request.path)));
        return;
    }
    match (&outcome, action) {
        (Poll::Ready(outcome), _) => answers.push(answer.outcome(outcome)),
        (Poll::Pending, Some(action)) => {
            let uuid = request.uuid.map(|uuid| uuid.as_str().into());
            running.push(request.path.to_string(), uuid, deadline, answer, action);
        }
        (Poll::Pending, None) => answers.push(answer.error(&RpcError::not_found())),
    }
}
