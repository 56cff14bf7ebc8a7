//! Idempotency keys: which publications were accepted a short while ago.
//!
//! In: keys, where they were used, what became of the publication. Out: whether a key is known. Bounded: a full
//! table refuses, since forgetting one early would publish twice.

use std::collections::btree_map::{BTreeMap, Entry as Slot};
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use tokensocket_protocol::{Channel, Position};

use crate::broker::Key;
use crate::timestamp::Timestamp;

/// How many keys a broker remembers.
pub const MAX_KEYS: usize = 100_000;

/// A key of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// Where it was used.
    pub channel: Channel,
    /// The key.
    pub text: Arc<str>,
}

/// The keys of all channels.
#[derive(Debug)]
pub struct Keys {
    known: HashMap<KeyName, Known>,
    /// By the moment at which each is forgotten, and a number of its own.
    ends: BTreeMap<(Timestamp, u64), KeyName>,
    next: u64,
    most: usize,
}

#[derive(Debug)]
struct Known {
    position: Option<Position>,
    end: (Timestamp, u64),
}

/// There are as many keys as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Keys {
    /// Remembers at most so many.
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::new(), ends: BTreeMap::new(), next: 0, most }
    }

    /// Where the publication of this key stands, if the key is known: `Some(None)` on a channel without history.
    pub fn find(&self, name: &KeyName, now: Timestamp) -> Option<Option<Position>> {
        self.known.get(name).filter(|known| known.end.0 > now).map(|known| known.position.clone())
    }

    /// Whether another key can be remembered without forgetting any.
    pub fn has_room(&self) -> bool {
        self.known.len() < self.most
    }

    /// Remembers a key until its window ends, and where its publication stands. Returns when that is.
    ///
    /// Where there is no room, those whose time is over are forgotten without a word: whoever keeps keys elsewhere,
    /// too, looks for room first, and [expires](Self::expire) them himself.
    pub fn remember(
        &mut self,
        channel: &Channel,
        key: &Key,
        position: Option<Position>,
        now: Timestamp,
    ) -> Result<Timestamp, Full> {
        if !self.has_room() {
            self.expire(now);
            if !self.has_room() {
                return Err(Full);
            }
        }
        let end = now.after(key.window);
        let name = KeyName { channel: channel.clone(), text: Arc::clone(&key.text) };
        self.restore(name, position, end);
        Ok(end)
    }

    /// Puts a key where it was, from what a store kept.
    pub fn restore(&mut self, name: KeyName, position: Option<Position>, end: Timestamp) {
        let end = (end, self.next);
        self.next += 1;
        let known = Known { position, end };
        match self.known.entry(name.clone()) {
            Entry::Vacant(vacant) => drop(vacant.insert(known)),
            Entry::Occupied(mut occupied) => {
                let before = occupied.insert(known);
                self.ends.remove(&before.end);
            }
        }
        if let Slot::Vacant(vacant) = self.ends.entry(end) {
            vacant.insert(name);
        }
    }

    /// Forgets the keys whose time is over, and returns them.
    pub fn expire(&mut self, now: Timestamp) -> Vec<KeyName> {
        let mut over = Vec::new();
        while let Some(first) = self.ends.first_entry().filter(|first| first.key().0 <= now) {
            let name = first.remove();
            self.known.remove(&name);
            over.push(name);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokensocket_protocol::Epoch;

    use super::*;

    fn name(text: &str) -> KeyName {
        let channel = Channel::new("c").unwrap_or_else(|_| unreachable!("this name is fine"));
        KeyName { channel, text: text.into() }
    }

    fn key(text: &str, seconds: u64) -> Key {
        Key { text: text.into(), window: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_key_is_known_within_its_window() {
        let mut keys = Keys::new(10);
        let position = Position { epoch: Epoch::from_random(1), offset: 3 };
        let c = name("").channel;
        assert_eq!(keys.find(&name("a"), Timestamp(0)), None);
        assert_eq!(
            keys.remember(&c, &key("a", 5), Some(position.clone()), Timestamp(0)),
            Ok(Timestamp(5000))
        );
        assert_eq!(keys.find(&name("a"), Timestamp(4999)), Some(Some(position)));
        assert_eq!(keys.find(&name("a"), Timestamp(5000)), None, "even before it is dropped");
        assert_eq!(keys.remember(&c, &key("a", 5), None, Timestamp(6000)), Ok(Timestamp(11_000)));
        assert_eq!(keys.expire(Timestamp(10_999)), [], "the end of its first use no longer counts");
        assert_eq!(keys.find(&name("a"), Timestamp(10_999)), Some(None));
        assert_eq!(keys.expire(Timestamp(11_000)), [name("a")]);
        assert!(keys.known.is_empty() && keys.ends.is_empty());
    }

    #[test]
    fn a_full_table_refuses_until_some_are_over() {
        let mut keys = Keys::new(2);
        let c = name("").channel;
        assert!(keys.remember(&c, &key("a", 5), None, Timestamp(0)).is_ok());
        assert!(keys.remember(&c, &key("b", 9), None, Timestamp(0)).is_ok());
        assert_eq!(keys.remember(&c, &key("c", 5), None, Timestamp(4999)), Err(Full));
        assert!(keys.remember(&c, &key("c", 5), None, Timestamp(5000)).is_ok());
        assert_eq!(keys.find(&name("b"), Timestamp(5000)), Some(None));
    }

    #[test]
    fn looking_for_room_forgets_nothing() {
        let mut keys = Keys::new(1);
        assert!(keys.remember(&name("").channel, &key("a", 5), None, Timestamp(0)).is_ok());
        assert!(!keys.has_room());
        assert_eq!(keys.expire(Timestamp(9000)), [name("a")], "a store deletes it where it is kept, too");
        assert!(keys.has_room());
    }
}
