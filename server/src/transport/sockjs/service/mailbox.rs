//! Messages between a session's task and its handler, in one direction: bounded in bytes, in order.
//!
//! In: messages of one side. Out: the same, to the other. Mostly both sides are one task, so that what counts is
//! how little a message costs here. Who finds no room, or nothing, is woken when that changes.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// What a message that waits costs beside its bytes.
const OVERHEAD: usize = 64;

/// For how many messages an idle session keeps room.
const KEPT: usize = 16;

pub(super) struct Mailbox {
    /// Nothing is taken when as many bytes wait. The last message may exceed it, so that a large one passes too.
    most: usize,
    state: Mutex<State>,
}

struct State {
    messages: VecDeque<String>,
    bytes: usize,
    is_open: bool,
    taker: Option<Waker>,
    /// Who waits for room: a handler may send from several places at once.
    givers: Vec<Waker>,
}

/// Nobody takes messages here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

impl Mailbox {
    pub(super) fn new(most: usize) -> Self {
        let state =
            State { messages: VecDeque::new(), bytes: 0, is_open: true, taker: None, givers: Vec::new() };
        Self { most, state: Mutex::new(state) }
    }

    /// Whether a message is taken now, or none ever again.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.is_open || state.bytes < self.most {
            return Poll::Ready(());
        }
        state.waits_for_room(cx);
        Poll::Pending
    }

    /// Puts a message in, whatever room there is.
    pub(super) fn put(&self, message: String) {
        let mut state = self.state.lock();
        let taker = if state.is_open { state.put(message) } else { None };
        drop(state);
        wake(taker);
    }

    /// Takes `message` when there is room.
    pub(super) fn poll_put(
        &self,
        message: &mut Option<String>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.state.lock();
        if !state.is_open {
            return Poll::Ready(Err(Closed));
        }
        if state.bytes >= self.most {
            state.waits_for_room(cx);
            return Poll::Pending;
        }
        let taker = message.take().and_then(|message| state.put(message));
        drop(state);
        wake(taker);
        Poll::Ready(Ok(()))
    }

    /// The next message; `None` when there will be none.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut taken = None;
        let is_open = self.poll_take_while(cx, |message| {
            taken = Some(message);
            false
        });
        match (taken, is_open) {
            (None, true) => Poll::Pending,
            (taken, _) => Poll::Ready(taken),
        }
    }

    /// Takes messages for as long as `each` wants more. Whether more may come; if there are none now, the task
    /// is woken then.
    pub(super) fn poll_take_while(&self, cx: &mut Context<'_>, mut each: impl FnMut(String) -> bool) -> bool {
        let mut state = self.state.lock();
        let is_open = state.is_open;
        let mut wants_more = true;
        while wants_more && let Some(message) = state.messages.pop_front() {
            state.bytes -= cost(&message);
            wants_more = each(message);
        }
        if wants_more {
            if state.taker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                state.taker = Some(cx.waker().clone());
            }
            if state.messages.capacity() > KEPT {
                state.messages = VecDeque::new();
            }
        }
        let givers = if state.bytes < self.most { std::mem::take(&mut state.givers) } else { Vec::new() };
        drop(state);
        wake(givers);
        is_open
    }

    /// Takes no more messages. Those that wait can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        let woken: Vec<_> = std::mem::take(&mut state.givers).into_iter().chain(state.taker.take()).collect();
        drop(state);
        wake(woken);
    }

    /// The same, and forgets those that wait.
    pub(super) fn abandon(&self) {
        self.close();
        let mut state = self.state.lock();
        state.bytes = 0;
        let forgotten = std::mem::take(&mut state.messages);
        drop(state);
        drop(forgotten);
    }
}

impl State {
    fn put(&mut self, message: String) -> Option<Waker> {
        self.bytes += cost(&message);
        self.messages.push_back(message);
        self.taker.take()
    }

    fn waits_for_room(&mut self, cx: &mut Context<'_>) {
        if !self.givers.iter().any(|known| known.will_wake(cx.waker())) {
            self.givers.push(cx.waker().clone());
        }
    }
}

fn cost(message: &str) -> usize {
    message.len() + OVERHEAD
}

/// Outside the lock: a waker may run what it wakes.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(mailbox: &Mailbox, message: &str) -> Poll<Result<(), Closed>> {
        mailbox.poll_put(&mut Some(message.to_owned()), &mut Context::from_waker(Waker::noop()))
    }

    fn take(mailbox: &Mailbox) -> Poll<Option<String>> {
        mailbox.poll_take(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn takes_messages_until_so_many_bytes_wait_and_gives_them_in_order() {
        let mailbox = Mailbox::new(100);
        assert_eq!(put(&mailbox, "a"), Poll::Ready(Ok(())));
        assert_eq!(put(&mailbox, &"b".repeat(1000)), Poll::Ready(Ok(())));
        assert_eq!(put(&mailbox, "c"), Poll::Pending);
        assert_eq!(take(&mailbox), Poll::Ready(Some("a".to_owned())));
        assert_eq!(put(&mailbox, "c"), Poll::Pending);
        assert_eq!(take(&mailbox), Poll::Ready(Some("b".repeat(1000))));
        assert_eq!(put(&mailbox, "c"), Poll::Ready(Ok(())));
        assert_eq!(take(&mailbox), Poll::Ready(Some("c".to_owned())));
        assert_eq!(take(&mailbox), Poll::Pending);
    }

    #[test]
    fn gives_what_waits_after_it_was_closed_and_then_nothing() {
        let mailbox = Mailbox::new(100);
        mailbox.put("a".to_owned());
        mailbox.close();
        assert_eq!(put(&mailbox, "b"), Poll::Ready(Err(Closed)));
        assert_eq!(take(&mailbox), Poll::Ready(Some("a".to_owned())));
        assert_eq!(take(&mailbox), Poll::Ready(None));
    }

    #[tokio::test]
    async fn wakes_who_waits() {
        let mailbox = std::sync::Arc::new(Mailbox::new(1));
        let other = std::sync::Arc::clone(&mailbox);
        let taking = tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Some(message) = std::future::poll_fn(|cx| other.poll_take(cx)).await {
                taken.push(message);
            }
            taken
        });
        for message in ["a", "b", "c"] {
            let mut message = Some(message.to_owned());
            let sent = std::future::poll_fn(|cx| mailbox.poll_put(&mut message, cx)).await;
            assert_eq!(sent, Ok(()));
        }
        mailbox.close();
        assert_eq!(taking.await.ok(), Some(["a", "b", "c"].map(str::to_owned).to_vec()));
    }
}
