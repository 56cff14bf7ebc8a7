//! The patterns that this node follows, by the globs by which Redis finds what they cover.
//!
//! In: wishes. Out: whether a topic that came by a glob was meant. Asked while the link holds its own locks, so it is
//! never locked while the link is called.

use std::collections::HashMap;
use std::sync::Arc;

use tokensocket_protocol::{Channel, Pattern};

/// Patterns by their globs; several may have one glob.
#[derive(Default)]
pub(super) struct Patterns {
    by_glob: HashMap<Arc<str>, Vec<Pattern>>,
}

impl Patterns {
    pub(super) fn add(&mut self, glob: &Arc<str>, pattern: &Pattern) {
        let patterns = self.by_glob.entry(Arc::clone(glob)).or_default();
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }

    /// Whether nobody needs the glob any more.
    pub(super) fn remove(&mut self, glob: &str, pattern: &Pattern) -> bool {
        let Some(patterns) = self.by_glob.get_mut(glob) else { return false };
        patterns.retain(|other| other != pattern);
        let is_last = patterns.is_empty();
        if is_last {
            self.by_glob.remove(glob);
        }
        is_last
    }

    pub(super) fn globs(&self) -> Vec<Arc<str>> {
        self.by_glob.keys().cloned().collect()
    }

    pub(super) fn covers(&self, glob: &str, channel: &Channel) -> bool {
        self.by_glob
            .get(glob)
            .is_some_and(|patterns| patterns.iter().any(|pattern| pattern.covers(channel.as_str())))
    }
}
