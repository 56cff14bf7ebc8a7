//! What this node follows, as its broker sees it.
//!
//! In: wishes, and how long channels keep things. Out: the channel of a topic, whether a pattern covers it, and whose keys
//! are to be prolonged: a log that somebody follows is not forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use tokensocket_protocol::{Channel, Pattern};

use super::lasting::Lasting;
use crate::timestamp::Timestamp;

/// Channels by their topics, and patterns by their globs.
#[derive(Default)]
pub(super) struct Followed {
    channels: HashMap<Arc<str>, One>,
    /// Several patterns may have one glob.
    patterns: HashMap<Arc<str>, Vec<Pattern>>,
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

    pub(super) fn globs(&self) -> Vec<Arc<str>> {
        self.patterns.keys().cloned().collect()
    }

    pub(super) fn add_pattern(&mut self, glob: &Arc<str>, pattern: &Pattern) {
        let patterns = self.patterns.entry(Arc::clone(glob)).or_default();
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }

    /// Whether nobody needs the glob any more.
    pub(super) fn remove_pattern(&mut self, glob: &str, pattern: &Pattern) -> bool {
        let Some(patterns) = self.patterns.get_mut(glob) else { return false };
        patterns.retain(|other| other != pattern);
        let is_last = patterns.is_empty();
        if is_last {
            self.patterns.remove(glob);
        }
        is_last
    }

    pub(super) fn covers(&self, glob: &str, channel: &Channel) -> bool {
        self.patterns
            .get(glob)
            .is_some_and(|patterns| patterns.iter().any(|pattern| pattern.covers(channel.as_str())))
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
