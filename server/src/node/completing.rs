//! Work that is done to its end, whoever stops waiting for it.
//!
//! In: a future. Out: its result, or the rest of it as a task of the node. A call of a store cannot be taken back,
//! so neither may be what follows from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Node;

/// Drop it unfinished, and the node finishes it. One that nobody has polled does nothing when it is dropped,
/// unless it was begun before.
pub(super) struct Completing<R: Send + 'static> {
    node: Arc<Node>,
    rest: Option<BoxFuture<'static, R>>,
    is_begun: bool,
}

impl<R: Send + 'static> Completing<R> {
    /// Work that begins when it is first polled.
    pub(super) fn new(node: Arc<Node>, work: BoxFuture<'static, R>) -> Self {
        Self { node, rest: Some(work), is_begun: false }
    }

    /// Work that has begun.
    pub(super) fn begun(node: Arc<Node>, work: BoxFuture<'static, R>) -> Self {
        Self { node, rest: Some(work), is_begun: true }
    }
}

impl<R: Send + 'static> Future for Completing<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        self.is_begun = true;
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let polled = rest.poll_unpin(cx);
        if polled.is_ready() {
            self.rest = None;
        }
        polled
    }
}

impl<R: Send + 'static> Drop for Completing<R> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && self.is_begun
        {
            self.node.finish(rest.map(drop).boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::server::Server;

    #[tokio::test(start_paused = true)]
    async fn at_the_end_nobody_is_waited_for_anew() {
        let (patience, passed, left) =
            (Duration::from_secs(5), Duration::from_secs(3), Duration::from_secs(2));
        let server = Server::builder().authenticate_anyone().store_timeout(patience).build();
        let node = Arc::clone(server.unwrap_or_else(|_| unreachable!("nothing is configured")).node());
        let work = Completing::begun(Arc::clone(&node), pending::<()>().boxed());
        node.drain();
        advance(passed).await;
        let begun = Instant::now();
        drop(work);
        node.tasks.wait().await;
        assert_eq!(begun.elapsed(), left);
    }
}
