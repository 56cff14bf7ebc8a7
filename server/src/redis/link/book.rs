//! Which topics are followed at one server, by whom, and whether they are so by now.
//!
//! In: wishes, what the server confirms and sends. Out: what to say to the server next, and who gets what. Knows no
//! connection. What the server sends comes in one order: a publication by its name, if that is followed, then by each glob
//! that finds it, with nothing in between. So what is handed on is noted until the next one comes, and each follower gets it
//! once, whoever begins or ends to follow meanwhile.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::redis::error::LinkError;

/// What a follower follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::redis) enum Topic {
    /// One topic.
    Name(Arc<str>),
    /// All topics that Redis finds by this, of which the follower sees those that it [covers](Follower::covers).
    Glob(Arc<str>),
}

impl Topic {
    pub(in crate::redis) fn text(&self) -> &Arc<str> {
        match self {
            Self::Name(text) | Self::Glob(text) => text,
        }
    }
}

/// Who follows.
pub(in crate::redis) trait Follower: Send + Sync + 'static {
    /// What came, in its order. Returns quickly.
    fn receive(&self, messages: &mut Vec<(Arc<str>, Bytes)>);

    /// On these topics something may not have come; they are followed again.
    fn gap(&self, topics: Vec<Topic>);

    /// Whether a topic is among those that were meant by a glob. Asked under the link's locks: it may wait for no lock
    /// that is held while the link is called.
    fn covers(&self, _glob: &str, _topic: &str) -> bool {
        true
    }
}

/// A follower, and its number: the same one has the same.
#[derive(Clone)]
pub(in crate::redis) struct Ticket {
    pub(super) number: u64,
    pub(super) follower: Weak<dyn Follower>,
}

/// Waits until something is so.
pub(super) type Waiter = oneshot::Sender<Result<(), LinkError>>;

/// What is handed to a follower.
pub(super) enum Handed {
    Message(Arc<str>, Bytes),
    Gap(Vec<Topic>),
}

/// One topic.
#[derive(Default)]
struct Entry {
    followers: Vec<Ticket>,
    /// The server has confirmed it, on this connection.
    is_followed: bool,
    /// It was followed before, so that something may have been missed since.
    is_missed: bool,
    /// It stands among what is to be said.
    is_due: bool,
    /// The server was told so, and has not answered yet.
    said: Option<bool>,
    waiters: Vec<Waiter>,
}

/// An entry that goes from one server to another.
pub(super) struct Wish {
    topic: Topic,
    entry: Entry,
}

impl Wish {
    pub(super) fn topic(&self) -> &str {
        self.topic.text()
    }
}

/// The publication that came last, so far.
struct Latest {
    topic: Arc<str>,
    /// By which it came besides its name.
    globs: Vec<Arc<str>>,
    /// The numbers of those who were given it.
    given: Vec<u64>,
}

/// All topics of one server.
#[derive(Default)]
pub(super) struct Book {
    entries: HashMap<Topic, Entry>,
    /// Globs that are followed.
    globs: HashSet<Arc<str>>,
    /// Known while globs are followed.
    latest: Option<Latest>,
    due: VecDeque<Topic>,
    /// Something may have been missed on one of the topics at least.
    has_missed: bool,
    /// The server refused something, which is to be tried again later.
    pub(super) has_failed: bool,
}

impl Book {
    /// Notes that somebody follows. The waiter is told when it is so; at once if it is, or was before the server was
    /// lost.
    pub(super) fn follow(&mut self, topic: &Topic, ticket: &Ticket, waiter: Waiter) {
        let entry = self.entries.entry(topic.clone()).or_default();
        let is_known = entry.followers.iter().any(|known| known.number == ticket.number);
        if !is_known {
            entry.followers.push(ticket.clone());
        }
        let is_so = entry.is_followed && !entry.is_due && entry.said.is_none();
        if is_so || is_known && entry.is_missed {
            let _ = waiter.send(Ok(()));
            return;
        }
        entry.waiters.push(waiter);
        self.make_due(topic);
    }

