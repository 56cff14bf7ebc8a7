//! What comes from Redis, on its way to the node.
//!
//! In: messages of topics, in their order. Out: publications, announcements, control messages and gaps, in the same order.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::followed::Followed;
use super::frame::Frame;
use super::names;
use super::patterns::Patterns;
use crate::broker::{BrokerHandler, Gap, Publication};
use crate::node_id::NodeId;
use crate::redis::link::{Follower, Topic};

/// The node's side of its topics.
#[derive(Default)]
pub(super) struct Incoming {
    node: OnceLock<Node>,
    /// Held while the link is told, so that it hears wishes in the order in which they are noted here.
    followed: Mutex<Followed>,
    /// A lock of its own: the link asks for it while it holds its own, for which whoever holds `followed` may wait.
    patterns: Mutex<Patterns>,
}

struct Node {
    id: NodeId,
    handler: Weak<dyn BrokerHandler>,
    /// All topics are on one server, so that what is missed is missed on all.
    is_one: bool,
}

impl Incoming {
    pub(super) fn begin(&self, id: NodeId, handler: Weak<dyn BrokerHandler>, is_one: bool) -> Result<(), ()> {
        self.node.set(Node { id, handler, is_one }).map_err(|_| ())
    }

    pub(super) fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock()
    }

    /// For one look or one change: never held while the link is called.
    pub(super) fn patterns(&self) -> MutexGuard<'_, Patterns> {
        self.patterns.lock()
    }
}

impl Follower for Incoming {
    fn receive(&self, messages: &mut Vec<(Arc<str>, Bytes)>) {
        let Some(node) = self.node.get() else { return };
        let Some(handler) = node.handler.upgrade() else { return };
        let mut publications = Vec::new();
        for (topic, bytes) in messages.drain(..) {
            let Some(frame) = Frame::read(&bytes) else {
                tracing::debug!(
                    topic = &*topic,
                    "a message that no node of this version wrote was passed over"
                );
                continue;
            };
            if !matches!(frame, Frame::Publications(_)) && !publications.is_empty() {
                handler.handle_publications(&publications);
                publications.clear();
            }
            let channel = || self.followed.lock().channel(&topic).or_else(|| names::channel(&topic));
            match frame {
                Frame::Publications(all) => {
                    let Some(channel) = channel() else { continue };
                    publications.extend(all.into_iter().map(|(message, position)| Publication {
                        channel: channel.clone(),
                        message,
                        position,
                    }));
                }
                Frame::Announcement(of, announcement) => {
                    if let Some(channel) = channel().filter(|_| of != node.id) {
                        handler.handle_announcement(&channel, &announcement);
                    }
                }
                Frame::Broadcast(message) => handler.handle_broadcast(&message),
                Frame::Control(control) => handler.handle_control(control),
            }
        }
        if !publications.is_empty() {
            handler.handle_publications(&publications);
        }
    }

    fn gap(&self, topics: Vec<Topic>) {
        let Some(node) = self.node.get() else { return };
        let Some(handler) = node.handler.upgrade() else { return };
        if node.is_one || topics.iter().any(|topic| matches!(topic, Topic::Glob(_))) {
            handler.handle_gap(Gap::All);
            return;
        }
        let channels: Vec<_> = {
            let followed = self.followed.lock();
            topics.iter().filter_map(|topic| followed.channel(topic.text())).collect()
        };
        if !channels.is_empty() {
            handler.handle_gap(Gap::Channels(channels));
        }
    }

    fn covers(&self, glob: &str, topic: &str) -> bool {
        names::channel(topic).is_some_and(|channel| self.patterns.lock().covers(glob, &channel))
    }
}
