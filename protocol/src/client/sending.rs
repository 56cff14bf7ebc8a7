//! What the user asks for, on its way to the server.
//!
//! In: requests, cancellations, answers to the server's calls. Out: messages, in order: a request goes out
//! at once when the session is ready, nothing waits before it and not too many are in flight; else it
//! waits in the queue.

use std::time::Duration;

use super::calls::{Place, Sent};
use super::config::WhenFull;
use super::error::CallError;
use super::event::{CallId, Output};
use super::offline::Request;
use super::options::{PublishOptions, SubscribeOptions};
use super::phase::Phase;
use super::random::Number;
use super::session::Session;
use super::subscriptions::Asking;
use crate::ErrorCode;
use crate::channel::Channel;
use crate::codec::Codec;
use crate::message::{ClientMessage, Failure, HistoryQuery, PresenceQuery};

/// What a message has in bytes beside the payload and the names, about.
const ENVELOPE_BYTES: usize = 80;

impl<C: Codec> Session<C> {
    /// Calls the server's action `path`. `timeout` overrides [`Config::call_timeout`](super::Config);
    /// [`Duration::MAX`] is for ever.
    pub fn handle_call(
        &mut self,
        now: Duration,
        path: impl Into<String>,
        data: C::Payload,
        timeout: Option<Duration>,
    ) -> CallId {
        self.request(now, Request::Call { path: path.into(), data }, timeout)
    }

    /// Follows a channel, now and after every reconnect, until unsubscribed.
    ///
    /// Resolves once the server confirms. Survives the loss of the connection. When it times out or is
    /// cancelled, it is taken back.
    pub fn handle_subscribe(&mut self, now: Duration, channel: Channel) -> CallId {
        self.handle_subscribe_with(now, channel, SubscribeOptions::new())
    }

    /// The same, with options.
    pub fn handle_subscribe_with(
        &mut self,
        now: Duration,
        channel: Channel,
        options: SubscribeOptions,
    ) -> CallId {
        self.request(now, Request::Subscribe(channel, options), None)
    }

    /// Follows a channel no longer. The channel stays off the wanted set even when the server refuses.
    pub fn handle_unsubscribe(&mut self, now: Duration, channel: Channel) -> CallId {
        self.request(now, Request::Unsubscribe(channel), None)
    }

    /// Publishes on a channel. With an original server, which answers nothing when it succeeds, this
    /// resolves as soon as it is sent, and a refusal is not seen.
    pub fn handle_publish(&mut self, now: Duration, channel: Channel, data: C::Payload) -> CallId {
        self.handle_publish_with(now, channel, data, PublishOptions::new())
    }

    /// The same, with options. Resolves to `"success"`, or to an object with `epoch` and `offset` on a channel with
    /// history, and with `duplicate` when the key was known.
    pub fn handle_publish_with(
        &mut self,
        now: Duration,
        channel: Channel,
        data: C::Payload,
        options: PublishOptions,
    ) -> CallId {
        self.request(now, Request::Publish { channel, data, options }, None)
    }

    /// Asks what a channel kept. Resolves to an object with `epoch`, `offset` and `publications`, and with `gap` and
    /// `more` where they are true.
    pub fn handle_history(&mut self, now: Duration, channel: Channel, query: HistoryQuery) -> CallId {
        self.request(now, Request::History(channel, query), None)
    }

    /// Asks who is on a channel. Resolves to an object with `clients`, `users` and `members`, and with `more` where
    /// it is true.
    pub fn handle_presence(&mut self, now: Duration, channel: Channel, query: PresenceQuery) -> CallId {
        self.request(now, Request::Presence(channel, query), None)
    }

    /// Publishes on every channel. Resolves as [`handle_publish`](Self::handle_publish) does.
    pub fn handle_broadcast(&mut self, now: Duration, data: C::Payload) -> CallId {
        self.request(now, Request::Broadcast { data }, None)
    }

    /// The user no longer wants a request's outcome, which then is [`CallError::Cancelled`]. The server
    /// is told if it understands. Does nothing for a request that is done.
    pub fn handle_cancel(&mut self, now: Duration, call: CallId) {
        self.give_up(call, CallError::Cancelled);
        self.flush(now);
    }

    /// The result of an action that the server called. Ignored when the server does not wait for it: it
    /// was answered, cancelled, timed out, or the connection it came on is gone.
    pub fn handle_answer(
        &mut self,
        _now: Duration,
        fid: &str,
        outcome: Result<C::Payload, Failure<C::Payload>>,
    ) {
        if self.invocations.finish(fid) {
            self.answer(fid.to_owned(), outcome);
        }
    }