    /// Notes that somebody follows no more.
    pub(super) fn unfollow(&mut self, topic: &Topic, number: u64, waiter: Waiter) {
        let Some(entry) = self.entries.get_mut(topic) else {
            let _ = waiter.send(Ok(()));
            return;
        };
        entry.followers.retain(|ticket| ticket.number != number);
        if !entry.followers.is_empty() || !entry.is_followed && entry.said.is_none() {
            let _ = waiter.send(Ok(()));
            if entry.followers.is_empty() {
                // It is as was wished last, also for those who wished otherwise before.
                let waiters = self.entries.remove(topic).map(|entry| entry.waiters);
                for waiter in waiters.into_iter().flatten() {
                    let _ = waiter.send(Ok(()));
                }
            }
            return;
        }
        entry.waiters.push(waiter);
        self.make_due(topic);
    }

    fn make_due(&mut self, topic: &Topic) {
        if let Some(entry) = self.entries.get_mut(topic)
            && !entry.is_due
        {
            entry.is_due = true;
            self.due.push_back(topic.clone());
        }
    }

    /// A new connection, on which nothing is followed: everything is due.
    pub(super) fn begin(&mut self) {
        self.lose();
        self.due.clear();
        self.entries.retain(|_, entry| !entry.followers.is_empty());
        for (topic, entry) in &mut self.entries {
            entry.is_due = true;
            self.due.push_back(topic.clone());
        }
    }

    /// The connection is lost.
    pub(super) fn lose(&mut self) {
        self.globs.clear();
        self.latest = None;
        for entry in self.entries.values_mut() {
            entry.is_missed |= entry.is_followed;
            self.has_missed |= entry.is_missed;
            entry.is_followed = false;
            entry.said = None;
        }
    }

    /// The server stays away: nobody need wait for it. What was wished stays so.
    pub(super) fn give_up_waiting(&mut self, reason: &str) {
        for waiter in self.entries.values_mut().flat_map(|entry| entry.waiters.drain(..)) {
            let _ = waiter.send(Err(LinkError::Away(reason.to_owned())));
        }
    }

    /// What is to be said next: at most so many topics, each with whether it is to be followed.
    pub(super) fn next(&mut self, most: usize) -> Vec<(Topic, bool)> {
        let mut next = Vec::new();
        while next.len() < most
            && let Some(topic) = self.due.pop_front()
        {
            let Some(entry) = self.entries.get_mut(&topic) else { continue };
            entry.is_due = false;
            let wanted = !entry.followers.is_empty();
            if wanted == entry.is_followed {
                self.settle(&topic);
            } else {
                entry.said = Some(wanted);
                next.push((topic, wanted));
            }
        }
        next
    }

