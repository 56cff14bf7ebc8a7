//! A broker whose publications are noted: what is accepted, and in which order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Gap, History, HistoryPage, HistoryQuery, NodeId,
    Pattern, Publication, Publish, Published, RawJson, Timestamp,
};

use super::Life;
use crate::world::World;

/// Any broker, watched.
pub(super) struct Watched<B> {
    broker: B,
    handler: Arc<Watch>,
}

struct Watch {
    world: Weak<World>,
    life: Life,
    node: OnceLock<Weak<dyn BrokerHandler>>,
    /// What is kept does not come to the node, as when its engine cannot be reached.
    is_away: AtomicBool,
}

/// What a node hears of its broker.
#[derive(Clone)]
pub(crate) struct Hearing(Arc<Watch>);

impl Hearing {
    /// What is kept does not come any more.
    pub(crate) fn lose(&self) {
        self.0.is_away.store(true, Ordering::Relaxed);
    }

    /// It comes again. `tells`: the node hears that it may have missed something.
    pub(crate) fn find(&self, tells: bool) {
        let was_away = self.0.is_away.swap(false, Ordering::Relaxed);
        if (was_away && tells)
            && let Some(node) = self.0.node()
        {
            node.handle_gap(Gap::All);
        }
    }

    /// It comes again, if it did not, and the node looks into all that it may have missed ever.
    pub(crate) fn find_all(&self) {
        self.0.is_away.store(true, Ordering::Relaxed);
        self.find(true);
    }
}

impl<B> Watched<B> {
    pub(super) fn new(broker: B, world: &Arc<World>, life: &Life) -> Self {
        let watch = Watch {
            world: Arc::downgrade(world),
            life: life.clone(),
            node: OnceLock::new(),
            is_away: AtomicBool::new(false),
        };
        Self { broker, handler: Arc::new(watch) }
    }

    pub(super) fn hearing(&self) -> Hearing {
        Hearing(Arc::clone(&self.handler))
    }
}

impl Watch {
    fn node(&self) -> Option<Arc<dyn BrokerHandler>> {
        self.node.get()?.upgrade()
    }

    fn world(&self) -> Option<Arc<World>> {
        if self.life.is_over() { None } else { self.world.upgrade() }
    }
}

impl BrokerHandler for Watch {
    fn handle_publication(&self, publication: &Publication) {
        if let Some(world) = self.world() {
            let Publication { channel, message, position } = publication;
            world.trace.note(format_args!("accepted {message:?} on {channel} at {position:?}"));
            world.ledger.lock().accepted(channel.as_str(), message);
        }
        if publication.position.is_some() && self.is_away.load(Ordering::Relaxed) {
            return;
        }
        if let Some(node) = self.node() {
            node.handle_publication(publication);
        }
    }

    fn handle_broadcast(&self, message: &RawJson) {
        if let Some(world) = self.world() {
            for channel in &world.channels {
                world.ledger.lock().broadcast(channel.as_str(), message);
            }
        }
        if let Some(node) = self.node() {
            node.handle_broadcast(message);
        }
    }

    fn handle_control(&self, control: Control) {
        if let Some(node) = self.node() {
            node.handle_control(control);
        }
    }

    fn follows(&self, channel: &Channel) -> bool {
        self.node().is_some_and(|node| node.follows(channel))
    }
}

impl<B: Broker> Broker for Watched<B> {
    fn has_others(&self) -> bool {
        self.broker.has_others()
    }

    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        // A broker is started once.
        let _ = self.handler.node.set(handler);
        let watch: Arc<dyn BrokerHandler> = Arc::clone(&self.handler) as Arc<dyn BrokerHandler>;
        self.broker.start(node, Arc::downgrade(&watch))
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.broker.publish(publish)
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        self.broker.history(channel, history, query, now)
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.broadcast(message)
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.control(control)
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.broker.subscribe(channel)
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.broker.unsubscribe(channel)
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.broker.subscribe_pattern(pattern)
    }

    fn unsubscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.broker.unsubscribe_pattern(pattern)
    }

    fn expire(&self, now: Timestamp) {
        self.broker.expire(now);
    }
}
