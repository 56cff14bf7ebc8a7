//! What the server says.
//!
//! In: texts. Out: resolved requests, invocations, events. An answer counts for the one message that
//! waits for it; what nobody waits for is ignored.

use std::time::Duration;

use super::calls::Sent;
use super::error::{CallError, ConnectionError};
use super::event::{CallId, Event, Output};
use super::invocations::Admission;
use super::session::{Phase, Session};
use super::subscriptions::Refusal;
use crate::ErrorCode;
use crate::channel::Channel;
use crate::codec::Codec;
use crate::message::{Failure, ServerMessage, SessionInfo};

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
            (ServerMessage::Subscribed { channel, uuid }, _) => {
                self.receive_subscribed(&channel, uuid.as_deref());
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
            (ServerMessage::Publication { channel, message }, None) => {
                self.outputs.push_back(Output::Event(Event::Message { channel, message }));
            }
            _ => self.outputs.push_back(Output::Event(Event::Ignored)),
        }
        self.flush(now);
    }

    /// A publication came, which the driver can tell from the rest without reading all of it. Gives `true` when
    /// all that is left to do is to tell the user of it, at once: then it is a [`Event::Message`] that need
    /// not pass through here. Otherwise nothing has happened, and the text goes to
    /// [`handle_text`](Self::handle_text) as any other.
    pub fn handle_publication(&mut self) -> bool {
        let is_alone = self.outputs.is_empty() && self.offline.is_empty();
        let is_next = is_alone && matches!(self.phase, Phase::Ready);
        if is_next {
            self.heartbeat.heard();
        }
        is_next
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
            (Some(sent @ Sent::Subscribe { .. }), Ok(_)) => self.confirm(sent),
            (Some(Sent::Subscribe { channel, since, calls }), Err(failure)) => {
                self.subscriptions.asked(&channel);
                for call in calls {
                    self.resolve(call, Err(CallError::Refused(failure.clone())));
                }
                match self.subscriptions.refused(&channel, since) {
                    Refusal::NoLoss => {}
                    Refusal::Lost => self.lose_subscription(channel.as_str().to_owned(), Some(failure)),
                    Refusal::TakeBack => self.take_back(&channel),
                }
            }
            (None, _) => {}
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

    fn receive_subscribed(&mut self, channel: &str, uuid: Option<&str>) {
        let confirmed = match uuid {
            Some(uuid) => self.names.number(uuid).and_then(|message| self.calls.take_sent(message)),
            // An original server does not say which request it confirms; ours always does.
            None if self.server.is_none() => self.calls.take_subscribe(channel),
            None => None,
        };
        if let Some(sent) = confirmed {
            self.confirm(sent);
        } else if uuid.is_some() {
            self.subscriptions.confirmed_late(channel);
        } else if let Ok(channel) = Channel::new(channel) {
            self.subscriptions.added(&channel);
        }
        // A name that we could not ask for ourselves is not followed again after a reconnect.
    }

    fn confirm(&mut self, sent: Sent) {
        match sent {
            Sent::Subscribe { channel, since, calls } => {
                self.subscriptions.asked(&channel);
                let is_given_up = calls.is_empty() && !self.subscriptions.is_confirmed(&channel);
                if is_given_up && self.nobody_else_asks(&channel, since) {
                    self.subscriptions.forget(&channel);
                    self.take_back(&channel);
                    return;
                }
                self.subscriptions.confirmed(&channel, since, !calls.is_empty());
                for call in calls {
                    self.resolve(call, Ok(self.codec.null()));
                }
            }
            Sent::Call(call) | Sent::Unsubscribe(call) => self.resolve(call, Ok(self.codec.null())),
        }
    }

    /// Whether a channel is wanted by subscribes of this time alone, of which none has a caller any more.
    pub(super) fn nobody_else_asks(&self, channel: &Channel, since: u64) -> bool {
        self.subscriptions.is_wanted_since(channel, since) && !self.calls.asks_for(channel, since)
    }

    fn receive_unsubscribed(&mut self, channel: String) {
        if self.subscriptions.removed(&channel) {
            self.lose_subscription(channel, None);
        }
    }

    fn lose_subscription(&mut self, channel: String, failure: Option<Failure<C::Payload>>) {
        self.outputs.push_back(Output::Event(Event::SubscriptionLost { channel, failure }));
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
