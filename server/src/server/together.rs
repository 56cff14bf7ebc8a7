//! Work whose publications go out together.
//!
//! In: a future or a stream of the application's. Out: the same, each poll of which is one burst.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::Server;
use crate::hub;

/// A future or a stream whose publications go out together. See [`Server::together`].
#[must_use = "it does nothing unless it is awaited or polled"]
pub struct Together<T> {
    work: Pin<Box<T>>,
}

impl Server {
    /// Has what `work` publishes go out together: `work` is a future or a stream, and what is returned is the same one.
    ///
    /// Alone, each publication is one write to each follower, at once. Within `work` they are gathered until it has to wait
    /// for something, or ends, or is a stream and gives an item; each follower gets what is there for a channel in one
    /// piece, beyond 64 KiB of a channel earlier. Have a stream that publishes with each item go through
    /// `ready_chunks`. What the actions of one connection publish goes out together by itself.
    ///
    /// ```
    /// # use tokensocket_server::{PublishError, Server};
    /// # async fn example(server: &Server, prices: Vec<(String, f64)>) -> Result<(), PublishError> {
    /// server
    ///     .together(async {
    ///         for (product, price) in prices {
    ///             server.publish("prices", (product, price)).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// Nothing else changes. Each publication is kept and answered by itself, and others may see some and not yet the
    /// rest: it is no transaction. Every channel keeps its order; between two channels there is none. What is sent to one
    /// socket alone goes out at once, and what `work` has published before goes out first, but for what other threads do
    /// just then: they serve large channels. What runs in tasks that `work` spawns is not in it. With an
    /// [`Engine`](crate::Engine) publications come back from there, and those that come together go out together.
    pub fn together<T>(&self, work: T) -> Together<T> {
        Together { work: Box::pin(work) }
    }
}

impl<T: Future> Future for Together<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        hub::corked(|| self.work.as_mut().poll(cx))
    }
}

impl<T: Stream> Stream for Together<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        hub::corked(|| self.work.as_mut().poll_next(cx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.work.size_hint()
    }
}

impl<T> fmt::Debug for Together<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}
