//! The commands of one connection that must keep their order: subscribe, unsubscribe, publish, broadcast.
//!
//! In: commands as futures. Out: their answers; each is done before the next begins. Calls of actions do not wait here.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Commands in their order. Idle, it allocates nothing.
#[derive(Default)]
pub(super) struct Serial(VecDeque<BoxFuture<'static, Vec<u8>>>);

impl Serial {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a command behind those that wait; runs it at once, as far as it goes, when none does.
    pub(super) fn push(
        &mut self,
        mut command: BoxFuture<'static, Vec<u8>>,
        cx: &mut Context<'_>,
    ) -> Option<Vec<u8>> {
        if self.0.is_empty()
            && let Poll::Ready(answer) = command.poll_unpin(cx)
        {
            return Some(answer);
        }
        self.0.push_back(command);
        None
    }

    /// Goes on with what waits. Gives the next answer; pending also when nothing waits.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        let Some(command) = self.0.front_mut() else { return Poll::Pending };
        let answer = ready!(command.poll_unpin(cx));
        self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        Poll::Ready(answer)
    }
}
