//! What this node follows at NATS: one subscription for each channel and pattern, however many sockets follow it.
//!
//! ```text
//! subscribe, unsubscribe ──wish──▶ table ──▶ one task ──▶ client, then one question ──answered──▶ who waits
//!                                                 └─subscription─▶ receiver
//! ```
//!
//! In: wishes, which count in the order of the calls. Out: subscriptions, to the receiver. A wish is noted at once and
//! without waiting, so only the last one of a topic is done. Knows no channel's content.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::nats::error::LinkError;
use crate::nats::link::Link;

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Channel(Channel),
    Pattern(Pattern),
    /// This node's own subject, and that of all nodes.
    Node(&'static str),
}

/// A subscription that has begun, until `stop` ends.
pub(super) struct Feed {
    pub(super) topic: Topic,
    pub(super) subscriber: async_nats::Subscriber,
    pub(super) stop: oneshot::Receiver<()>,
}

type Told = oneshot::Sender<Result<(), LinkError>>;

#[derive(Debug, Default)]
struct State {
    is_wished: bool,
    /// Ends the subscription when dropped.
    subscription: Option<oneshot::Sender<()>>,
    /// Whether the server has confirmed it.
    is_settled: bool,
    is_listed: bool,
    waiting: Vec<Told>,
}

#[derive(Debug, Default)]
struct Table {
    topics: HashMap<Topic, State>,
    /// Those to look at.
    changed: VecDeque<Topic>,
}

/// All wishes.
#[derive(Debug, Default)]
pub(super) struct Following {
    table: Mutex<Table>,
    grown: Notify,
    patterns: AtomicUsize,
}

/// So many wishes share a question, at most.
const GROUP: usize = 4096;

impl Following {
    /// Wishes to follow a topic. Ready at once if that is so.
    pub(super) fn follow(&self, topic: Topic) -> BoxFuture<'static, Result<(), LinkError>> {
        self.wish(topic, true)
    }

    /// Wishes to follow it no longer.
    pub(super) fn leave(&self, topic: Topic) -> BoxFuture<'static, Result<(), LinkError>> {
        self.wish(topic, false)
    }

    fn wish(&self, topic: Topic, is_wished: bool) -> BoxFuture<'static, Result<(), LinkError>> {
        let mut table = self.table.lock();
        let table = &mut *table;
        let state = match (table.topics.get_mut(&topic), is_wished) {
            (None, false) => return ready(Ok(())).boxed(),
            (Some(state), _) => state,
            (None, true) => {
                self.count(&topic, AtomicUsize::fetch_add);
                table.topics.entry(topic.clone()).or_default()
            }
        };
        if is_wished && state.is_wished && state.is_settled {
            return ready(Ok(())).boxed();
        }
        state.is_wished = is_wished;
        let (told, outcome) = oneshot::channel();
        state.waiting.push(told);
        if !std::mem::replace(&mut state.is_listed, true) {
            table.changed.push_back(topic);
        }
        self.grown.notify_one();
        async move { outcome.await.unwrap_or(Err(LinkError::Away)) }.boxed()
    }

    fn count(&self, topic: &Topic, change: impl Fn(&AtomicUsize, usize, Ordering) -> usize) {
        if matches!(topic, Topic::Pattern(_)) {
            change(&self.patterns, 1, Ordering::AcqRel);
        }
    }

    /// Whether any pattern is followed, or about to be.
    pub(super) fn has_patterns(&self) -> bool {
        self.patterns.load(Ordering::Acquire) > 0
    }

    /// Looks again at what is wished and could not be done.
    pub(super) fn retry(&self) {
        let mut table = self.table.lock();
        let Table { topics, changed } = &mut *table;
        for (topic, state) in topics {
            if state.is_wished && !state.is_settled && !std::mem::replace(&mut state.is_listed, true) {
                changed.push_back(topic.clone());
            }
        }
        self.grown.notify_one();
    }

    /// Does what is wished, for ever.
    pub(super) async fn run(
        self: Arc<Self>,
        link: Arc<Link>,
        subject: impl Fn(&Topic) -> String + Send,
        feeds: mpsc::UnboundedSender<Feed>,
    ) {
        loop {
            let grown = self.grown.notified();
            let changed: Vec<Topic> = {
                let mut table = self.table.lock();
                let count = table.changed.len().min(GROUP);
                table.changed.drain(..count).collect()
            };
            if changed.is_empty() {
                grown.await;
                continue;
            }
            let mut begun = Vec::new();
            let mut waiting = Vec::new();
            for topic in changed {
                let (outcome, told) = self.turn(&link, &topic, &subject, &feeds).await;
                match outcome {
                    Ok(()) => {
                        waiting.extend(told);
                        begun.push(topic);
                    }
                    Err(error) => told.into_iter().for_each(|told| drop(told.send(Err(error.clone())))),
                }
            }
            let outcome = link.settled().await;
            if outcome.is_ok() {
                let mut table = self.table.lock();
                for topic in begun {
                    if let Some(state) = table.topics.get_mut(&topic) {
                        // It may have been listed again meanwhile; then it is looked at again.
                        state.is_settled = state.subscription.is_some();
                    }
                }
            }
            for told in waiting {
                let _ = told.send(outcome.clone());
            }
        }
    }

    /// Makes one topic as it is wished, and returns who waits for that.
    async fn turn(
        &self,
        link: &Link,
        topic: &Topic,
        subject: &impl Fn(&Topic) -> String,
        feeds: &mpsc::UnboundedSender<Feed>,
    ) -> (Result<(), LinkError>, Vec<Told>) {
        let (told, is_missing) = {
            let mut table = self.table.lock();
            let Some(state) = table.topics.get_mut(topic) else { return (Ok(()), Vec::new()) };
            state.is_listed = false;
            let told = std::mem::take(&mut state.waiting);
            if !state.is_wished {
                table.topics.remove(topic);
                self.count(topic, AtomicUsize::fetch_sub);
                return (Ok(()), told);
            }
            (told, state.subscription.is_none())
        };
        if !is_missing {
            return (Ok(()), told);
        }
        let subscribing = link.client().subscribe(subject(topic));
        let subscribed =
            link.during(async { subscribing.await.map_err(|error| LinkError::Answer(error.to_string())) });
        let subscriber = match subscribed.await {
            Ok(subscriber) => subscriber,
            Err(error) => return (Err(error), told),
        };
        let (stop, stopped) = oneshot::channel();
        // The receiver lives as long as this task.
        let _ = feeds.send(Feed { topic: topic.clone(), subscriber, stop: stopped });
        if let Some(state) = self.table.lock().topics.get_mut(topic) {
            state.subscription = Some(stop);
        }
        (Ok(()), told)
    }
}
