//! What a handle offers to listeners.

use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::ConnectionError;
use tokensocket_protocol::client::handle::{Event, EventName, Listener, Member, UnknownEvent};
use tokensocket_protocol::message::Settings;

use crate::socket::TokenSocket;

impl TokenSocket {
    /// Calls `listener` with the outcome of the first attempt to connect: once, and at once when that is
    /// over already.
    ///
    /// Listeners run on the connection's task, one after the other: they must not block. One that
    /// panics is logged and hurts nobody.
    pub fn on_ready(
        &self,
        listener: impl Fn(&Result<(), ConnectionError>) + Send + Sync + 'static,
    ) -> Listener {
        self.shared.listeners.add(EventName::Ready, move |event| {
            if let Event::Ready(outcome) = event {
                listener(outcome);
            }
        })
    }

    /// Calls `listener` with the outcome of every later attempt to connect.
    pub fn on_reconnect(
        &self,
        listener: impl Fn(&Result<(), ConnectionError>) + Send + Sync + 'static,
    ) -> Listener {
        self.shared.listeners.add(EventName::Reconnect, move |event| {
            if let Event::Reconnect(outcome) = event {
                listener(outcome);
            }
        })
    }

    /// Calls `listener` whenever a connection that was ready is lost.
    pub fn on_disconnect(&self, listener: impl Fn(&ConnectionError) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Disconnect, move |event| {
            if let Event::Disconnect(error) = event {
                listener(error);
            }
        })
    }

    /// Calls `listener` with the channel and the data of every publication.
    pub fn on_message(&self, listener: impl Fn(&str, &RawJson) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Message, move |event| {
            if let Event::Message { channel, data } = event {
                listener(channel, data);
            }
        })
    }

    /// Calls `listener` with the name of each channel that went on without a gap after a reconnect. What was missed
    /// came before, as publications.
    pub fn on_recovered(&self, listener: impl Fn(&str) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Recovered, move |event| {
            if let Event::Recovered { channel } = event {
                listener(channel);
            }
        })
    }

    /// Calls `listener` with the name of each channel with history of which publications are lost: because the
    /// client was away for longer than the server keeps them, or because the server began anew; and of each without
    /// history, or pattern, of which some may be, because the server was cut off from others. Fetch what they
    /// were about. The channel's [`Subscription`](crate::Subscription)s are told as well, in their place.
    pub fn on_unrecovered(&self, listener: impl Fn(&str) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Unrecovered, move |event| {
            if let Event::Unrecovered { channel } = event {
                listener(channel);
            }
        })
    }

    /// Calls `listener` with the channel and whoever comes to it, for channels that are followed with
    /// [`SubscribeOptions::presence`](crate::SubscribeOptions::presence).
    pub fn on_join(&self, listener: impl Fn(&str, &Member) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Join, move |event| {
            if let Event::Join { channel, member } = event {
                listener(channel, member);
            }
        })
    }

    /// Calls `listener` with the channel and whoever is gone from it.
    pub fn on_leave(&self, listener: impl Fn(&str, &Member) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Leave, move |event| {
            if let Event::Leave { channel, member } = event {
                listener(channel, member);
            }
        })
    }

    /// Calls `listener` with what the server says of this device, on every connection; and at once with the last that
    /// came, if one did.
    pub fn on_settings(&self, listener: impl Fn(&Settings) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Settings, move |event| {
            if let Event::Settings(settings) = event {
                listener(settings);
            }
        })
    }

    /// Calls `listener` with how many deliveries follow that were kept while this device was away. Those that it
    /// handled before, and whose acknowledgement was lost, are not among them.
    pub fn on_batch(&self, listener: impl Fn(usize) + Send + Sync + 'static) -> Listener {
        self.shared.listeners.add(EventName::Batch, move |event| {
            if let Event::Batch { deliveries } = event {
                listener(*deliveries);
            }
        })
    }

    /// Calls `listener` for the event `name`: `ready`, `reconnect`, `disconnect`, `message`, `recovered`,
    /// `unrecovered`, `join`, `leave`, `settings` or `batch`.
    pub fn on(
        &self,
        name: &str,
        listener: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Listener, UnknownEvent> {
        Ok(self.shared.listeners.add(EventName::parse(name)?, listener))
    }
}
