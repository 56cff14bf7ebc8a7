//! Publications between nodes, and what channels keep, by Redis.
//!
//! ```text
//! publish ─▶ outgoing (all that waits for a channel) ─▶ publish.lua: append, trim, publish: one step ─┐
//!                                                                                                     ▼
//! handler ◀─ incoming ◀─ subscriber ◀────────────── one message for each node that follows ◀──────── Redis
//! ```
//!
//! In: what a node publishes, follows and reads. Out: what all nodes publish there. How commands and messages travel is
//! the link's; what keys are called is in `names.rs`, what messages look like in `frame.rs`.

mod followed;
mod frame;
mod incoming;
mod lasting;
mod names;
mod outgoing;
mod patterns;
mod prolonging;
mod reading;

use std::sync::{Arc, OnceLock, Weak};

use ::redis::cmd;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture, ready};
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern, RawJson};

use self::incoming::Incoming;
use self::lasting::Lasting;
use self::outgoing::Outgoing;
use super::link::{Again, Follower, Link, LinkError, Task, Ticket, Topic};
use super::script::Script;
use crate::broker::{Broker, BrokerError, BrokerHandler, Control, Publish, Published};
use crate::history::{AROUND, History, HistoryPage, HistoryQuery};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;

static PUBLISH: Script = Script::new(include_str!("../scripts/publish.lua"));
static HISTORY: Script = Script::new(include_str!("../scripts/history.lua"));

pub(super) const SCRIPTS: &[&Script] = &[&PUBLISH, &HISTORY];

/// Carries publications between nodes, and keeps histories, in Redis.
///
/// A publication with history is appended and published by one script, so that nobody sees what is not kept, and offsets
/// and order are the same for everybody. Its future resolves when Redis has answered. What that means is what Redis is
/// configured for:
///
/// | Redis | when its process is killed | when its machine loses power |
/// | --- | --- | --- |
/// | `appendonly yes`, `appendfsync always` | nothing is lost | nothing is lost, as far as the disk keeps what it says it has |
/// | `appendonly yes`, `appendfsync everysec`, Redis' default with it | what its file lacks, up to two seconds; histories go on in new epochs | the same |
/// | `appendonly no` | histories go on in new epochs | the same |
/// | a replica takes over (Sentinel, cluster) | what it had not been sent; histories go on in new epochs | the same |
///
/// What is past its age, and which keys are still known, goes by the nodes' clocks, but never ahead of Redis' own: a node
/// whose clock is ahead drops nothing early. One that is behind has what it publishes dropped early by so much: let
/// clocks agree (NTP) to well within the ages and windows that are used.
///
/// A new epoch tells everybody that something may be missing; it begins with the next call that is about the channel.
/// Slots that move to another server of a cluster do that to their channels, too, though nothing is lost.
///
/// Limits: on a cluster there are no patterns ([`BrokerError::Unsupported`]), since its topics have none. With
/// `maxmemory` reached publications that are kept are refused ([`BrokerError::Unavailable`]) as long as Redis evicts
/// nothing (`maxmemory-policy noeviction`); one that evicts loses histories, and says so by new epochs or gaps.
pub struct RedisBroker {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    outgoing: Arc<Outgoing>,
    incoming: Arc<Incoming>,
    started: OnceLock<Started>,
    /// Prolongs what is followed.
    prolonging: Mutex<Option<Task>>,
}

/// A node's own.
struct Started {
    node: NodeId,
    ticket: Ticket,
    topics: [Topic; 2],
    /// When what is for all nodes, and for this one, comes.
    hears: future::Shared<BoxFuture<'static, ()>>,
}

impl RedisBroker {
    pub(super) fn new(link: Link) -> Self {
        let incoming = Arc::new(Incoming::default());
        let outgoing = Outgoing::new(link.clone());
        let (started, prolonging) = (OnceLock::new(), Mutex::default());
        Self { shared: Arc::new(Shared { link, outgoing, incoming, started, prolonging }) }
    }
}

impl Shared {
    fn started(&self) -> Result<&Started, BrokerError> {
        self.started.get().ok_or_else(|| BrokerError::Unavailable("the broker has not begun".to_owned()))
    }

    /// Sends something of which nothing is kept.
    fn send(
        &self,
        topic: &str,
        frame: Vec<u8>,
        waits: bool,
    ) -> impl Future<Output = Result<i64, BrokerError>> + Send + use<> {
        let bytes = topic.len() + frame.len() + AROUND;
        let mut command = cmd(self.link.publishes_by());
        command.arg(topic).arg(frame);
        let sent = self.link.call_waiting(topic, command, bytes, Again::Never, waits);
        async move { Ok(::redis::from_redis_value(sent.await?).unwrap_or_default()) }
    }

    fn to_all(&self) -> String {
        self.link.key("all:{all}")
    }

    fn to_node(&self, node: NodeId) -> String {
        self.link.key(&format!("n:{{{node}}}"))
    }
}

fn noted(
    wish: impl Future<Output = Result<(), LinkError>> + Send + 'static,
) -> BoxFuture<'static, Result<(), BrokerError>> {
    wish.map(|outcome| outcome.map_err(BrokerError::from)).boxed()
}

impl std::fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisBroker")
    }
}

