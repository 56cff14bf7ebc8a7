//! A broker whose publications are noted: what is accepted, and in which order.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, History, HistoryPage, HistoryQuery, Pattern,
    Publication, Publish, Published, RawJson, Timestamp,
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
}

impl<B> Watched<B> {
    pub(super) fn new(broker: B, world: &Arc<World>, life: &Life) -> Self {
        let watch = Watch { world: Arc::downgrade(world), life: life.clone(), node: OnceLock::new() };
        Self { broker, handler: Arc::new(watch) }
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
    fn start(&self, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        // A broker is started once.
        let _ = self.handler.node.set(handler);
        let watch: Arc<dyn BrokerHandler> = Arc::clone(&self.handler) as Arc<dyn BrokerHandler>;
        self.broker.start(Arc::downgrade(&watch))
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
