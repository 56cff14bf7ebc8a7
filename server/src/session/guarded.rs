//! An action that may panic: while it runs, and when it is dropped.
//!
//! In: an action. Out: what it answered. A panic ends nothing but the call it belongs to; one that comes when a call is
//! cancelled, late, or its connection gone is told to the log, since nobody waits for an answer any more.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokensocket_protocol::action::ActionFuture;
use tokensocket_protocol::{RawJson, RpcError};

use crate::rpc::router::panicked;

/// An action whose panics are caught. After it has answered it stays pending.
pub(crate) struct Guarded(Option<ActionFuture>);

impl Guarded {
    pub(crate) fn new(action: ActionFuture) -> Self {
        Self(Some(action))
    }
}

impl Future for Guarded {
    type Output = std::thread::Result<Result<RawJson, RpcError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(action) = &mut self.0 else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| action.as_mut().poll(cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            drop_guarded(self.0.take());
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answered)) => Poll::Ready(Ok(answered)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop_guarded(self.0.take());
    }
}

fn drop_guarded(action: Option<ActionFuture>) {
    if catch_unwind(AssertUnwindSafe(|| drop(action))).is_err() {
        tracing::error!("an action panicked when it was dropped");
    }
}

/// What a guarded action answered.
pub(crate) fn outcome(
    path: &str,
    finished: std::thread::Result<Result<RawJson, RpcError>>,
) -> Result<RawJson, RpcError> {
    finished.unwrap_or_else(|_| Err(panicked(path)))
}
