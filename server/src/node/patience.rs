//! How long this node waits for what it asked of a broker or a store.
//!
//! In: a future of theirs. Out: its result, or what whoever waits is told instead. What was asked cannot be taken back: it
//! may be done all the same.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, sleep_until, timeout};

use super::Node;
use crate::broker::BrokerError;

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// One who answers soon, or not at all.
    AtOnce,
    /// One who keeps what it is asked while its engine is away, and does it then.
    Holding,
}

impl Asked {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Holding } else { Self::AtOnce }
    }
}

impl Node {
    /// What most brokers answer at once costs no timer.
    pub(super) async fn at_once_or_in_time<T>(
        &self,
        asked: Asked,
        work: &mut BoxFuture<'_, Result<T, BrokerError>>,
        late: impl FnOnce() -> BrokerError,
    ) -> Result<T, BrokerError> {
        if let Some(done) = (&mut *work).now_or_never() {
            return done;
        }
        // Boxed, so that whoever waits for it is not larger for the timer.
        Box::pin(self.in_time(asked, work, late())).await
    }

    /// Waits for the `store_timeout`; for one who holds what it was asked as long as that takes, but not beyond the end of
    /// this node.
    pub(super) async fn in_time<T, E>(
        &self,
        asked: Asked,
        work: impl Future<Output = Result<T, E>>,
        late: E,
    ) -> Result<T, E> {
        match asked {
            Asked::AtOnce => timeout(self.config.store_timeout, work).await.unwrap_or(Err(late)),
            Asked::Holding => tokio::select! {
                biased;
                done = work => done,
                () = self.end_of_patience() => Err(late),
            },
        }
    }

    /// When nothing is waited for any more: every connection was told to go, and the `store_timeout` has passed since, whenever
    /// this was asked.
    pub(super) fn end_of_patience(&self) -> impl Future<Output = ()> + Send + use<> {
        let (last, told, patience) =
            (self.last.clone(), Arc::clone(&self.draining.dismissed), self.config.store_timeout);
        async move {
            last.cancelled().await;
            match told.get().and_then(|told| told.checked_add(patience)) {
                Some(end) => sleep_until(end).await,
                None => sleep(patience).await,
            }
        }
    }
}
