//! The channels that this node follows, as its broker sees them.
//!
//! In: wishes, how long channels keep things, and when that was last said to Redis. Out: the channel of a topic, and whose
//! keys are to be prolonged: a log that somebody follows is not forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use tokensocket_protocol::Channel;

use super::lasting::Lasting;
use crate::timestamp::Timestamp;

/// A channel whose keys are to be prolonged.
pub(super) struct Due {
    pub(super) topic: Arc<str>,
    pub(super) channel: Channel,
    pub(super) lasting: Lasting,
}

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

    /// Its keys were prolonged as of then.
    pub(super) fn prolonged(&mut self, topic: &str, now: Timestamp) {
        if let Some((_, touched)) = self.channels.get_mut(topic).and_then(|one| one.lasting.as_mut()) {
            *touched = now;
        }
    }

    /// The channels whose keys are to be prolonged: those of which a third of the time has passed. This node's clock may have
    /// been put back since.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Due> {
        let due = |(topic, one): (&Arc<str>, &One)| {
            let (lasting, touched) = one.lasting?;
            let is_due = now < touched || u128::from(lasting.empty) <= 3 * touched.until(now).as_millis();
            is_due.then(|| Due { topic: Arc::clone(topic), channel: one.channel.clone(), lasting })
        };
        self.channels.iter().filter_map(due).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::History;

    #[test]
    fn what_is_due_stays_so_until_it_was_prolonged() {
        let (mut followed, topic) = (Followed::default(), Arc::from("c:{a}"));
        followed.add(&topic, &Channel::new("a").unwrap());
        let lasting = Lasting::of(&History::new(1, Duration::from_hours(24)));
        let at = |seconds: u64| Timestamp(1_000_000 + seconds * 1000);
        assert_eq!(followed.due(at(0)).len(), 0, "whether it has a history is not known");
        followed.touched(&topic, lasting, at(0));
        assert_eq!([99, 100, 101].map(|second| followed.due(at(second)).len()), [0, 1, 1]);
        followed.prolonged(&topic, at(101));
        assert_eq!([102, 200, 201].map(|second| followed.due(at(second)).len()), [0, 0, 1]);
        assert_eq!(followed.due(at(50)).len(), 1, "the clock was put back");
        followed.prolonged(&topic, at(50));
        assert_eq!([51, 150].map(|second| followed.due(at(second)).len()), [0, 1]);
    }
}
