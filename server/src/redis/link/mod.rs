//! The connections to an engine: what it is asked, and what comes of itself.
//!
//! ```text
//! call, read, submit ───▶ lane (order) ─▶ dispatcher ─▶ topology (whose slot?) ─▶ server ─▶ Redis
//! follow, listen ───────▶ topology ─▶ subscriber ◀─ messages, in order ───────────────────── Redis
//! ```
//!
//! In: operations with keys, topics. Out: answers, messages, and that some may be missing. One server, several that share
//! the slots, one behind Sentinels, or a cluster are the same from outside. Knows nothing of channels, tokens, users.
//!
//! Connections, pipelines and RESP3 are `redis`'s. Who is connected to whom, what is sent again and what is followed again
//! is decided here, since whoever follows must know when it is so again, and what may be missing.

mod address;
mod backoff;
mod book;
mod came;
mod dial;
mod dispatcher;
mod facts;
mod item;
mod lane;
mod map;
mod server;
mod slots;
mod subscriber;
mod task;
mod topology;
mod work;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{Cmd, Value};
use bytes::Bytes;
use tokio::sync::oneshot;

use self::address::{Address, Shape};
use self::dial::{Dialer, NotConnected};
use self::dispatcher::Dispatcher;
use self::lane::Lane;
use self::server::State;
use self::slots::slot;
use self::topology::Topology;
use self::work::{Call, Reading};
use super::error::RedisError;
use super::options::RedisOptions;
use super::script::Script;
use crate::engine::{EngineStatus, Outage};

pub(in crate::redis) use self::book::{Follower, Ticket, Topic};
pub(in crate::redis) use self::facts::Facts;
pub(in crate::redis) use self::task::Task;
pub(in crate::redis) use self::work::{Again, Budget, Share, Work};
pub(in crate::redis) use super::error::LinkError;

/// So many lanes each server has, about: work for one slot is always in one.
const LANES_OF_ONE: usize = 4;
const LANES_OF_CLUSTER: usize = 32;

/// What an operation counts for besides what it carries.
const AROUND: usize = 64;

/// How long the name of a namespace, or a prefix, may be: 64, and one that sets a name apart from all of these.
const LONGEST_NAME: usize = 65;

/// One namespace's way to an engine. Clones share the connections, which end with the last of them.
#[derive(Clone)]
pub(in crate::redis) struct Link {
    engine: Arc<Engine>,
    /// What the names of its keys begin with.
    root: Arc<str>,
}

struct Engine {
    address: String,
    /// No server may take over from another.
    is_alone: bool,
    options: RedisOptions,
    dispatcher: Arc<Dispatcher>,
    /// By server, and by slot; a cluster's by slot alone, since its slots move.
    lanes: Vec<Lane>,
    tickets: AtomicU64,
    _keep: Option<Task>,
}

/// Is told what comes on a topic.
pub(in crate::redis) trait Listener: Send + Sync + 'static {
    /// Something came. Returns quickly.
    fn heard(&self, topic: &str, payload: Bytes);

    /// Something may not have come; the topic is followed again.
    fn gap(&self);
}

/// Listens until it is dropped.
pub(in crate::redis) struct Listening {
    link: Link,
    topic: Topic,
    ticket: Ticket,
    /// Holds the follower that the ticket names.
    _ear: Arc<Ear>,
}

struct Ear(Weak<dyn Listener>);

impl Follower for Ear {
    fn receive(&self, messages: &mut Vec<(Arc<str>, Bytes)>) {
        if let Some(listener) = self.0.upgrade() {
            for (topic, payload) in messages.drain(..) {
                listener.heard(&topic, payload);
            }
        }
    }

    fn gap(&self, _: Vec<Topic>) {
        if let Some(listener) = self.0.upgrade() {
            listener.gap();
        }
    }
}

