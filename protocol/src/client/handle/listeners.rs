//! Functions that are called when something happens: the EventEmitter style.
//!
//! In: functions by event, events from the driver. Out: calls, one after the other, where the driver runs.
//! No lock is held while a function runs, so a listener may add and remove listeners.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::member::Member;
use crate::client::{ConnectionError, Event as SessionEvent};
use crate::message::Settings;
use crate::raw_json::RawJson;
use crate::threads::MaybeSync;

/// What listeners hear of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// `ready`: the first attempt to connect is over. Comes once.
    Ready(Result<(), ConnectionError>),
    /// `reconnect`: any later attempt is over. After an error the client tries again, unless its state
    /// is [`State::Ended`](crate::client::State::Ended).
    Reconnect(Result<(), ConnectionError>),
    /// `disconnect`: a connection that was ready is lost.
    Disconnect(ConnectionError),
    /// `message`: a publication on a followed channel.
    Message {
        /// The channel's name.
        channel: String,
        /// What was published.
        data: RawJson,
    },
    /// `recovered`: after a reconnect a channel with history goes on without a gap. What was missed came before
    /// this, as messages.
    Recovered {
        /// The channel's name.
        channel: String,
    },
    /// `unrecovered`: publications of a channel are lost, or may be where none are kept. Fetch what they were about.
    Unrecovered {
        /// The channel's name.
        channel: String,
    },
    /// `join`: somebody came to a channel that is followed with presence.
    Join {
        /// The channel's name.
        channel: String,
        /// Who.
        member: Member,
    },
    /// `leave`: somebody is gone from a channel that is followed with presence.
    Leave {
        /// The channel's name.
        channel: String,
        /// Who.
        member: Member,
    },
    /// `settings`: what the server says of this device, on every connection.
    Settings(Settings),
    /// `batch`: so many deliveries follow that were kept while this device was away.
    Batch {
        /// Those that are new to it.
        deliveries: usize,
    },
}

/// There is no event of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no event {0:?}: the names are {names}", names = EventName::ALL.map(EventName::as_str).join(", "))]
pub struct UnknownEvent(pub String);

/// The names of the [`Event`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName {
    /// `ready`
    Ready,
    /// `reconnect`
    Reconnect,
    /// `disconnect`
    Disconnect,
    /// `message`
    Message,
    /// `recovered`
    Recovered,
    /// `unrecovered`
    Unrecovered,
    /// `join`
    Join,
    /// `leave`
    Leave,
    /// `settings`
    Settings,
    /// `batch`
    Batch,
}

impl EventName {
    /// Every name.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Reconnect,
        Self::Disconnect,
        Self::Message,
        Self::Recovered,
        Self::Unrecovered,
        Self::Join,
        Self::Leave,
        Self::Settings,
        Self::Batch,
    ];

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Reconnect => "reconnect",
            Self::Disconnect => "disconnect",
            Self::Message => "message",
            Self::Recovered => "recovered",
            Self::Unrecovered => "unrecovered",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Settings => "settings",
            Self::Batch => "batch",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, UnknownEvent> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| UnknownEvent(name.to_owned()))
    }

    fn of(event: &Event) -> Self {
        match event {
            Event::Ready(_) => Self::Ready,
            Event::Reconnect(_) => Self::Reconnect,
            Event::Disconnect(_) => Self::Disconnect,
            Event::Message { .. } => Self::Message,
            Event::Recovered { .. } => Self::Recovered,
            Event::Unrecovered { .. } => Self::Unrecovered,
            Event::Join { .. } => Self::Join,
            Event::Leave { .. } => Self::Leave,
            Event::Settings(_) => Self::Settings,
            Event::Batch { .. } => Self::Batch,
        }
    }
}

