//! The calls of this node to one shard, in their order.
//!
//! ```text
//! call ─┬─ open ───▶ link (in the order of the calls)
//!       └─ closed ─▶ waits until the operation that takes several calls is through
//! ```
//!
//! In: operations that have something to note here and send a script. Out: what becomes of the scripts. What a node
//! notes about a shard changes in the order in which Redis gets the scripts.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use redis::Value;
use tokio::sync::oneshot;

use crate::redis::link::{Budget, LinkError, Share};

/// A script that was sent.
pub(in crate::redis) type Calling = BoxFuture<'static, Result<Value, LinkError>>;

/// Sends a script. Says whether the lane is to be closed for it.
type Waiting<S> = Box<dyn FnOnce(&mut S) -> bool + Send>;

/// `S`: what is noted about the shard.
pub(in crate::redis) struct Lane<S> {
    inner: Mutex<Inner<S>>,
    /// What may wait here.
    budget: Arc<Budget>,
}

struct Inner<S> {
    notes: S,
    is_closed: bool,
    waiting: VecDeque<Waiting<S>>,
}

/// While it is there, nobody else's calls are sent.
pub(in crate::redis) struct Turn<S: Send + 'static>(Option<Arc<Lane<S>>>);

impl<S: Send + 'static> Lane<S> {
    pub(in crate::redis) fn new(notes: S, budget: Arc<Budget>) -> Arc<Self> {
        let inner = Mutex::new(Inner { notes, is_closed: false, waiting: VecDeque::new() });
        Arc::new(Self { inner, budget })
    }

    /// What is noted. Whoever sends a script under this lock sends it in its order.
    pub(in crate::redis) fn notes(&self) -> MappedMutexGuard<'_, S> {
        MutexGuard::map(self.inner.lock(), |inner| &mut inner.notes)
    }

    /// Sends a script of about so many bytes, now or as soon as it may be sent.
    pub(in crate::redis) fn call(
        &self,
        bytes: usize,
        send: impl FnOnce(&mut S) -> Calling + Send + 'static,
    ) -> Calling {
        let inner = self.inner.lock();
        match inner.is_closed.then(|| self.budget.take(bytes)) {
            Some(None) => ready(Err(LinkError::Overloaded)).boxed(),
            Some(share) => Self::call_in(inner, share, send),
            None => Self::call_in(inner, None, send),
        }
    }

    /// The same, and never refused: for what ends something that was counted when it began.
    pub(in crate::redis) fn call_last(
        &self,
        send: impl FnOnce(&mut S) -> Calling + Send + 'static,
    ) -> Calling {
        Self::call_in(self.inner.lock(), None, send)
    }

    fn call_in(
        mut inner: MutexGuard<'_, Inner<S>>,
        share: Option<Share>,
        send: impl FnOnce(&mut S) -> Calling + Send + 'static,
    ) -> Calling {
        if !inner.is_closed {
            return send(&mut inner.notes);
        }
        let (tell, told) = oneshot::channel();
        let waiting = move |notes: &mut S| {
            // From here on the link counts it.
            drop(share);
            // Nobody may wait for it any more: it is sent all the same.
            drop(tell.send(send(notes)));
            false
        };
        inner.waiting.push_back(Box::new(waiting));
        async move {
            match told.await {
                Ok(calling) => calling.await,
                Err(_) => Err(closed()),
            }
        }
        .boxed()
    }

    /// The same for the first call of an operation that takes several: it must keep the [`Turn`] until it is
    /// through.
    pub(in crate::redis) fn call_alone(
        self: &Arc<Self>,
        bytes: usize,
        send: impl FnOnce(&mut S) -> Calling + Send + 'static,
    ) -> BoxFuture<'static, (Result<Value, LinkError>, Turn<S>)> {
        let mut inner = self.inner.lock();
        if !inner.is_closed {
            inner.is_closed = true;
            let calling = send(&mut inner.notes);
            let turn = Turn(Some(Arc::clone(self)));
            return async move { (calling.await, turn) }.boxed();
        }
        let Some(share) = self.budget.take(bytes) else {
            return ready((Err(LinkError::Overloaded), Turn(None))).boxed();
        };
        let (tell, told) = oneshot::channel();
        let lane = Arc::clone(self);
        let waiting = move |notes: &mut S| {
            drop(share);
            match tell.send((send(notes), Turn(Some(lane)))) {
                Ok(()) => true,
                Err((_, mut turn)) => {
                    turn.0 = None;
                    false
                }
            }
        };
        inner.waiting.push_back(Box::new(waiting));
        async move {
            match told.await {
                Ok((calling, turn)) => (calling.await, turn),
                Err(_) => (Err(closed()), Turn(None)),
            }
        }
        .boxed()
    }

    fn open(&self) {
        let mut inner = self.inner.lock();
        inner.is_closed = false;
        while let Some(send) = inner.waiting.pop_front() {
            if send(&mut inner.notes) {
                inner.is_closed = true;
                return;
            }
        }
    }
}