    /// What was said was answered. What was wished otherwise meanwhile is due by itself.
    pub(super) fn answered(&mut self, topic: &Topic, refusal: Option<LinkError>) {
        let Some(entry) = self.entries.get_mut(topic) else { return };
        entry.said = None;
        let Some(error) = refusal else { return self.settle(topic) };
        self.has_failed = true;
        if let Some(entry) = self.entries.get_mut(topic) {
            for waiter in entry.waiters.drain(..) {
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }

    /// Tells those who wait, if it is as they wished.
    fn settle(&mut self, topic: &Topic) {
        let Some(entry) = self.entries.get_mut(topic) else { return };
        if entry.is_due || entry.is_followed == entry.followers.is_empty() {
            return self.make_due(topic);
        }
        for waiter in entry.waiters.drain(..) {
            let _ = waiter.send(Ok(()));
        }
        if entry.followers.is_empty() {
            self.entries.remove(topic);
        }
    }

    /// What was refused is due again.
    pub(super) fn try_again(&mut self) {
        self.has_failed = false;
        let refused: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is_due && entry.is_followed == entry.followers.is_empty())
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in refused {
            self.make_due(&topic);
        }
    }

    /// Whether anything is to be said.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Where something may have been missed, and which are followed again: to be told once, by follower.
    pub(super) fn take_missed(&mut self) -> Vec<(Ticket, Vec<Topic>)> {
        // It is asked after each wish, and there may be very many topics.
        if !std::mem::take(&mut self.has_missed) {
            return Vec::new();
        }
        let mut by_follower: HashMap<u64, (Ticket, Vec<Topic>)> = HashMap::new();
        for (topic, entry) in &mut self.entries {
            if !(entry.is_missed && entry.is_followed) {
                self.has_missed |= entry.is_missed;
                continue;
            }
            entry.is_missed = false;
            for ticket in &entry.followers {
                let of = by_follower.entry(ticket.number).or_insert_with(|| (ticket.clone(), Vec::new()));
                of.1.push(topic.clone());
            }
        }
        by_follower.into_values().collect()
    }

    /// The server confirms. Whether it has ended what is wished, unasked.
    pub(super) fn confirmed(&mut self, topic: &Topic, is_followed: bool) -> bool {
        self.latest = None;
        if let Topic::Glob(glob) = topic {
            if is_followed {
                self.globs.insert(Arc::clone(glob));
            } else {
                self.globs.remove(glob);
            }
        }
        match self.entries.get_mut(topic) {
            Some(entry) => {
                let is_unasked = !is_followed && entry.said != Some(false) && !entry.followers.is_empty();
                entry.is_missed |= is_unasked && entry.is_followed;
                self.has_missed |= entry.is_missed;
                entry.is_followed = is_followed;
                is_unasked
            }
            None => false,
        }
    }

    /// A message on a topic that is followed by its name.
    pub(super) fn message(&mut self, topic: &str, payload: &Bytes, mut hand: impl FnMut(&Ticket, Handed)) {
        let topic: Arc<str> = Arc::from(topic);
        let (has_globs, mut given) = (!self.globs.is_empty(), Vec::new());
        let entry = self.entries.get(&Topic::Name(Arc::clone(&topic))).filter(|entry| entry.is_followed);
        for ticket in entry.into_iter().flat_map(|entry| &entry.followers) {
            hand(ticket, Handed::Message(Arc::clone(&topic), payload.clone()));
            if has_globs {
                given.push(ticket.number);
            }
        }
        self.latest = has_globs.then(|| Latest { topic, globs: Vec::new(), given });
    }

    /// A message that comes by a glob, and perhaps by others, and by its name before.
    pub(super) fn matched(
        &mut self,
        glob: &str,
        topic: &str,
        payload: &Bytes,
        mut hand: impl FnMut(&Ticket, Handed),
    ) {
        let is_same =
            |latest: &Latest| &*latest.topic == topic && latest.globs.iter().all(|other| **other != *glob);
        let mut latest = self.latest.take().filter(is_same).unwrap_or_else(|| Latest {
            topic: Arc::from(topic),
            globs: Vec::new(),
            given: Vec::new(),
        });
        let glob: Arc<str> = Arc::from(glob);
        let entry = self.entries.get(&Topic::Glob(Arc::clone(&glob)));
        for ticket in entry.into_iter().flat_map(|entry| &entry.followers) {
            let Some(follower) = ticket.follower.upgrade() else { continue };
            if !latest.given.contains(&ticket.number) && follower.covers(&glob, topic) {
                hand(ticket, Handed::Message(Arc::clone(&latest.topic), payload.clone()));
                latest.given.push(ticket.number);
            }
        }
        latest.globs.push(glob);
        self.latest = Some(latest);
    }

    /// Takes out the topics that do not stay.
    pub(super) fn give_away(&mut self, stays: &dyn Fn(&str) -> bool) -> Vec<Wish> {
        let leave: Vec<_> = self
            .entries
            .iter()
            .filter(|(topic, entry)| !entry.followers.is_empty() && !stays(topic.text()))
            .map(|(topic, _)| topic.clone())
            .collect();
        let mut wishes = Vec::new();
        for topic in leave {
            let Some(entry) = self.entries.get_mut(&topic) else { continue };
            let left = Entry {
                is_followed: entry.is_followed,
                is_due: entry.is_due,
                said: entry.said,
                ..Entry::default()
            };
            let mut entry = std::mem::replace(entry, left);
            entry.is_missed |= entry.is_followed;
            entry.is_followed = false;
            self.make_due(&topic);
            wishes.push(Wish { topic, entry });
        }
        wishes
    }

    /// Takes in a topic from another server.
    pub(super) fn adopt(&mut self, wish: Wish) {
        let Wish { topic, entry } = wish;
        let here = self.entries.entry(topic.clone()).or_default();
        here.is_missed |= entry.is_missed;
        self.has_missed |= here.is_missed;
        here.waiters.extend(entry.waiters);
        for ticket in entry.followers {
            if here.followers.iter().all(|known| known.number != ticket.number) {
                here.followers.push(ticket);
            }
        }
        self.make_due(&topic);
    }
}
