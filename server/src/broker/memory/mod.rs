//! The broker of a single node: what is published comes straight back.
//!
//! The smallest broker there is; copy it to write another.

mod logs;

use std::future::ready;
use std::sync::{OnceLock, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern, RawJson};

use super::{Broker, BrokerError, BrokerHandler, Control, Key, Publication, Publish, Published};
use crate::history::keys::{KeyName, Keys, MAX_KEYS};
use crate::history::{History, HistoryPage, HistoryQuery, Kept};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;
use logs::Logs;

/// Hands every publication to this node's own sockets, before `publish` returns. What channels keep is in memory,
/// and ends with the process: after a restart every channel has another epoch.
pub struct MemoryBroker {
    handler: OnceLock<Weak<dyn BrokerHandler>>,
    logs: Logs,
    keys: Mutex<Keys>,
}

impl MemoryBroker {
    /// Keeps nothing for channels without history, and 100,000 keys of publications.
    pub fn new() -> Self {
        Self {
            handler: OnceLock::new(),
            logs: Logs::new(100_000, 256 << 20),
            keys: Mutex::new(Keys::new(MAX_KEYS)),
        }
    }

    /// How many channels may have a history at a time. A publication or a follower that would begin one more is
    /// refused. Default 100,000.
    #[must_use]
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.logs.most_channels = channels;
        self
    }

    /// How many bytes of messages all channels keep together. When that is reached, a channel that is published to
    /// keeps fewer of its own. Default 256 MiB.
    #[must_use]
    pub fn max_history_bytes(mut self, bytes: usize) -> Self {
        self.logs.most_bytes = bytes;
        self
    }

    fn deliver(&self, to: impl FnOnce(&dyn BrokerHandler)) {
        if let Some(handler) = self.handler.get().and_then(Weak::upgrade) {
            to(&*handler);
        }
    }

    /// A publication that nothing is kept of, unless it has a key.
    fn publish_unkept(&self, publish: Publish) -> Result<Published, BrokerError> {
        let Publish { channel, message, key, at, .. } = publish;
        if let Some(key) = key {
            let mut keys = self.keys.lock();
            if let Some(position) = keys.find(&named(&channel, &key), at) {
                return Ok(Published { position, duplicate: true });
            }
            keys.remember(&channel, &key, None, at).map_err(|_| BrokerError::TooMany("keys"))?;
        }
        let publication = Publication { channel, message, position: None };
        self.deliver(|handler| handler.handle_publication(&publication));
        Ok(Published::default())
    }

    /// Looks for the key, appends and hands on, all while the channel is held: that is the order for everybody.
    fn publish_kept(&self, publish: Publish, history: &History) -> Result<Published, BrokerError> {
        let Publish { channel, message, key, at, .. } = publish;
        self.logs.with(&channel, history, at, |log| {
            let mut keys = key.as_ref().map(|_| self.keys.lock());
            if let (Some(key), Some(keys)) = (&key, &mut keys) {
                if let Some(position) = keys.find(&named(&channel, key), at) {
                    return Ok(Published { position, duplicate: true });
                }
                if !keys.has_room() {
                    keys.expire(at);
                }
                if !keys.has_room() {
                    return Err(BrokerError::TooMany("keys"));
                }
            }
            let bytes = message.as_bytes().len();
            let room = history.bytes.min(self.logs.room(log.bytes()));
            log.append(at, message.compact(), bytes, &history.clone().bytes(room));
            let position = log.position();
            if let (Some(key), Some(keys)) = (&key, &mut keys) {
                keys.remember(&channel, key, Some(position.clone()), at)
                    .map_err(|_| BrokerError::TooMany("keys"))?;
            }
            drop(keys);
            let publication =
                Publication { channel: channel.clone(), message, position: Some(position.clone()) };
            self.deliver(|handler| handler.handle_publication(&publication));
            Ok(Published { position: Some(position), duplicate: false })
        })?
    }

    fn read(
        &self,
        channel: &Channel,
        history: &History,
        query: &HistoryQuery,
        now: Timestamp,
    ) -> Result<HistoryPage, BrokerError> {
        self.logs.with(channel, history, now, |log| {
            log.touch(now, history);
            let selection = log.select(query, now);
            let kept = |offset| {
                log.get(offset).map(|item| Kept { offset, message: item.message.clone(), at: item.at })
            };
            HistoryPage {
                publications: selection.offsets().filter_map(kept).collect(),
                position: selection.position,
                gap: selection.gap,
                more: selection.more,
            }
        })
    }
}

fn named(channel: &Channel, key: &Key) -> KeyName {
    KeyName { channel: channel.clone(), text: key.text.clone() }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryBroker")
    }
}

impl Broker for MemoryBroker {
    fn has_others(&self) -> bool {
        false
    }

    fn start(&self, _: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.handler
            .set(handler)
            .map_err(|_| BrokerError::Unavailable("a broker serves one server".to_owned()))
    }

    fn publish(&self, mut publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let published = match publish.history.take() {
            None => self.publish_unkept(publish),
            Some(history) => self.publish_kept(publish, &history),
        };
        ready(published).boxed()
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        ready(self.read(channel, history, &query, now)).boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_broadcast(&message));
        ready(Ok(())).boxed()
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_control(control));
        ready(Ok(())).boxed()
    }

    fn subscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn subscribe_pattern(&self, _: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn expire(&self, now: Timestamp) {
        self.keys.lock().expire(now);
        let handler = self.handler.get().and_then(Weak::upgrade);
        self.logs.expire(now, |channel| handler.as_ref().is_some_and(|handler| handler.follows(channel)));
    }
}
