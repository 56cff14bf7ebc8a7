//! Publications between nodes by subjects of NATS, and what channels keep by streams of JetStream.
//!
//! ```text
//! without history   publish ──▶ outbox ──▶ ts.NAMESPACE.p.CHANNEL ─────────────────┐
//! with history      publish ──▶ histories ──▶ ts.NAMESPACE.h0.CHANNEL ──▶ stream   │
//!                                                    publishes again, once kept ──▶├──▶ receiver ──▶ handler
//! control, tell     ──▶ outbox ──▶ ts.NAMESPACE.n.all, ts.NAMESPACE.n.NODE ────────┘
//! ```
//!
//! In: what [`Broker`] asks. Out: what all nodes say on what this node follows. Knows no socket.

mod backlog;
mod channel;
mod following;
mod frame;
mod histories;
mod keys;
mod leaders;
mod once;
mod order;
mod outbox;
mod pending;
mod reading;
mod receiver;
mod stream;
mod writing;

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_protocol::{Channel, Pattern, RawJson};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Nats;
use super::error::LinkError;
use super::link::Link;
use super::names::{self, Names};
use crate::broker::{Broker, BrokerError, BrokerHandler, Control, Gap, Key, Publish, Published};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;
use following::{Following, Topic};
use frame::{AROUND_BATCH, Entry, EntryKey, ToNodes};
use histories::{Histories, Reading, Waiting};
use keys::Keys;
use once::Once;
use outbox::{Outbox, Said};
use pending::{Pending, Place};
use receiver::Receiver;

/// The subject of all nodes, and of this one.
const ALL: Topic = Topic::Node("all");
const OWN: Topic = Topic::Node("own");
/// To one who gives a key beyond those that may be remembered.
const NO_ROOM_FOR_KEYS: BrokerError = BrokerError::TooMany("idempotency keys");
/// Not more often than this is it said that something may have been missed.
const GAPS: Duration = Duration::from_secs(1);

/// The broker of a namespace of [`Nats`].
///
/// # Order
///
/// Publications of a channel with history reach all nodes in the order of their offsets. Of a channel without, those of
/// one node reach all nodes in the order in which it published them; where two nodes publish at the same moment, the
/// two may arrive in either order, and not the same at each node: NATS has no order between connections. Give such a
/// channel a history if that matters.
///
/// # What is kept, and where
///
/// A namespace has a stream of histories (`ts_NAMESPACE_history-0`), which keeps for all channels as much as the channel
/// that keeps most; what one channel says beyond that is exact when it is read. The stream is made at the first use and
/// grows when somebody says more, and never shrinks by itself. A publication is kept before anybody gets it. A message
/// of the stream has all publications of a channel that waited while the one before was under way.
///
/// # Keys
///
/// On a channel with history a key is kept with its publication. On one without, the key is taken before the publication
/// is sent, and noted as done when NATS has it. Of one whose outcome is not known nobody can find out what became of it:
/// who repeats it is told [`StoreError::Timeout`] until the key is over.
///
/// # What is lost
///
/// What came and was not handed on yet is at most 64 MiB of each broker, and of what is for nodes as much again. What comes
/// beyond is dropped, and told as a gap.
///
/// In a cluster of NATS, who follows a channel at one server may miss what is published at another in the first
/// milliseconds; on a channel with history that closes by positions.
#[derive(Clone)]
pub struct NatsBroker(Arc<Shared>);

/// Ends all tasks with the last handle.
struct Shared {
    link: Arc<Link>,
    names: Names,
    /// A random name, by which copies and own announcements are known.
    origin: u64,
    pending: Pending,
    outbox: Arc<Outbox>,
    following: Arc<Following>,
    histories: Arc<Histories>,
    keys: Arc<Keys>,
    handler: OnceLock<Weak<dyn BrokerHandler>>,
    runtime: Handle,
    end: CancellationToken,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl NatsBroker {
    /// The broker of this namespace. One for each server.
    pub fn new(nats: &Nats) -> Self {
        let (link, names) = (Arc::clone(&nats.link), nats.names.clone());
        let origin = rand::random();
        let end = CancellationToken::new();
        let runtime = link.runtime.clone();
        let pending = Pending::new(&link.options);
        let keys = Arc::new(Keys::new(&link, &names));
        let histories = Arc::new(Histories::new(
            &link,
            &names,
            Arc::clone(&keys),
            origin,
            pending.waits(),
            (runtime.clone(), end.clone()),
        ));
        Self(Arc::new(Shared {
            link,
            names,
            origin,
            pending,
            outbox: Arc::default(),
            following: Arc::default(),
            histories,
            keys,
            handler: OnceLock::new(),
            runtime,
            end,
        }))
    }
}

impl Shared {
    fn live(&self, channel: &Channel) -> String {
        self.names.subject(format_args!("p.{}", names::channel_tokens(channel)))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.runtime.spawn(async move { end.run_until_cancelled(work).await });
    }

