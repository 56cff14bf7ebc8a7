//! `_rpc`: hand a client's answer to whoever called it.

use tokensocket_protocol::command::answer::ClientAnswer;
use tokensocket_protocol::{ErrorCode, RawJson};

use crate::error::CallError;
use crate::socket::Socket;

pub(crate) fn run(socket: &Socket, answer: ClientAnswer<'_>) {
    let outcome =
        answer.outcome.map(|result| RawJson::copy_of(result).into()).map_err(|error| match error.code() {
            // The client gave up at the same limit: the same end, whoever says so first.
            ErrorCode::Timeout => CallError::Timeout,
            _ => CallError::Remote(error),
        });
    socket.finish_call(answer.fid, outcome);
}
