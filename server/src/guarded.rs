//! What the application has us run, and may panic: when it begins, while it runs, and when it is dropped.
//!
//! In: something that begins a future. Out: what it gave, or that it panicked. Such a panic ends nothing but what it
//! belongs to. One that comes when the future is dropped is told to the log: nobody waits for it any more.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

/// A future of the application's. It is to be polled until it is ready, and never again.
pub(crate) struct Guarded<T>(Option<BoxFuture<'static, T>>);

/// It panicked. Nobody is told with what: the panic hook was.
#[derive(Debug)]
pub(crate) struct Panicked;

impl<T> Guarded<T> {
    pub(crate) fn new(future: BoxFuture<'static, T>) -> Self {
        Self(Some(future))
    }

    /// Guards the beginning, too.
    pub(crate) fn begin(begin: impl FnOnce() -> BoxFuture<'static, T>) -> Self {
        Self(caught(begin).ok())
    }
}

impl<T> Future for Guarded<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        let polled = caught(|| future.as_mut().poll(cx));
        if !matches!(polled, Ok(Poll::Pending)) {
            drop_caught(self.0.take());
        }
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            drop_caught(self.0.take());
        }
    }
}

/// Runs what may panic.
pub(crate) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        // It may panic once more, and is let go then.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        Panicked
    })
}

/// Drops what may panic.
pub(crate) fn drop_caught<T>(dropped: T) {
    if caught(|| drop(dropped)).is_err() {
        tracing::error!("something of the application's panicked when it was dropped");
    }
}