impl Broker for RedisBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let shared = &self.shared;
        let incoming = &shared.incoming;
        let follower: Arc<dyn Follower> = Arc::clone(incoming) as Arc<dyn Follower>;
        let ticket = shared.link.ticket(Arc::downgrade(&follower));
        incoming
            .begin(node, handler, shared.link.is_one())
            .map_err(|()| BrokerError::Unavailable("a broker serves one server".to_owned()))?;
        let topics = [shared.to_all(), shared.to_node(node)].map(|topic| Topic::Name(topic.into()));
        let [all, own] = &topics;
        let (all, own) = (shared.link.follow(all, &ticket), shared.link.follow(own, &ticket));
        let hears = async move {
            // Where it cannot be now it will be: the wish stands.
            let _ = (all.await, own.await);
        };
        let _ = shared.started.set(Started { node, ticket, topics, hears: hears.boxed().shared() });
        Ok(())
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if let Some(history) = &publish.history {
            let topic = names::topic(&self.shared.link, &publish.channel);
            self.shared.incoming.followed().touched(&topic, Lasting::of(history), publish.at);
        }
        // The place in the channel's order is taken when the future is first polled.
        async move {
            let outcome = self.shared.outgoing.publish(publish)?;
            let ended = || BrokerError::from(LinkError::Unknown("the connection was ended".to_owned()));
            outcome.await.unwrap_or_else(|_| Err(ended()))
        }
        .boxed()
    }

    fn holds(&self) -> bool {
        self.shared.link.holds()
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        let link = &self.shared.link;
        let topic = names::topic(link, channel);
        self.shared.incoming.followed().touched(&topic, Lasting::of(history), now);
        let asked = reading::ask(link, channel, history, &query, now);
        async move { reading::read(asked.await?) }.boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            self.shared.started()?.hears.clone().await;
            self.shared.send(&self.shared.to_all(), frame::broadcast(&message), true).await.map(drop)
        }
        .boxed()
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            self.shared.started()?.hears.clone().await;
            // What nodes say of themselves, and ask, is out of date when a Redis is back that was away.
            let waits = !matches!(control, Control::Node(_));
            self.shared.send(&self.shared.to_all(), frame::control(&control), waits).await.map(drop)
        }
        .boxed()
    }

    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        let sent = self.shared.send(&self.shared.to_node(node), frame::control(&control), false);
        async move {
            // Redis says how many have it.
            if sent.await? == 0 { Err(BrokerError::NoSuchNode(node)) } else { Ok(()) }
        }
        .boxed()
    }

    fn announce(&self, channel: &Channel, announcement: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        let node = match self.shared.started() {
            Ok(started) => started.node,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let topic = names::topic(&self.shared.link, channel);
        let sent = self.shared.send(&topic, frame::announcement(node, &announcement), false);
        async move { sent.await.map(drop) }.boxed()
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        let ticket = match self.shared.started() {
            Ok(started) => &started.ticket,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let topic: Arc<str> = names::topic(&self.shared.link, channel).into();
        let mut followed = self.shared.incoming.followed();
        followed.add(&topic, channel);
        noted(self.shared.link.follow(&Topic::Name(topic), ticket))
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        let Some(started) = self.shared.started.get() else { return ready(Ok(())).boxed() };
        let topic: Arc<str> = names::topic(&self.shared.link, channel).into();
        let mut followed = self.shared.incoming.followed();
        followed.remove(&topic);
        noted(self.shared.link.unfollow(&Topic::Name(topic), &started.ticket))
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        if self.shared.link.is_cluster() {
            let what = format!("no wildcard subscriptions on a cluster, such as {}", pattern.as_str());
            return ready(Err(BrokerError::Unsupported(what))).boxed();
        }
        let ticket = match self.shared.started() {
            Ok(started) => &started.ticket,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let glob: Arc<str> = names::glob(&self.shared.link, pattern).into();
        let _in_order = self.shared.incoming.followed();
        self.shared.incoming.patterns().add(&glob, pattern);
        noted(self.shared.link.follow(&Topic::Glob(glob), ticket))
    }

    fn unsubscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        let Some(started) = self.shared.started.get() else { return ready(Ok(())).boxed() };
        let glob: Arc<str> = names::glob(&self.shared.link, pattern).into();
        let _in_order = self.shared.incoming.followed();
        if !self.shared.incoming.patterns().remove(&glob, pattern) {
            return ready(Ok(())).boxed();
        }
        noted(self.shared.link.unfollow(&Topic::Glob(glob), &started.ticket))
    }

    /// Redis drops by itself what is past its time; here what somebody follows is kept from that.
    fn expire(&self, now: Timestamp) {
        let Shared { link, incoming, prolonging, .. } = &*self.shared;
        let mut prolonging = prolonging.lock();
        // What is not done yet is due again.
        if prolonging.as_ref().is_none_or(Task::has_ended) {
            let due = incoming.followed().due(now);
            *prolonging = (!due.is_empty())
                .then(|| link.spawn(prolonging::prolong(link.clone(), Arc::clone(incoming), due, now)));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(started) = self.started.get() else { return };
        let (topics, globs) = (self.incoming.followed().topics(), self.incoming.patterns().globs());
        let topics = topics.into_iter().map(Topic::Name).chain(globs.into_iter().map(Topic::Glob));
        for topic in topics.chain(started.topics.iter().cloned()) {
            drop(self.link.unfollow(&topic, &started.ticket));
        }
    }
}
