//! The broker of a single node: what is published comes straight back.
//!
//! The smallest broker there is; copy it to write another.

use std::future::ready;
use std::sync::{OnceLock, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::{Channel, RawJson};

use super::{Broker, BrokerError, BrokerHandler, Control, Publication, Publish, Published};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::timestamp::Timestamp;

/// Hands every publication to this node's own sockets, before `publish` returns.
#[derive(Default)]
pub struct MemoryBroker {
    handler: OnceLock<Weak<dyn BrokerHandler>>,
}

impl MemoryBroker {
    fn deliver(&self, to: impl FnOnce(&dyn BrokerHandler)) -> BoxFuture<'static, Result<(), BrokerError>> {
        if let Some(handler) = self.handler.get().and_then(Weak::upgrade) {
            to(&*handler);
        }
        ready(Ok(())).boxed()
    }
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryBroker")
    }
}

impl Broker for MemoryBroker {
    fn start(&self, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.handler
            .set(handler)
            .map_err(|_| BrokerError::Unavailable("a broker serves one server".to_owned()))
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let Publish { channel, message, .. } = publish;
        let publication = Publication { channel, message, position: None };
        self.deliver(|handler| handler.handle_publication(&publication))
            .map(|done| done.map(|()| Published::default()))
            .boxed()
    }

    fn history(
        &self,
        _: &Channel,
        _: &History,
        _: HistoryQuery,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        ready(Err(BrokerError::Unsupported("no history".to_owned()))).boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_broadcast(&message))
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_control(control))
    }

    fn subscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }
}