impl<S: Send + 'static> Drop for Turn<S> {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            lane.open();
        }
    }
}

fn closed() -> LinkError {
    LinkError::Away("the store is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(log: &mut Vec<i64>, number: i64) -> Calling {
        log.push(number);
        ready(Ok(Value::Int(number))).boxed()
    }

    #[tokio::test]
    async fn sends_nothing_while_somebody_has_its_turn() {
        let lane = Lane::new(Vec::new(), Budget::new(10, 100));
        let first = lane.call(1, |log| number(log, 1));
        let alone = lane.call_alone(1, |log| number(log, 2));
        let third = lane.call(1, |log| number(log, 3));
        let fourth = lane.call_alone(1, |log| number(log, 4));
        let fifth = lane.call(1, |log| number(log, 5));
        assert_eq!(first.await, Ok(Value::Int(1)));
        let (second, turn) = alone.await;
        assert_eq!((second, &*lane.notes()), (Ok(Value::Int(2)), &vec![1, 2]));
        drop(turn);
        assert_eq!(*lane.notes(), [1, 2, 3, 4]);
        assert_eq!(third.await, Ok(Value::Int(3)));
        drop(fourth);
        assert_eq!(*lane.notes(), [1, 2, 3, 4, 5]);
        assert_eq!(fifth.await, Ok(Value::Int(5)));
    }

    #[tokio::test]
    async fn sends_also_what_nobody_waits_for() {
        let lane = Lane::new(Vec::new(), Budget::new(10, 100));
        let (_, turn) = lane.call_alone(1, |log| number(log, 1)).await;
        drop(lane.call(1, |log| number(log, 2)));
        drop(lane.call_alone(1, |log| number(log, 3)));
        drop(lane.call(1, |log| number(log, 4)));
        drop(turn);
        assert_eq!(*lane.notes(), [1, 2, 3, 4]);
        assert_eq!(lane.call(1, |log| number(log, 5)).await, Ok(Value::Int(5)));
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_its_bytes() {
        let lane = Lane::new(Vec::new(), Budget::new(10, 100));
        let (_, turn) = lane.call_alone(1000, |log| number(log, 1)).await;
        let second = lane.call(60, |log| number(log, 2));
        let third = lane.call(60, |log| number(log, 3)).now_or_never();
        assert_eq!(third, Some(Err(LinkError::Overloaded)), "at once");
        let fourth = lane.call_alone(60, |log| number(log, 4)).now_or_never();
        assert_eq!(fourth.map(|(outcome, _)| outcome), Some(Err(LinkError::Overloaded)));
        let last = lane.call_last(|log| number(log, 4));
        drop(turn);
        assert_eq!((second.await, last.await), (Ok(Value::Int(2)), Ok(Value::Int(4))));
        let (_, turn) = lane.call_alone(1, |log| number(log, 5)).await;
        let sixth = lane.call(100, |log| number(log, 6));
        drop(turn);
        assert_eq!(sixth.await, Ok(Value::Int(6)), "what does not wait any more counts for nothing");
    }
}
