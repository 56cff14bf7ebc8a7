//! What comes to this node, in the order of each subscription.
//!
//! ```text
//! subscriptions ──▶ one task ──▶ histories (where a channel stands) ──▶ handler
//! ```
//!
//! In: messages. Out: publications, each once though a channel may be followed by name and by patterns; broadcasts,
//! control messages, announcements. One task, so that nothing overtakes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::Message;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt, Stream, StreamExt};
use tokensocket_protocol::{Channel, Position};
use tokio::sync::mpsc;

use super::backlog::Backlog;
use super::following::{Feed, Following, Topic};
use super::frame::{Batch, Live, Sent, ToNodes};
use super::histories::Histories;
use super::order::{Orders, PATIENCE};
use crate::broker::{BrokerHandler, Control, Gap, Publication};
use crate::nats::names;

/// So many messages are taken before the handler gets them, and so many bytes of them.
const MOST: usize = 256;
const MOST_BYTES: usize = 1 << 20;
/// So many that came are put in the backlog before some are taken from it.
const INTAKE: usize = 4096;
/// For how long it is remembered what came on a channel that may come twice.
const REMEMBERED: Duration = Duration::from_mins(1);

/// A subscription, until it is stopped.
struct Incoming(Feed);

impl Stream for Incoming {
    type Item = (Topic, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.0.stop.poll_unpin(cx).is_ready() {
            return Poll::Ready(None);
        }
        let next = self.0.subscriber.poll_next_unpin(cx);
        next.map(|message| message.map(|message| (self.0.topic.clone(), message)))
    }
}

/// What came last on a channel that is followed in more ways than one.
#[derive(Debug)]
struct Came {
    /// Of each origin.
    numbers: HashMap<u64, u64>,
    when: Instant,
}

/// Tells first comers from copies, of what is not kept.
#[derive(Debug, Default)]
struct Copies {
    channels: HashMap<Channel, Came>,
    pruned: Option<Instant>,
    /// When a pattern was followed last.
    patterns: Option<Instant>,
}

impl Copies {
    /// Whether anything may come twice: where patterns are followed, or were a moment ago.
    fn may_come(&mut self, has_patterns: bool) -> bool {
        if has_patterns {
            self.patterns = Some(Instant::now());
        } else if self.patterns.is_some_and(|when| when.elapsed() > REMEMBERED) {
            *self = Self::default();
        }
        self.patterns.is_some()
    }

    fn of(&mut self, channel: &Channel) -> &mut Came {
        let now = Instant::now();
        if self.pruned.is_none_or(|pruned| now - pruned > REMEMBERED) {
            self.channels.retain(|_, came| now - came.when < REMEMBERED);
            self.pruned = Some(now);
        }
        let came = || Came { numbers: HashMap::new(), when: now };
        let came = self.channels.entry(channel.clone()).or_insert_with(came);
        came.when = now;
        came
    }

    fn is_new(&mut self, channel: &Channel, sent: Sent) -> bool {
        let last = self.of(channel).numbers.entry(sent.origin).or_default();
        let is_new = sent.number > *last;
        *last = sent.number.max(*last);
        is_new
    }
}

/// Takes what comes to the handler.
pub(super) struct Receiver {
    pub(super) handler: Weak<dyn BrokerHandler>,
    pub(super) histories: Weak<Histories>,
    pub(super) following: Arc<Following>,
    pub(super) origin: u64,
    /// What stands before a channel's tokens in a live subject.
    pub(super) live: String,
}

impl Receiver {
    /// Takes what comes, for ever.
    pub(super) async fn run(self, mut feeds: mpsc::UnboundedReceiver<Feed>) {
        let mut incoming: SelectAll<Incoming> = SelectAll::new();
        let mut state = State::default();
        let mut backlog = Backlog::default();
        loop {
            let first = tokio::select! {
                biased;
                feed = feeds.recv() => match feed {
                    Some(feed) => {
                        incoming.push(Incoming(feed));
                        continue;
                    }
                    None => return,
                },
                () = tokio::task::yield_now(), if !backlog.is_empty() => None,
                Some(message) = incoming.next(), if backlog.is_empty() && !incoming.is_empty() => Some(message),
                () = tokio::time::sleep(PATIENCE / 4), if state.orders.is_waiting() => None,
            };
            let Some(handler) = self.handler.upgrade() else { return };
            let more = std::iter::from_fn(|| incoming.next().now_or_never().flatten());
            for message in first.into_iter().chain(more.take(INTAKE)) {
                let must = matches!(message.0, Topic::Node(_));
                backlog.push(message.1.length, message, must);
            }
            let mut bytes = 0;
            for _ in 0..MOST {
                let Some((size, message)) = backlog.pop() else { break };
                self.take(message, &mut state, &*handler);
                bytes += size;
                if bytes > MOST_BYTES {
                    break;
                }
            }
            for (channel, batches) in state.orders.overdue(Instant::now()) {
                state.add(&channel, batches);
            }
            state.flush(&*handler);
            state.tell_of_gaps(&mut backlog, &*handler);
        }
    }