    /// The error that answers a call of an action that does not exist.
    pub fn not_found(&self) -> Failure<C::Payload> {
        self.failure("Function not found", ErrorCode::NotFound)
    }

    fn request(&mut self, now: Duration, request: Request<C::Payload>, timeout: Option<Duration>) -> CallId {
        // What is beyond the end of time is for ever.
        let deadline = timeout.or(self.config.call_timeout).and_then(|timeout| now.checked_add(timeout));
        let call = self.calls.open(deadline);
        if matches!(self.phase, Phase::Ended) {
            self.resolve(call, Err(CallError::Ended));
        } else if self.offline.is_empty() && self.may_send() {
            self.transmit(now, call, request);
        } else {
            self.enqueue(call, request);
        }
        call
    }

    fn enqueue(&mut self, call: CallId, request: Request<C::Payload>) {
        let bytes = self.request_bytes(&request);
        if self.config.when_full == WhenFull::DropOldest && self.offline.could_take(bytes) {
            while !self.offline.takes(bytes) {
                let Some((oldest, _)) = self.offline.pop() else { break };
                self.resolve(oldest, Err(CallError::Overloaded));
            }
        }
        if self.offline.takes(bytes) {
            self.offline.push(call, request, bytes);
        } else {
            self.resolve(call, Err(CallError::Overloaded));
        }
    }

    fn request_bytes(&self, request: &Request<C::Payload>) -> usize {
        let bytes = match request {
            Request::Call { path, data } => path.len() + self.codec.payload_bytes(data),
            Request::Subscribe(channel, _)
            | Request::Unsubscribe(channel)
            | Request::History(channel, _)
            | Request::Presence(channel, _) => channel.as_str().len(),
            Request::Publish { channel, data, .. } => channel.as_str().len() + self.codec.payload_bytes(data),
            Request::Broadcast { data } => self.codec.payload_bytes(data),
        };
        bytes + ENVELOPE_BYTES
    }

    fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Ready) && self.calls.in_flight() < self.config.max_in_flight.max(1)
    }

    /// Sends what waits, as far as it may go.
    pub(super) fn flush(&mut self, now: Duration) {
        while self.may_send() {
            let Some((call, request)) = self.offline.pop() else { break };
            self.transmit(now, call, request);
        }
    }

    fn transmit(&mut self, now: Duration, call: CallId, request: Request<C::Payload>) {
        let (number, uuid) = self.name();
        // A server that does not answer publications and unsubscribes when they succeed is not waited for.
        let answers = self.server.is_some();
        let (message, sent) = match request {
            Request::Call { path, data } => {
                let timeout_ms = self
                    .calls
                    .deadline(call)
                    .filter(|_| self.server_can_cancel())
                    .map(|deadline| millis(deadline.saturating_sub(now)));
                let message = ClientMessage::Call { path, request: data, uuid, timeout_ms };
                (message, Some(Sent::Call(call)))
            }
            Request::Subscribe(channel, SubscribeOptions { presence, since }) => {
                let Asking { since, recover, presence } = self.subscriptions.ask(&channel, presence, since);
                let name = channel.as_str().to_owned();
                let message = ClientMessage::Subscribe { channel: name, recover, presence, uuid };
                (message, Some(Sent::Subscribe { channel, since, calls: vec![call] }))
            }
            Request::Unsubscribe(channel) => {
                let held = self.subscriptions.take_held(channel.as_str());
                self.tell_messages(channel.as_str(), held);
                self.subscriptions.forget(&channel);
                let message = ClientMessage::Unsubscribe { channel: channel.as_str().to_owned(), uuid };
                (message, answers.then_some(Sent::Unsubscribe(call)))
            }
            Request::Publish { channel, data, options: PublishOptions { key } } => {
                let message =
                    ClientMessage::Publish { channel: channel.as_str().to_owned(), data, key, uuid };
                (message, answers.then_some(Sent::Call(call)))
            }
            Request::History(channel, query) => {
                let channel = channel.as_str().to_owned();
                (ClientMessage::History { channel, query, uuid }, Some(Sent::Call(call)))
            }
            Request::Presence(channel, query) => {
                let channel = channel.as_str().to_owned();
                (ClientMessage::Presence { channel, query, uuid }, Some(Sent::Call(call)))
            }
            Request::Broadcast { data } => {
                (ClientMessage::Broadcast { data, uuid }, answers.then_some(Sent::Call(call)))
            }
        };
        let text = self.codec.encode(&message);
        // Channel names are short, so a refusal for size never concerns a subscription.
        let bytes = u64::try_from(self.codec.text_bytes(&text)).unwrap_or(u64::MAX);
        let fits_anyway = matches!(sent, Some(Sent::Subscribe { .. } | Sent::Unsubscribe(_)));
        if let Some(max) = self.max_message_bytes().filter(|max| bytes > *max && !fits_anyway) {
            self.resolve(call, Err(CallError::TooLarge { bytes, max }));
            return;
        }
        self.outputs.push_back(Output::Send(text));
        match sent {
            Some(sent) => self.calls.send(number, sent),
            None => self.resolve(call, Ok(self.codec.null())),
        }
    }

    /// Subscribes to every wanted channel on a new connection, before the queue is sent; later to those that are
    /// still `unasked`.
    pub(super) fn renew_subscriptions(&mut self, unasked: bool) {
        for channel in self.subscriptions.wanted(unasked) {
            let (number, uuid) = self.name();
            let calls = self.take_renewals(&channel);
            let Asking { since, recover, presence } = self.subscriptions.ask(&channel, false, None);
            let name = channel.as_str().to_owned();
            self.send(&ClientMessage::Subscribe { channel: name, recover, presence, uuid });
            self.calls.send(number, Sent::Subscribe { channel, since, calls });
        }
    }

    /// The subscribes that wait for this channel's renewal.
    fn take_renewals(&mut self, channel: &Channel) -> Vec<CallId> {
        let mut calls = Vec::new();
        self.renewals.retain(|(other, call)| {
            let is_other = other != channel;
            if !is_other {
                calls.push(*call);
            }
            is_other
        });
        calls
    }

    /// Resolves a request before its answer came, and tells the server if that is of use.
    pub(super) fn give_up(&mut self, call: CallId, error: CallError<C::Payload>) {
        let Some(place) = self.calls.close(call) else { return };
        self.outputs.push_back(Output::Resolve { call, outcome: Err(error) });
        match place {
            Place::Queued => self.offline.remove(call),
            Place::Renewal(channel) => self.give_up_renewal(call, &channel),
            Place::Sent(message) => self.give_up_sent(call, message),
        }
    }

    fn give_up_renewal(&mut self, call: CallId, channel: &Channel) {
        self.renewals.retain(|(_, other)| *other != call);
        let is_last = !self.renewals.iter().any(|(other, _)| other == channel);
        if is_last && !self.subscriptions.is_confirmed(channel) {
            self.subscriptions.forget(channel);
        }
    }

    fn give_up_sent(&mut self, call: CallId, message: Number) {
        if let Some(Sent::Subscribe { channel, since, calls }) = self.calls.sent_mut(message) {
            calls.retain(|other| *other != call);
            let (channel, since) = (channel.clone(), *since);
            // The renewal of a subscription that the user has goes on without the caller.
            if !calls.is_empty() || self.subscriptions.is_confirmed(&channel) {
                return;
            }
            // The message stays known: its confirmation may come, and an original server's names no request.
            if self.nobody_else_asks(&channel, since) {
                self.subscriptions.forget(&channel);
                self.take_back(&channel);
            }
        } else if matches!(self.calls.take_sent(message), Some(Sent::Call(_))) && self.server_can_cancel() {
            let (_, uuid) = self.name();
            self.send(&ClientMessage::Cancel { target: self.names.text(message), uuid });
        }
    }

    /// Undoes a subscribe that nobody wants any more. Nobody waits for the answer.
    pub(super) fn take_back(&mut self, channel: &Channel) {
        let (_, uuid) = self.name();
        self.send(&ClientMessage::Unsubscribe { channel: channel.as_str().to_owned(), uuid });
    }

    pub(super) fn answer(&mut self, fid: String, outcome: Result<C::Payload, Failure<C::Payload>>) {
        let text = self.codec.encode(&ClientMessage::Answer { fid: fid.clone(), outcome });
        let bytes = u64::try_from(self.codec.text_bytes(&text)).unwrap_or(u64::MAX);
        if self.max_message_bytes().is_some_and(|max| bytes > max) {
            let failure = self.failure("The answer is too large", ErrorCode::TooLarge);
            self.send(&ClientMessage::Answer { fid, outcome: Err(failure) });
        } else {
            self.outputs.push_back(Output::Send(text));
        }
    }

    pub(super) fn failure(&self, message: &str, code: ErrorCode) -> Failure<C::Payload> {
        Failure {
            error: self.codec.string(message),
            message: message.to_owned(),
            code: Some(code),
            details: None,
        }
    }
}

/// Whole milliseconds, rounded up, so that the server never gives up before us for want of precision.
fn millis(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
    duration.as_secs().saturating_mul(1000).saturating_add(part)
}