impl Event {
    /// `None` for what listeners do not hear of.
    fn from_session(event: SessionEvent<RawJson>) -> Option<Self> {
        match event {
            SessionEvent::Ready(outcome) => Some(Self::Ready(outcome)),
            SessionEvent::Reconnect(outcome) => Some(Self::Reconnect(outcome)),
            SessionEvent::Disconnected(error) => Some(Self::Disconnect(error)),
            SessionEvent::Message { channel, message } => Some(Self::Message { channel, data: message }),
            SessionEvent::Recovered { channel, .. } => Some(Self::Recovered { channel }),
            SessionEvent::Unrecovered { channel } => Some(Self::Unrecovered { channel }),
            SessionEvent::Member { channel, member, joined } => {
                let member = member.parse().ok()?;
                Some(if joined { Self::Join { channel, member } } else { Self::Leave { channel, member } })
            }
            SessionEvent::Settings(settings) => Some(Self::Settings(settings)),
            SessionEvent::Batch { deliveries } => Some(Self::Batch { deliveries }),
            _ => None,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
type Function = Arc<dyn Fn(&Event) + Send + Sync>;
#[cfg(target_family = "wasm")]
type Function = Arc<dyn Fn(&Event)>;

#[derive(Default)]
struct Inner {
    functions: Vec<(u64, EventName, Function)>,
    last: u64,
    ready: Option<Event>,
    settings: Option<Event>,
}

/// All functions that listen to one client. Cloning gives another handle to the same list.
#[derive(Clone, Default, Debug)]
pub struct Listeners(Arc<Mutex<Inner>>);

impl Listeners {
    /// Adds a function. One for `ready` is called at once when the first attempt is over already, one for `settings` with the
    /// last that came: a client may be connected before whoever made it has run its next line.
    pub fn add(&self, name: EventName, function: impl Fn(&Event) + MaybeSync + 'static) -> Listener {
        let function: Function = Arc::new(function);
        let (id, told) = {
            let mut inner = lock(&self.0);
            inner.last += 1;
            let id = inner.last;
            inner.functions.push((id, name, Arc::clone(&function)));
            let told = match name {
                EventName::Ready => inner.ready.clone(),
                EventName::Settings => inner.settings.clone(),
                _ => None,
            };
            (id, told)
        };
        if let Some(event) = told {
            call(&function, &event);
        }
        Listener { id, listeners: Arc::downgrade(&self.0) }
    }

    /// Something happened: calls everybody who listens to it. A function that panics is logged and hurts
    /// nobody.
    pub fn tell(&self, event: SessionEvent<RawJson>) {
        let nobody_reads = || !lock(&self.0).functions.iter().any(|(_, name, _)| *name == EventName::Message);
        if matches!(event, SessionEvent::Message { .. }) && nobody_reads() {
            return;
        }
        if let SessionEvent::Recovered { channel, publications } = &event {
            for data in publications {
                self.emit(&Event::Message { channel: channel.clone(), data: data.clone() });
            }
        }
        if let Some(event) = Event::from_session(event) {
            self.emit(&event);
        }
    }

    fn emit(&self, event: &Event) {
        let name = EventName::of(event);
        let functions: Vec<Function> = {
            let mut inner = lock(&self.0);
            match name {
                EventName::Ready => inner.ready = Some(event.clone()),
                EventName::Settings => inner.settings = Some(event.clone()),
                _ => {}
            }
            let heard = inner.functions.iter().filter(|(_, other, _)| *other == name);
            heard.map(|(.., function)| Arc::clone(function)).collect()
        };
        for function in functions {
            call(&function, event);
        }
    }
}

/// Nothing that runs under the lock can leave the list half changed.
fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call(function: &Function, event: &Event) {
    if catch_unwind(AssertUnwindSafe(|| function(event))).is_err() {
        tracing::error!(?event, "a listener panicked");
    }
}

/// A listener's place in the list. Dropping it changes nothing: the listener stays until it is removed
/// or its client is gone.
#[derive(Debug, Clone)]
pub struct Listener {
    id: u64,
    listeners: Weak<Mutex<Inner>>,
}

impl Listener {
    /// Removes the listener. It may still be running on another thread.
    pub fn remove(&self) {
        if let Some(inner) = self.listeners.upgrade() {
            lock(&inner).functions.retain(|(id, ..)| *id != self.id);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} listeners", self.functions.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counting(listeners: &Listeners, name: EventName) -> (Arc<AtomicUsize>, Listener) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let listener = listeners.add(name, move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (count, listener)
    }

    #[test]
    fn a_removed_listener_hears_nothing_and_a_panicking_one_hurts_nobody() {
        let listeners = Listeners::default();
        let _ = listeners.add(EventName::Reconnect, |_| panic!("listener"));
        let (count, listener) = counting(&listeners, EventName::Reconnect);
        let event = Event::Reconnect(Ok(()));
        listeners.emit(&event);
        listener.remove();
        listeners.emit(&event);
        listeners.emit(&Event::Ready(Ok(())));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_listener_for_ready_that_comes_late_is_called_at_once() {
        let listeners = Listeners::default();
        listeners.emit(&Event::Ready(Ok(())));
        let (count, _) = counting(&listeners, EventName::Ready);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_listener_for_settings_that_comes_late_is_told_the_last() {
        let listeners = Listeners::default();
        let (device, epoch) = ("phone".to_owned(), "1".to_owned());
        let settings = Event::Settings(Settings { device_ttl: 60, device, epoch, resumed: false });
        listeners.emit(&settings);
        let (count, _) = counting(&listeners, EventName::Settings);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        listeners.emit(&settings);
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
