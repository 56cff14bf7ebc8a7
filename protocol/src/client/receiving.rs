//! What the server says.
//!
//! In: texts. Out: resolved requests, invocations, events. An answer counts for the one message that
//! waits for it; what nobody waits for is ignored.

use std::time::Duration;

use super::calls::Sent;
use super::error::{CallError, ConnectionError};
use super::event::{CallId, Event, Output, Publication};
use super::invocations::Admission;
use super::phase::Phase;
use super::session::Session;
use crate::ErrorCode;
use crate::codec::Codec;
use crate::message::{Failure, Joined, ServerMessage, SessionInfo};

impl<C: Codec> Session<C> {
    /// A text message came over the transport.
    pub fn handle_text(&mut self, now: Duration, text: &C::Text) {
        let auth = match &self.phase {
            Phase::Ready => None,
            Phase::AwaitAuth { message, .. } => Some(*message),
            _ => return,
        };
        self.heartbeat.heard();
        let message = self.codec.decode(text).unwrap_or(ServerMessage::Unknown);
        match (message, auth) {
            (ServerMessage::Answer { uuid, outcome, session }, Some(auth))
                if self.names.number(&uuid) == Some(auth) =>
            {
                self.receive_auth(now, outcome, session);
            }
            (ServerMessage::Answer { uuid, outcome, .. }, None) => self.receive_answer(now, &uuid, outcome),
            (ServerMessage::Subscribed { channel, uuid, joined }, _) => {
                self.receive_subscribed(&channel, uuid.as_deref(), joined);
            }
            (ServerMessage::Unsubscribed { channel }, _) => self.receive_unsubscribed(channel),
            (ServerMessage::ReconnectHint { after_ms }, _) => {
                self.backoff.hint(Duration::from_millis(after_ms));
            }
            (ServerMessage::Call { fid, path, args, timeout_ms }, None) => {
                let deadline = timeout_ms.map(|ms| now.saturating_add(Duration::from_millis(ms)));
                self.receive_call(fid, path, args, deadline);
            }
            (ServerMessage::Cancel { fid }, None) => {
                if self.invocations.finish(&fid) {
                    self.stop_invocation(fid, ErrorCode::Cancelled);
                }
            }
            // A server that subscribes us while it lets us in may publish before it has said so.
            (ServerMessage::Publication { channel, message, offset }, _) => {
                self.receive_publication(channel, message, offset);
            }
            (ServerMessage::Member { channel, member, joined }, _) => {
                self.outputs.push_back(Output::Event(Event::Member { channel, member, joined }));
            }
            (ServerMessage::Settings(settings), None) => self.receive_settings(settings),
            (ServerMessage::Batch { id, items }, None) => self.receive_batch(id, items),
            (ServerMessage::Deliver(delivery), None) => self.receive_delivery(delivery),
            (ServerMessage::Resync { id, event, reason }, None) => self.receive_resync(id, event, reason),
            _ => self.outputs.push_back(Output::Event(Event::Ignored)),
        }
        self.flush(now);
    }

    /// A publication came, of which the driver knows that it is one, and its channel and offset if it has an offset,
    /// without having read all of it. Says what is left to do.
    pub fn handle_publication(&mut self, place: Option<(&str, u64)>) -> Publication {
        let is_alone = self.outputs.is_empty() && self.offline.is_empty();
        if !is_alone || !matches!(self.phase, Phase::Ready) {
            return Publication::Long;
        }
        let publication = place.map_or(Publication::Tell, |(channel, offset)| {
            self.subscriptions.publication_at(channel, offset)
        });
        if publication != Publication::Long {
            self.heartbeat.heard();
        }
        publication
    }

    fn receive_auth(
        &mut self,
        now: Duration,
        outcome: Result<C::Payload, Failure<C::Payload>>,
        server: Option<SessionInfo>,
    ) {
        match outcome {
            Ok(_) => self.authenticate(now, server),
            Err(Failure { message, code, .. }) => {
                self.refuse(now, ConnectionError::Auth { message, code });
            }
        }
    }

    fn receive_answer(
        &mut self,
        now: Duration,
        uuid: &str,
        outcome: Result<C::Payload, Failure<C::Payload>>,
    ) {
        let sent = self.names.number(uuid).and_then(|message| self.calls.take_sent(message));
        match (sent, outcome) {
            (Some(Sent::Call(call) | Sent::Unsubscribe(call)), outcome) => {
                let outcome = outcome.map_err(|failure| self.call_error(now, call, failure));
                self.resolve(call, outcome);
            }
            (Some(sent @ Sent::Subscribe { .. }), Ok(_)) => self.confirm(sent, Joined::default()),
            (Some(Sent::Subscribe { channel, since, calls }), Err(failure)) => {
                self.receive_refusal(now, &channel, since, calls, failure);
            }
            (Some(Sent::Acknowledge(what)), Err(failure)) if failure.code == Some(ErrorCode::Overloaded) => {
                self.deliveries.retry(now, what);
            }
            (Some(Sent::Acknowledge(_)) | None, _) => {}
        }
    }

    /// A server that keeps the call's time may say that it is over before we have looked at our clock. The
    /// user is told the same either way.
    fn call_error(&self, now: Duration, call: CallId, failure: Failure<C::Payload>) -> CallError<C::Payload> {
        let over = self.calls.deadline(call).is_some_and(|deadline| deadline <= now);
        if over && failure.code == Some(ErrorCode::Timeout) {
            CallError::Timeout
        } else {
            CallError::Refused(failure)
        }
    }

    fn receive_call(&mut self, fid: String, path: String, args: C::Payload, deadline: Option<Duration>) {
        match self.invocations.start(&fid, deadline) {
            Admission::Run => self.outputs.push_back(Output::Invoke { fid, path, args, deadline }),
            Admission::Overloaded => {
                let failure = self.failure("Too many calls at once", ErrorCode::Overloaded);
                self.answer(fid, Err(failure));
            }
            Admission::Duplicate => {}
        }
    }

    /// Stops an action that is no longer among the running ones, and answers for it.
    pub(super) fn stop_invocation(&mut self, fid: String, code: ErrorCode) {
        let message = if code == ErrorCode::Timeout { "Timeout" } else { "Cancelled" };
        self.outputs.push_back(Output::CancelInvocation { fid: fid.clone() });
        let failure = self.failure(message, code);
        self.answer(fid, Err(failure));
    }
}
