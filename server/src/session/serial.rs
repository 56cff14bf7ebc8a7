//! The commands of one connection that must keep their order: subscribe, unsubscribe, publish, broadcast.
//!
//! ```text
//! push ──▶ waits ──▶ runs ──▶ said ──▶ poll_next, in order
//!                      └─▶ ends ──┘    a publication is handed to the broker: the next one may be, too
//! ```
//!
//! In: commands as futures. Out: their answers, in the order of the commands; each is done before the next begins, but
//! for publications that only wait for the broker. Calls of actions do not wait here. A command that joins a
//! channel with history tells its client itself, between two publications.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::Framed;

/// How far a command came.
pub(crate) enum Said {
    /// It is done, and this is its answer; `None` when it has told its client already.
    Done(Option<Framed>),
    /// What it did has its place among all others. What is left is to wait for it, and to answer.
    Placed(BoxFuture<'static, Framed>),
}

impl From<Framed> for Said {
    fn from(answer: Framed) -> Self {
        Self::Done(Some(answer))
    }
}

impl From<Option<Framed>> for Said {
    fn from(answer: Option<Framed>) -> Self {
        Self::Done(answer)
    }
}

/// What a command may do beside its work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// It may tell its client itself.
    Tells,
    /// It may begin while those before it are placed and not done.
    Follows,
}

/// Commands in their order. Idle, it allocates nothing.
#[derive(Default)]
pub(super) struct Serial(VecDeque<Waiting>);

struct Waiting {
    kind: Kind,
    stage: Stage,
    has_begun: bool,
}

enum Stage {
    Waits(BoxFuture<'static, Said>),
    Placed(BoxFuture<'static, Framed>),
    Done(Option<Framed>),
}

impl Stage {
    fn is_placed(&self) -> bool {
        !matches!(self, Self::Waits(_))
    }
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
        self.0.front().is_some_and(|next| next.kind == Kind::Tells)
    }

    /// Adds a command behind those that wait; runs it at once, as far as it goes, when it need not wait for them.
    /// Gives its answer if there is nobody before it.
    pub(super) fn push(
        &mut self,
        mut command: BoxFuture<'static, Said>,
        kind: Kind,
        cx: &mut Context<'_>,
    ) -> Option<Framed> {
        let begins = match self.0.back() {
            None => true,
            Some(last) => kind == Kind::Follows && last.kind == Kind::Follows && last.stage.is_placed(),
        };
        let polled = if begins { command.poll_unpin(cx) } else { Poll::Pending };
        let stage = match polled {
            Poll::Ready(Said::Done(answer)) if self.0.is_empty() => return answer,
            Poll::Ready(Said::Done(answer)) => Stage::Done(answer),
            Poll::Ready(Said::Placed(rest)) => Stage::Placed(rest),
            Poll::Pending => Stage::Waits(command),
        };
        self.0.push_back(Waiting { kind, stage, has_begun: begins });
        None
    }

    /// Goes on with what waits. Gives the next answer; pending also when nothing waits, and when there is no room for
    /// answers: then nothing begins, but what has begun goes on, since others may wait for what it holds.
    pub(super) fn poll_next(&mut self, has_room: bool, cx: &mut Context<'_>) -> Poll<Option<Framed>> {
        self.place(has_room, cx);
        let Some(next) = self.0.front_mut() else { return Poll::Pending };
        if let Stage::Placed(rest) = &mut next.stage
            && let Poll::Ready(answer) = rest.poll_unpin(cx)
        {
            next.stage = Stage::Done(Some(answer));
        }
        let said = match &mut next.stage {
            Stage::Done(answer) if has_room => answer.take(),
            _ => return Poll::Pending,
        };
        self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        Poll::Ready(said)
    }

    /// Runs the first that is not placed, and those behind it that may follow.
    fn place(&mut self, has_room: bool, cx: &mut Context<'_>) {
        let first = self.0.partition_point(|waiting| waiting.stage.is_placed());
        for at in first..self.0.len() {
            let may_begin = has_room
                && (at == 0 || self.0[at].kind == Kind::Follows && self.0[at - 1].kind == Kind::Follows);
            let waiting = &mut self.0[at];
            let Stage::Waits(command) = &mut waiting.stage else { return };
            if !(waiting.has_begun || may_begin) {
                return;
            }
            waiting.has_begun = true;
            waiting.stage = match command.poll_unpin(cx) {
                Poll::Ready(Said::Done(answer)) => Stage::Done(answer),
                Poll::Ready(Said::Placed(rest)) => Stage::Placed(rest),
                Poll::Pending => return,
            };
        }
    }
}