impl Link {
    /// Connects to all servers of an engine, and loads the scripts there.
    pub(in crate::redis) async fn connect(
        address: &str,
        options: RedisOptions,
        scripts: &'static [&'static [&'static Script]],
    ) -> Result<Self, RedisError> {
        let address = Address::parse(address)?;
        checked(&options.prefix)?;
        let dialer = Arc::new(Dialer::new(&address, &options, scripts)?);
        let connecting = Topology::connect(&address, dialer, options.response_limit);
        let (topology, keep) = connecting.await.map_err(|(address, error)| match error {
            NotConnected::Ever(reason) => RedisError::Unfit { address, reason },
            NotConnected::Yet(reason) => RedisError::Connect { address, reason },
        })?;
        let lanes =
            if topology.is_cluster() { LANES_OF_CLUSTER } else { LANES_OF_ONE * topology.shards().len() };
        let dispatcher = Arc::new(Dispatcher {
            topology,
            pending: Budget::new(options.max_pending, options.max_pending_bytes),
            held: match options.outage {
                Outage::Refuse => None,
                Outage::Buffer { messages, bytes } => Some(Budget::new(messages, bytes)),
            },
            response_limit: options.response_limit,
        });
        let lanes = (0..lanes).map(|_| Lane::begin(Arc::clone(&dispatcher))).collect();
        let root = root(&options.prefix, address.db).into();
        let engine = Engine {
            address: address.to_string(),
            is_alone: matches!(address.shape, Shape::Shards(_)),
            options,
            dispatcher,
            lanes,
            tickets: AtomicU64::new(0),
            _keep: keep,
        };
        Ok(Self { engine: Arc::new(engine), root })
    }

    /// The same engine, with keys of its own.
    pub(in crate::redis) fn namespace(&self, name: &str) -> Result<Self, RedisError> {
        checked(name)?;
        Ok(Self { engine: Arc::clone(&self.engine), root: format!("{}{name}:", self.root).into() })
    }

    pub(in crate::redis) fn options(&self) -> &RedisOptions {
        &self.engine.options
    }

    pub(in crate::redis) fn is_cluster(&self) -> bool {
        self.engine.dispatcher.topology.is_cluster()
    }

    /// Whether all keys are on one server.
    pub(in crate::redis) fn is_one(&self) -> bool {
        !self.is_cluster() && self.engine.dispatcher.topology.shards().len() == 1
    }

    /// The name of a key or topic. What is in its first braces decides where it is; `part` is to have them.
    pub(in crate::redis) fn key(&self, part: &str) -> String {
        format!("{}{part}", self.root)
    }

    /// Into how many parts it is wise to divide what need not be together.
    pub(in crate::redis) fn spread(&self) -> usize {
        if self.is_one() { 1 } else { 16 }
    }

    /// The command that publishes on a topic, for scripts.
    pub(in crate::redis) fn publishes_by(&self) -> &'static str {
        if self.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }

    /// Puts work behind all that was submitted for the same slot before. What becomes of it is told the work.
    pub(in crate::redis) fn submit(&self, key: &str, work: Box<dyn Work>) {
        let slot = slot(key);
        let lanes = &self.engine.lanes;
        let at = if self.is_cluster() {
            slot * lanes.len() / slots::SLOTS
        } else {
            let shards = lanes.len() / LANES_OF_ONE;
            let shard = self.engine.dispatcher.topology.number(slot);
            shard.min(shards - 1) * LANES_OF_ONE + slot % LANES_OF_ONE
        };
        match lanes.get(at) {
            Some(lane) => lane.submit(&self.engine.dispatcher, slot, work),
            None => work.done(Err(LinkError::Overloaded)),
        }
    }

    /// Whether anything waits for a server that is away.
    pub(in crate::redis) fn holds(&self) -> bool {
        self.engine.dispatcher.held.is_some()
    }

    /// A budget of one's own for what waits here before it is submitted: as many bytes as may wait in all.
    pub(in crate::redis) fn budget(&self, operations: usize) -> Arc<Budget> {
        Budget::new(operations, self.engine.options.max_pending_bytes)
    }

    /// Counts something of this size that is to be submitted about a key; not any more when this is dropped. With
    /// [`Outage::Buffer`] it may wait for a server that is away.
    pub(in crate::redis) fn admit(&self, key: &str, bytes: usize) -> Result<Share, LinkError> {
        self.engine.dispatcher.admit(slot(key), bytes, true).map(|(share, _)| share)
    }

    /// Sends a command about a key. It is in the queue when this returns, whether or not the future is polled.
    pub(in crate::redis) fn call(
        &self,
        key: &str,
        command: Cmd,
        bytes: usize,
        again: Again,
    ) -> impl Future<Output = Result<Value, LinkError>> + Send + use<> {
        self.call_waiting(key, command, bytes, again, false)
    }

    /// The same; with [`Outage::Buffer`] it may wait for a server that is away.
    pub(in crate::redis) fn call_waiting(
        &self,
        key: &str,
        command: Cmd,
        bytes: usize,
        again: Again,
        waits: bool,
    ) -> impl Future<Output = Result<Value, LinkError>> + Send + use<> {
        let (told, answer) = oneshot::channel();
        self.submit(key, Box::new(Call { command, bytes, again, waits, told }));
        answered(answer)
    }

    /// Sends a command that changes nothing, and depends on what is known of the server.
    pub(in crate::redis) fn read(
        &self,
        key: &str,
        command: Box<dyn Fn(&Facts) -> Cmd + Send>,
    ) -> impl Future<Output = Result<Value, LinkError>> + Send + use<> {
        let (told, answer) = oneshot::channel();
        self.submit(key, Box::new(Reading { command, told }));
        answered(answer)
    }

    /// A follower's ticket, by which it is known.
    pub(in crate::redis) fn ticket(&self, follower: Weak<dyn Follower>) -> Ticket {
        Ticket { number: self.engine.tickets.fetch_add(1, Ordering::Relaxed), follower }
    }