    fn take(&self, (topic, message): (Topic, Message), state: &mut State, handler: &dyn BrokerHandler) {
        let channel = match topic {
            Topic::Node(_) => {
                state.flush(handler);
                match ToNodes::decode(message.payload) {
                    Some(ToNodes::Broadcast(message)) => handler.handle_broadcast(&message),
                    Some(ToNodes::Control(json)) => {
                        if let Some(control) = Control::from_json(&json) {
                            handler.handle_control(control);
                        } else {
                            tracing::debug!("a control message of another version is passed over");
                        }
                    }
                    Some(ToNodes::MakeWay(sent, channel)) => {
                        if let Some(histories) =
                            self.histories.upgrade().filter(|_| sent.origin != self.origin)
                        {
                            histories.make_way(&channel);
                        }
                    }
                    None => tracing::debug!("a message to nodes is not understood"),
                }
                return;
            }
            Topic::Channel(channel) => channel,
            Topic::Pattern(_) => {
                let tokens = message.subject.strip_prefix(&self.live);
                let Some(channel) = tokens.and_then(names::channel_of) else { return };
                channel
            }
        };
        let may_be_twice = state.copies.may_come(self.following.has_patterns());
        match Live::decode(message.payload) {
            Some(Live::Publication(sent, message)) => {
                if !may_be_twice || state.copies.is_new(&channel, sent) {
                    state.publications.push(Publication { channel, message, position: None });
                }
            }
            Some(Live::Announcement(sent, announcement)) => {
                if sent.origin != self.origin && (!may_be_twice || state.copies.is_new(&channel, sent)) {
                    state.flush(handler);
                    handler.handle_announcement(&channel, &announcement);
                }
            }
            Some(Live::Batch(batch)) => {
                if let (Some(histories), Some(sequence)) =
                    (self.histories.upgrade(), sequence(message.headers.as_ref()))
                {
                    histories.heard(&channel, sequence, &batch);
                }
                let batches = state.orders.take(&channel, batch, Instant::now());
                state.add(&channel, batches);
            }
            None => tracing::debug!(%channel, "a message is not understood"),
        }
    }
}

/// Where in the stream a message stands that the stream publishes again.
fn sequence(headers: Option<&async_nats::HeaderMap>) -> Option<u64> {
    headers?.get("Nats-Sequence")?.as_str().parse().ok()
}

/// What is remembered of what came.
#[derive(Default)]
struct State {
    copies: Copies,
    orders: Orders,
    /// What the handler is given next.
    publications: Vec<Publication>,
    /// Since when the handler has to be told that something is missing.
    is_missing: Option<Instant>,
}

impl State {
    fn add(&mut self, channel: &Channel, batches: Vec<Batch>) {
        for Batch { epoch, first, entries, .. } in batches {
            self.publications.extend((first..).zip(entries).map(|(offset, entry)| Publication {
                channel: channel.clone(),
                message: entry.message,
                position: Some(Position { epoch: epoch.clone(), offset }),
            }));
        }
    }

    /// Tells that something is missing, behind all that was there before it; while there never is an end to that, now and
    /// then.
    fn tell_of_gaps<T>(&mut self, backlog: &mut Backlog<T>, handler: &dyn BrokerHandler) {
        if backlog.is_missing() && self.is_missing.is_none() {
            tracing::warn!("publications came faster than they were taken; some are lost here");
            self.is_missing = Some(Instant::now());
        }
        if self.is_missing.is_some_and(|since| backlog.is_empty() || since.elapsed() > super::GAPS) {
            self.is_missing = None;
            handler.handle_gap(Gap::All);
        }
    }

    fn flush(&mut self, handler: &dyn BrokerHandler) {
        if !self.publications.is_empty() {
            handler.handle_publications(&self.publications);
            self.publications.clear();
        }
    }
}
