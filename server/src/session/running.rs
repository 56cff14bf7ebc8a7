//! The calls of one connection that have not answered yet.
//!
//! In: actions that did not answer at once. Out: their answers, in the order they become ready. Dropping
//! this cancels them all.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream};
use tokensocket_protocol::{Answer, ErrorCode, RawJson, RpcError};
use tokio::time::Instant;

use super::guarded::{Guarded, outcome};

type Finished = (u64, Answer, Result<RawJson, RpcError>);

/// Running calls. Empty, it allocates nothing.
#[derive(Default)]
pub(crate) struct Running(Option<Box<Calls>>);

#[derive(Default)]
struct Calls {
    futures: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// The calls that can be cancelled, by the JSON text of their uuid. A client may use one twice.
    handles: Vec<(Box<str>, u64, AbortHandle)>,
    begun: u64,
}

impl Running {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |calls| calls.futures.len())
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
        action: Guarded,
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
                None => outcome(&path, action.await),
                Some(deadline) => match tokio::time::timeout_at(deadline, action).await {
                    Ok(finished) => outcome(&path, finished),
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
                (call, answer, outcome)
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

    /// The next answer; pending also when nothing runs.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Answer, Result<RawJson, RpcError>)> {
        let Some(calls) = &mut self.0 else { return Poll::Pending };
        match Pin::new(&mut calls.futures).poll_next(cx) {
            Poll::Ready(Some((call, answer, outcome))) => {
                calls.handles.retain(|(_, known, _)| *known != call);
                Poll::Ready((answer, outcome))
            }
            Poll::Ready(None) => {
                self.0 = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
