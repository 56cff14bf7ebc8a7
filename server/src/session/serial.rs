//! The commands of one connection that must keep their order: subscribe, unsubscribe, publish, broadcast.
//!
//! In: commands as futures. Out: their answers; each is done before the next begins. Calls of actions do not wait
//! here. A command that joins a channel with history tells its client itself, between two publications.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// What a command says at its end; `None` when it has told its client already.
type Said = Option<Vec<u8>>;

/// Commands in their order. Idle, it allocates nothing.
#[derive(Default)]
pub(super) struct Serial(VecDeque<Waiting>);

struct Waiting {
    command: BoxFuture<'static, Said>,
    tells: bool,
}

impl Serial {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the command that is next may tell its client itself: what was answered before must be sent first.
    pub(super) fn may_tell(&self) -> bool {
        self.0.front().is_some_and(|next| next.tells)
    }

    /// Adds a command behind those that wait; runs it at once, as far as it goes, when none does. `tells`: it may
    /// tell its client itself.
    pub(super) fn push(
        &mut self,
        mut command: BoxFuture<'static, Said>,
        tells: bool,
        cx: &mut Context<'_>,
    ) -> Said {
        if self.0.is_empty()
            && let Poll::Ready(said) = command.poll_unpin(cx)
        {
            return said;
        }
        self.0.push_back(Waiting { command, tells });
        None
    }

    /// Goes on with what waits. Gives the next answer; pending also when nothing waits.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        let Some(next) = self.0.front_mut() else { return Poll::Pending };
        let said = ready!(next.command.poll_unpin(cx));
        self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        Poll::Ready(said)
    }
}