    /// Says something that is not kept, and resolves when the server has it.
    fn say(&self, subject: String, said: Said) -> BoxFuture<'static, Result<(), BrokerError>> {
        match self.begin(&said) {
            Ok(place) => self.say_from(place, subject, said).boxed(),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    /// Takes a place for something that is to be said.
    fn begin(&self, said: &Said) -> Result<Place, BrokerError> {
        let size = said.len();
        let limit = self.link.client().max_payload().saturating_sub(AROUND_BATCH);
        if size > limit {
            return Err(StoreError::TooLarge { bytes: size, limit }.into());
        }
        self.pending.begin(size, self.link.is_there())
    }

    fn say_from(
        &self,
        place: Place,
        subject: String,
        said: Said,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send + use<> {
        self.outbox.say(subject, said, place).map(|outcome| outcome.map_err(unkept))
    }

    /// A publication that nothing is kept of.
    fn publish_plain(
        self: &Arc<Self>,
        publish: Publish,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        let Publish { channel, message, key, at, .. } = publish;
        let Some(key) = key else {
            let saying = self.say(self.live(&channel), Said::Publication(message));
            return saying.map(|said| said.map(|()| Published::default())).boxed();
        };
        if let Err(error) = self.link.jetstream() {
            return ready(Err(error.into())).boxed();
        }
        let said = Said::Publication(message);
        // Before its key is taken: one that is refused is to be published when it is tried again.
        let place = match self.begin(&said) {
            Ok(place) => place,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let (told, outcome) = oneshot::channel();
        let once = Once {
            broker: Arc::downgrade(self),
            link: Arc::clone(&self.link),
            keys: Arc::clone(&self.keys),
            outbox: Arc::clone(&self.outbox),
            subject: self.live(&channel),
            key: entry_key(&key, at),
            channel,
            at,
            waits: self.pending.waits(),
        };
        // Not to be left half done by a caller who gives up.
        self.spawn(once.publish(said, place, told));
        outcome.map(|outcome| outcome.unwrap_or(Err(LinkError::Unknown.into()))).boxed()
    }

    /// A publication that is kept.
    fn publish_kept(
        self: &Arc<Self>,
        publish: Publish,
        history: History,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        let Publish { channel, message, key, at, .. } = publish;
        let window = key.as_ref().map_or(Duration::ZERO, |key| key.window);
        let entry = Entry { at, key: key.map(|key| entry_key(&key, at)), message };
        let (size, bytes) = (entry.size(), entry.message.as_bytes().len());
        let limit = self.link.client().max_payload().saturating_sub(AROUND_BATCH + 512);
        if size > limit {
            return ready(Err(StoreError::TooLarge { bytes, limit }.into())).boxed();
        }
        if let Err(error) = self.link.jetstream() {
            return ready(Err(error.into())).boxed();
        }
        let all = Arc::clone(self);
        // In its line when it is first polled.
        async move {
            let place = all.pending.begin(size, all.link.is_there())?;
            let (told, outcome) = oneshot::channel();
            let until = Instant::now() + all.link.options.timeout;
            all.histories.publish(&channel, Waiting { entry, history, window, until, told, place });
            drop(all);
            outcome.await.unwrap_or(Err(LinkError::Unknown.into()))
        }
        .boxed()
    }

    fn tell_nodes(&self, tokens: String, frame: bytes::Bytes) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.say(self.names.subject(tokens), Said::Frame(frame))
    }

    /// To every node, and so to this one: it has to follow that first.
    fn tell_all(self: &Arc<Self>, frame: bytes::Bytes) -> BoxFuture<'static, Result<(), BrokerError>> {
        let mut following = self.following.follow(ALL);
        if let Some(Ok(())) = (&mut following).now_or_never() {
            return self.tell_nodes("n.all".to_owned(), frame);
        }
        let all = Arc::clone(self);
        async move {
            following.await?;
            all.tell_nodes("n.all".to_owned(), frame).await
        }
        .boxed()
    }

    fn wish(&self, topic: Topic, is_wished: bool) -> BoxFuture<'static, Result<(), BrokerError>> {
        let wish = if is_wished { self.following.follow(topic) } else { self.following.leave(topic) };
        wish.map(|outcome| outcome.map_err(BrokerError::from)).boxed()
    }
}

fn entry_key(key: &Key, at: Timestamp) -> EntryKey {
    EntryKey { text: key.text.as_ref().to_owned(), end: at.after(key.window) }
}

/// What is not known of what was not to be kept.
fn unkept(error: LinkError) -> BrokerError {
    match error {
        LinkError::Unknown => BrokerError::Store(StoreError::Timeout),
        error => error.into(),
    }
}

/// Says that something may have been missed, when that is so and what is followed is followed again.
async fn watch(link: Arc<Link>, following: Arc<Following>, handler: Weak<dyn BrokerHandler>) {
    let mut standing = link.standing();
    let mut seen = *standing.borrow_and_update();
    loop {
        let is_news = |now: &super::link::Standing| {
            now.is_there && (now.connects != seen.connects || now.overruns != seen.overruns)
        };
        let Ok(now) = standing.wait_for(is_news).await.map(|now| *now) else { return };
        following.retry();
        if link.settled().await.is_err() {
            // Lost again, or late: told when it is back.
            tokio::time::sleep(GAPS / 10).await;
            continue;
        }
        if now.overruns != seen.overruns {
            tracing::warn!("publications came faster than they were taken; some are lost here");
        }
        seen = now;
        let Some(handler) = handler.upgrade() else { return };
        handler.handle_gap(Gap::All);
        drop(handler);
        tokio::time::sleep(GAPS).await;
    }
}

impl std::fmt::Debug for NatsBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsBroker")
    }
}

