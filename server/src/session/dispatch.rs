//! What a connection's task does with each command: at once, in order, or beside the others.
//!
//! In: a command of the session. Out: its answer, or something that runs and will answer. What a verb
//! does is `command/<verb>.rs`.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use tokensocket_protocol::command::call::CallRequest;
use tokensocket_protocol::server::Command;
use tokensocket_protocol::{Answer, ErrorCode, Framed, RawJson, RpcError};

use super::burst::Burst;
use super::driver::{Driver, Phase};
use super::serial::{Kind, Said};
use crate::command;
use crate::node::Node;
use crate::socket::Socket;
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    pub(super) fn handle_call(
        &mut self,
        request: &CallRequest<'_>,
        answer: Answer,
        burst: &mut Burst<'_, '_>,
    ) {
        let Some(answer) = self.admit(answer, self.running.len(), burst) else { return };
        let actions = self.shared.router.table(&mut burst.actions);
        let (answers, cx) = (&mut burst.answers, &mut *burst.cx);
        command::call::start(request, answer, actions, &self.socket, &mut self.running, answers, cx);
    }

    pub(super) fn handle_command(&mut self, command: Command<'_>, burst: &mut Burst<'_, '_>) {
        match command {
            Command::Call(request, answer) => self.handle_call(&request, answer, burst),
            Command::Ping(answer) => {
                let answer = command::ping::run(&self.shared.node, answer);
                burst.answers.push(answer);
            }
            Command::Answer(answer) => command::answer::run(&self.socket, answer),
            Command::Cancel(uuid, answer) => {
                self.running.cancel(uuid.as_str());
                // Whatever was cancelled is answered before the cancel itself.
                self.poll_running(burst);
                let success = RawJson::new("success").unwrap_or_default();
                if let Some(answer) = self.running.push_behind(answer, success) {
                    burst.answers.push(answer.success());
                }
            }
            Command::Subscribe(request, answer) => {
                let joins = self.shared.node.config.channels.history(&request.channel).is_some();
                self.subscribe(joins, answer, burst, |node, socket, answer| {
                    command::subscribe::run(node, socket, request, answer)
                });
            }
            Command::Unsubscribe(channel, answer) => self.in_order(answer, burst, |node, socket, answer| {
                command::unsubscribe::run(node, socket, channel, answer)
            }),
            Command::Publish(request, answer) => {
                let node = &self.shared.node;
                let is_kept = node.config.channels.history(&request.channel).is_some();
                let has_place = is_kept || node.shares_channels() && request.key.is_none();
                let kind = if has_place { Kind::Follows } else { Kind::Plain };
                self.publish(answer, kind, burst, |node, socket, answer| {
                    let message = RawJson::copy_of(request.data);
                    let key = request.key.map(Arc::from);
                    command::publish::run(node, socket, request.channel, message, key, has_place, answer)
                });
            }
            Command::Broadcast(data, answer) => {
                self.publish(answer, Kind::Plain, burst, |node, socket, answer| {
                    command::broadcast::run(node, socket, RawJson::copy_of(data), answer)
                });
            }
            Command::History(request, answer) => self.in_order(answer, burst, |node, socket, answer| {
                command::history::run(node, socket, request, answer)
            }),
            Command::Acknowledge(what, answer) => {
                let Some(answer) = self.admit_while_draining(answer, self.running.len(), burst) else {
                    return;
                };
                let (node, socket) = (&self.shared.node, &self.socket);
                let answer =
                    command::acknowledge::start(node, socket, what, answer, &mut self.running, burst.cx);
                if let Some(answer) = answer {
                    burst.answers.push(answer);
                }
            }
            Command::Presence(request, answer) => self.in_order(answer, burst, |node, socket, answer| {
                command::presence::run(node, socket, request, answer)
            }),
            other => tracing::error!(?other, "a command that nobody handles"),
        }
    }

    /// Does a command after those before it.
    fn in_order<F: Future<Output = Framed> + Send + 'static>(
        &mut self,
        answer: Answer,
        burst: &mut Burst<'_, '_>,
        run: impl FnOnce(Arc<Node>, Socket, Answer) -> F,
    ) {
        if let Some(answer) = self.start_in_order(answer, Kind::Plain, burst, run) {
            burst.answers.push(answer);
        }
    }

    /// The same for what may tell its client itself: what was answered before goes out first.
    fn subscribe<F: Future<Output = Option<Framed>> + Send + 'static>(
        &mut self,
        joins: bool,
        answer: Answer,
        burst: &mut Burst<'_, '_>,
        run: impl FnOnce(Arc<Node>, Socket, Answer) -> F,
    ) {
        if joins {
            burst.answers.send(&self.socket);
        }
        let kind = if joins { Kind::Tells } else { Kind::Plain };
        if let Some(answer) = self.start_in_order(answer, kind, burst, run) {
            burst.answers.push(answer);
        }
    }

    /// The same for what publishes: what was answered before goes out first.
    fn publish<F: Future<Output: Into<Said>> + Send + 'static>(
        &mut self,
        answer: Answer,
        kind: Kind,
        burst: &mut Burst<'_, '_>,
        run: impl FnOnce(Arc<Node>, Socket, Answer) -> F,
    ) {
        if burst.answers.before_publications {
            burst.answers.send(&self.socket);
        }
        if let Some(answer) = self.start_in_order(answer, kind, burst, run) {
            burst.answers.push_published(answer);
        }
    }

    fn start_in_order<F: Future<Output: Into<Said>> + Send + 'static>(
        &mut self,
        answer: Answer,
        kind: Kind,
        burst: &mut Burst<'_, '_>,
        run: impl FnOnce(Arc<Node>, Socket, Answer) -> F,
    ) -> Option<Framed> {
        let answer = self.admit(answer, self.serial.len(), burst)?;
        let command = run(Arc::clone(&self.shared.node), self.socket.clone(), answer);
        self.serial.push(command.map(Into::into).boxed(), kind, burst.cx)
    }

    /// Answers `overloaded` when as much is in flight as may be, or when the server is going away.
    fn admit(&self, answer: Answer, in_flight: usize, burst: &mut Burst<'_, '_>) -> Option<Answer> {
        if matches!(self.phase, Phase::Draining(_)) {
            return refuse(answer, "the server is shutting down", burst);
        }
        self.admit_while_draining(answer, in_flight, burst)
    }

    /// The same for what is welcome to the end.
    fn admit_while_draining(
        &self,
        answer: Answer,
        in_flight: usize,
        burst: &mut Burst<'_, '_>,
    ) -> Option<Answer> {
        if in_flight >= self.shared.node.config.max_calls_per_socket {
            return refuse(answer, "too many requests in flight", burst);
        }
        Some(answer)
    }
}

fn refuse(answer: Answer, why: &str, burst: &mut Burst<'_, '_>) -> Option<Answer> {
    burst.answers.push(answer.error(&RpcError::text(why).with_code(ErrorCode::Overloaded)));
    None
}
