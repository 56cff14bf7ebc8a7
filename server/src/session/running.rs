//! The calls of one connection that have not answered yet.
//!
//! In: actions that did not answer at once. Out: their answers, in the order they become ready, as the peer makes room
//! for them. Dropping this cancels them all.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream};
use tokensocket_protocol::{Answer, ErrorCode, RawJson, RpcError};
use tokio::time::Instant;

use crate::guarded::Guarded;
use crate::rpc::router::panicked;

type Outcome = (Answer, Result<RawJson, RpcError>);

/// Running calls. Empty, it allocates nothing.
#[derive(Default)]
pub(crate) struct Running(Option<Box<Calls>>);

#[derive(Default)]
struct Calls {
    futures: FuturesUnordered<BoxFuture<'static, (u64, Outcome)>>,
    /// What they answered while there was no room for it.
    finished: VecDeque<Outcome>,
    /// How much that is.
    finished_bytes: usize,
    /// The calls that can be cancelled, by the JSON text of their uuid. A client may use one twice.
    handles: Vec<(Box<str>, u64, AbortHandle)>,
    begun: u64,
}

impl Running {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |calls| calls.futures.len() + calls.finished.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps a call until it answers, is cancelled, or its deadline passes.
    pub(crate) fn push(
        &mut self,
        path: String,
        uuid: Option<Box<str>>,
        deadline: Option<Instant>,
        answer: Answer,
        action: Guarded<Result<RawJson, RpcError>>,
    ) {
        let calls = self.0.get_or_insert_default();
        let (handle, registration) = AbortHandle::new_pair();
        calls.begun += 1;
        let call = calls.begun;
        if let Some(uuid) = uuid {
            calls.handles.push((uuid, call, handle));
        }
        let limited = async move {
            match deadline {
                None => action.await.unwrap_or_else(|_| Err(panicked(&path))),
                Some(deadline) => match tokio::time::timeout_at(deadline, action).await {
                    Ok(finished) => finished.unwrap_or_else(|_| Err(panicked(&path))),
                    Err(_) => Err(RpcError::text("the deadline has passed").with_code(ErrorCode::Timeout)),
                },
            }
        };
        let cancellable = Abortable::new(limited, registration);
        calls.futures.push(
            async move {
                let outcome = cancellable.await.unwrap_or_else(|_| {
                    Err(RpcError::text("the call was cancelled").with_code(ErrorCode::Cancelled))
                });
                (call, (answer, outcome))
            }
            .boxed(),
        );
    }

    /// Cancels the calls of this uuid; each is answered `cancelled`.
    pub(crate) fn cancel(&mut self, uuid: &str) {
        let handles = self.0.iter().flat_map(|calls| &calls.handles);
        for (_, _, handle) in handles.filter(|(known, ..)| &**known == uuid) {
            handle.abort();
        }
    }

    /// The next answer; pending also when nothing runs, and when there is no room for answers: then what runs goes on,
    /// since others may wait for what it holds, and its answers are kept, up to `most_kept` bytes and the one that
    /// exceeds them. Beyond that it goes on when there is room.
    pub(crate) fn poll_next(
        &mut self,
        has_room: bool,
        most_kept: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let Some(calls) = &mut self.0 else { return Poll::Pending };
        loop {
            if has_room && let Some(outcome) = calls.finished.pop_front() {
                calls.finished_bytes -= bytes(&outcome);
                return Poll::Ready(outcome);
            }
            if calls.finished_bytes > most_kept {
                return Poll::Pending;
            }
            match Pin::new(&mut calls.futures).poll_next(cx) {
                Poll::Ready(Some((call, outcome))) => {
                    calls.handles.retain(|(_, known, _)| *known != call);
                    if has_room {
                        return Poll::Ready(outcome);
                    }
                    calls.finished_bytes += bytes(&outcome);
                    calls.finished.push_back(outcome);
                }
                Poll::Ready(None) if calls.finished.is_empty() => {
                    self.0 = None;
                    return Poll::Pending;
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Keeps an answer behind those of the calls that have finished; gives it back when none is kept.
    pub(crate) fn push_behind(&mut self, answer: Answer, outcome: RawJson) -> Option<Answer> {
        match &mut self.0 {
            Some(calls) if !calls.finished.is_empty() => {
                let outcome = (answer, Ok(outcome));
                calls.finished_bytes += bytes(&outcome);
                calls.finished.push_back(outcome);
                None
            }
            _ => Some(answer),
        }
    }
}

/// How much of an answer there is to keep. Errors are short.
fn bytes((_, outcome): &Outcome) -> usize {
    outcome.as_ref().map_or(0, |answered| answered.as_bytes().len())
}