impl Broker for NatsBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let all = &self.0;
        all.handler
            .set(Weak::clone(&handler))
            .map_err(|_| BrokerError::Unavailable("a broker serves one server".to_owned()))?;
        let (feeds, incoming) = mpsc::unbounded_channel();
        let names = all.names.clone();
        let subject = move |topic: &Topic| match topic {
            Topic::Channel(channel) => names.subject(format_args!("p.{}", names::channel_tokens(channel))),
            Topic::Pattern(pattern) => names.subject(format_args!("p.{}", names::pattern_tokens(pattern))),
            Topic::Node("all") => names.subject("n.all"),
            Topic::Node(_) => names.subject(format_args!("n.{node}")),
        };
        let receiver = Receiver {
            handler: Weak::clone(&handler),
            histories: Arc::downgrade(&all.histories),
            following: Arc::clone(&all.following),
            origin: all.origin,
            live: format!("{}.", all.names.subject("p")),
        };
        all.spawn(receiver.run(incoming));
        all.spawn(Arc::clone(&all.following).run(Arc::clone(&all.link), subject, feeds));
        all.spawn(Arc::clone(&all.outbox).run(Arc::clone(&all.link), all.origin, all.pending.waits()));
        all.spawn(leaders::watch(
            Arc::clone(&all.link),
            all.names.clone(),
            Arc::downgrade(&all.histories),
            Weak::clone(&handler),
        ));
        all.spawn(watch(Arc::clone(&all.link), Arc::clone(&all.following), handler));
        for topic in [ALL, OWN] {
            // Done when the connection allows it; who tells all nodes waits for that.
            drop(all.following.follow(topic));
        }
        Ok(())
    }

    fn publish(&self, mut publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        match publish.history.take() {
            None => self.0.publish_plain(publish),
            Some(history) => self.0.publish_kept(publish, history),
        }
    }

    fn holds(&self) -> bool {
        self.0.pending.waits()
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        if let Err(error) = self.0.link.jetstream() {
            return ready(Err(error.into())).boxed();
        }
        if !self.0.link.is_there() {
            return ready(Err(LinkError::Away.into())).boxed();
        }
        let (told, outcome) = oneshot::channel();
        self.0.histories.read(channel, Reading { query, history: history.clone(), now, told });
        outcome.map(|outcome| outcome.unwrap_or(Err(LinkError::Unknown.into()))).boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.tell_all(ToNodes::broadcast(&message))
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        // What nodes say of themselves, and ask, is out of date when NATS is back.
        if matches!(control, Control::Node(_)) && !self.0.link.is_there() {
            return ready(Err(LinkError::Away.into())).boxed();
        }
        self.0.tell_all(ToNodes::control(&control.to_json()))
    }

    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.tell_nodes(format!("n.{node}"), ToNodes::control(&control.to_json()))
    }

    fn announce(&self, channel: &Channel, announcement: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.say(self.0.live(channel), Said::Announcement(announcement))
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.wish(Topic::Channel(channel.clone()), true)
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.wish(Topic::Channel(channel.clone()), false)
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.wish(Topic::Pattern(pattern.clone()), true)
    }

    fn unsubscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.wish(Topic::Pattern(pattern.clone()), false)
    }

    fn expire(&self, _: Timestamp) {
        if let Some(handler) = self.0.handler.get() {
            self.0.histories.expire(handler);
        }
    }
}
