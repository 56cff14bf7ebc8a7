//! What the server says of channels.
//!
//! In: its frames and publications. Out: resolved subscribes, and what the user is to be told: each publication
//! once, in order, and what was lost.

use std::time::Duration;

use super::calls::Sent;
use super::error::CallError;
use super::event::{CallId, Event, Output};
use super::phase::Phase;
use super::session::Session;
use super::subscriptions::{Caught, Refusal};
use crate::ErrorCode;
use crate::channel::Channel;
use crate::codec::Codec;
use crate::message::{Failure, Joined};

impl<C: Codec> Session<C> {
    pub(super) fn receive_publication(&mut self, channel: String, message: C::Payload, offset: Option<u64>) {
        let message = match offset {
            Some(offset) => self.subscriptions.publication(&channel, offset, message),
            None => Some(message),
        };
        if let Some(message) = message {
            self.outputs.push_back(Output::Event(Event::Message { channel, message }));
        }
    }

    pub(super) fn receive_subscribed(
        &mut self,
        channel: &str,
        uuid: Option<&str>,
        joined: Joined<C::Payload>,
    ) {
        let confirmed = match uuid {
            Some(uuid) => self.names.number(uuid).and_then(|message| self.calls.take_sent(message)),
            // An original server does not say which request it confirms; ours always does.
            None if self.server.is_none() => self.calls.take_subscribe(channel),
            None => None,
        };
        if joined.pattern {
            self.outputs.push_back(Output::Event(Event::Pattern { channel: channel.to_owned() }));
        }
        if let Some(sent) = confirmed {
            self.confirm(sent, joined);
            return;
        }
        let caught = if uuid.is_some() {
            self.subscriptions.confirmed_late(channel, joined)
        } else if joined.recovered.is_some() {
            self.subscriptions.broken(channel, joined)
        } else if let Ok(channel) = Channel::new(channel) {
            let renewing = !matches!(self.phase, Phase::Ready);
            self.subscriptions.added(&channel, renewing, joined)
        } else {
            // A name that we could not ask for ourselves is not followed again after a reconnect.
            None
        };
        self.tell_caught(channel, caught);
    }

    pub(super) fn confirm(&mut self, sent: Sent, joined: Joined<C::Payload>) {
        match sent {
            Sent::Subscribe { channel, since, calls } => {
                self.subscriptions.asked(&channel);
                let is_given_up = calls.is_empty() && !self.subscriptions.is_confirmed(&channel);
                if is_given_up && self.nobody_else_asks(&channel, since) {
                    self.subscriptions.forget(&channel);
                    self.take_back(&channel);
                    return;
                }
                let caught = self.subscriptions.confirmed(&channel, since, !calls.is_empty(), joined);
                for call in calls {
                    self.resolve(call, Ok(self.codec.null()));
                }
                self.tell_caught(channel.as_str(), caught);
            }
            Sent::Call(call) | Sent::Unsubscribe(call) => self.resolve(call, Ok(self.codec.null())),
            Sent::Acknowledge(_) => {}
        }
    }

    fn tell_caught(&mut self, channel: &str, caught: Option<Caught<C::Payload>>) {
        let Some(Caught { recovered, publications, held }) = caught else { return };
        let name = channel.to_owned();
        let event = if recovered {
            Event::Recovered { channel: name, publications }
        } else {
            Event::Unrecovered { channel: name }
        };
        self.outputs.push_back(Output::Event(event));
        self.tell_messages(channel, held);
    }

    pub(super) fn tell_messages(&mut self, channel: &str, messages: Vec<C::Payload>) {
        for message in messages {
            let channel = channel.to_owned();
            self.outputs.push_back(Output::Event(Event::Message { channel, message }));
        }
    }

    /// The server refused a subscribe message.
    pub(super) fn receive_refusal(
        &mut self,
        now: Duration,
        channel: &Channel,
        since: u64,
        calls: Vec<CallId>,
        failure: Failure<C::Payload>,
    ) {
        self.subscriptions.asked(channel);
        for call in calls {
            self.resolve(call, Err(CallError::Refused(failure.clone())));
        }
        // A store that does not answer takes nothing away: what was missed is still to be had later.
        let passing = failure.code == Some(ErrorCode::Overloaded);
        let (refusal, held) = self.subscriptions.refused(channel, since, passing);
        match refusal {
            Refusal::NoLoss => {}
            Refusal::Lost => self.lose_subscription(channel.as_str().to_owned(), Some(failure)),
            Refusal::Later => self.deliveries.pause(now),
            Refusal::Unrecovered => {
                let channel = channel.as_str().to_owned();
                self.outputs.push_back(Output::Event(Event::Unrecovered { channel }));
            }
            Refusal::TakeBack => self.take_back(channel),
        }
        self.tell_messages(channel.as_str(), held);
    }

    /// Whether a channel is wanted by subscribes of this time alone, of which none has a caller any more.
    pub(super) fn nobody_else_asks(&self, channel: &Channel, since: u64) -> bool {
        self.subscriptions.is_wanted_since(channel, since) && !self.calls.asks_for(channel, since)
    }

    pub(super) fn receive_unsubscribed(&mut self, channel: String) {
        if self.subscriptions.removed(&channel) {
            self.lose_subscription(channel, None);
        }
    }

    fn lose_subscription(&mut self, channel: String, failure: Option<Failure<C::Payload>>) {
        self.outputs.push_back(Output::Event(Event::SubscriptionLost { channel, failure }));
    }
}
