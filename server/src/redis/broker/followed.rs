//! The channels that this node follows, as its broker sees them.
//!
//! In: wishes, and how long channels keep things. Out: the channel of a topic, and whose keys are to be prolonged: a log
//! that somebody follows is not forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use tokensocket_protocol::Channel;

use super::lasting::Lasting;
use crate::timestamp::Timestamp;

/// Channels by their topics.
#[derive(Default)]
pub(super) struct Followed {
    channels: HashMap<Arc<str>, One>,
}

struct One {
    channel: Channel,
    /// Once it is known that it has a history: for how long it is kept, and when that was last said.
    lasting: Option<(Lasting, Timestamp)>,
}

impl Followed {
    pub(super) fn add(&mut self, topic: &Arc<str>, channel: &Channel) {
        self.channels
            .entry(Arc::clone(topic))
            .or_insert_with(|| One { channel: channel.clone(), lasting: None });
    }

    pub(super) fn remove(&mut self, topic: &str) {
        self.channels.remove(topic);
    }

    pub(super) fn channel(&self, topic: &str) -> Option<Channel> {
        self.channels.get(topic).map(|one| one.channel.clone())
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.channels.keys().cloned().collect()
    }

    /// Its keys were prolonged just now.
    pub(super) fn touched(&mut self, topic: &str, lasting: Lasting, now: Timestamp) {
        if let Some(one) = self.channels.get_mut(topic) {
            one.lasting = Some((lasting, now));
        }
    }

    /// The channels whose keys are to be prolonged, and for how long: those of which a third of the time has passed.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<(Channel, Lasting)> {
        let mut due = Vec::new();
        for one in self.channels.values_mut() {
            let Some((lasting, touched)) = &mut one.lasting else { continue };
            if u128::from(lasting.empty) <= 3 * touched.until(now).as_millis() {
                *touched = now;
                due.push((one.channel.clone(), *lasting));
            }
        }
        due
    }
}