    /// Notes that somebody follows a topic; the future says when it is so.
    pub(in crate::redis) fn follow(
        &self,
        topic: &Topic,
        ticket: &Ticket,
    ) -> impl Future<Output = Result<(), LinkError>> + Send + use<> {
        let (topology, owners) = (&self.engine.dispatcher.topology, self.owners(topic));
        all(if owners.is_empty() {
            vec![noted(|waiter| topology.follow_later(topic, ticket, waiter))]
        } else {
            let follow = |shard: &Arc<topology::Shard>| {
                noted(|waiter| shard.subscriber().follow(topic, ticket, waiter))
            };
            owners.iter().map(follow).collect()
        })
    }

    /// Notes that somebody follows a topic no more; the future says when it is so.
    pub(in crate::redis) fn unfollow(
        &self,
        topic: &Topic,
        ticket: &Ticket,
    ) -> impl Future<Output = Result<(), LinkError>> + Send + use<> {
        let topology = &self.engine.dispatcher.topology;
        let mut told: Vec<Told> = self
            .owners(topic)
            .iter()
            .map(|shard| noted(|waiter| shard.subscriber().unfollow(topic, ticket.number, waiter)))
            .collect();
        // Also where it waits for an owner that it has only now.
        told.push(noted(|waiter| topology.follow_no_more(topic, ticket.number, waiter)));
        all(told)
    }

    /// Whoever sends what is published on a topic.
    fn owners(&self, topic: &Topic) -> Vec<Arc<topology::Shard>> {
        let topology = &self.engine.dispatcher.topology;
        match topic {
            Topic::Name(name) => topology.shard(slot(name)).into_iter().collect(),
            Topic::Glob(_) => topology.shards(),
        }
    }

    /// Tells a listener what comes on a topic, until the guard is dropped.
    pub(in crate::redis) fn listen(&self, topic: String, listener: Weak<dyn Listener>) -> Listening {
        let ear = Arc::new(Ear(listener));
        let follower: Weak<dyn Follower> = Arc::downgrade(&(Arc::clone(&ear) as Arc<dyn Follower>));
        let (topic, ticket) = (Topic::Name(topic.into()), self.ticket(follower));
        drop(self.follow(&topic, &ticket));
        Listening { link: self.clone(), topic, ticket, _ear: ear }
    }

    /// Begins work in the background, which ends with the guard.
    #[allow(clippy::unused_self, reason = "whoever has a link is on its runtime")]
    pub(in crate::redis) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task::spawn(work)
    }

    pub(in crate::redis) fn lease(&self) -> Duration {
        self.engine.options.lease
    }

    /// Whether what was answered outlasts whatever happens to a server: each writes it to its disk before it answers, and
    /// none may take over from another.
    pub(in crate::redis) fn is_lasting(&self) -> bool {
        let is_lasting =
            |shard: &Arc<topology::Shard>| shard.server().live().is_some_and(|live| live.facts().is_synced);
        self.engine.is_alone && self.engine.dispatcher.topology.shards().iter().all(is_lasting)
    }

    /// How it stands with the engine.
    pub(in crate::redis) fn status(&self) -> EngineStatus {
        let mut status = EngineStatus::new("redis", self.engine.address.clone());
        if self.is_cluster() {
            status.lacks.push("a cluster has no wildcard subscriptions".to_owned());
        }
        for shard in self.engine.dispatcher.topology.shards() {
            let away = match shard.server().state() {
                State::Here(live) => {
                    let facts = live.facts();
                    status.version = status.version.or_else(|| Some(facts.version.clone()));
                    for lack in &facts.lacks {
                        if !status.lacks.contains(lack) {
                            status.lacks.push(lack.clone());
                        }
                    }
                    shard.subscriber().away().map(|(since, _)| since.elapsed())
                }
                State::Away { since, .. } => Some(since.elapsed()),
            };
            status.away = status.away.max(away);
        }
        status
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.link.unfollow(&self.topic, &self.ticket));
    }
}

async fn answered(answer: oneshot::Receiver<Result<Value, LinkError>>) -> Result<Value, LinkError> {
    answer.await.unwrap_or_else(|_| Err(LinkError::Unknown("the connection was ended".to_owned())))
}

/// Resolves when a wish is so, or is not.
type Told = oneshot::Receiver<Result<(), LinkError>>;

fn noted(note: impl FnOnce(book::Waiter)) -> Told {
    let (waiter, told) = oneshot::channel();
    note(waiter);
    told
}

async fn all(waiting: Vec<Told>) -> Result<(), LinkError> {
    for told in waiting {
        told.await.unwrap_or_else(|_| Err(LinkError::Away("the connection was ended".to_owned())))?;
    }
    Ok(())
}

/// What all names of a database begin with. What is published reaches the followers of all databases: so another one has
/// other names. No prefix has a slash.
fn root(prefix: &str, database: i64) -> String {
    match database {
        0 => format!("{prefix}:"),
        other => format!("{prefix}/{other}:"),
    }
}

/// A name of keys may not have braces or anything else that means something.
fn checked(name: &str) -> Result<(), RedisError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(RedisError::Name(name.to_owned()))
}
