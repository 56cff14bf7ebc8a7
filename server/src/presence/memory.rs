//! Who is on this node's channels, in its memory: the default. What belongs to a node that dies is gone with it.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::ops::Bound;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::Channel;

use super::{Change, Counts, Member, PresenceStore};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// Keeps presence in memory.
#[derive(Debug, Default)]
pub struct MemoryPresenceStore {
    channels: Mutex<HashMap<Channel, Roster>>,
}

impl MemoryPresenceStore {
    /// A store in which nobody is anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many channels somebody is on.
    pub fn channels(&self) -> usize {
        self.channels.lock().len()
    }
}

/// Where a member stands among the others: by its time, and by its turn.
type Place = (Timestamp, u64);

/// One channel.
#[derive(Debug, Default)]
struct Roster {
    members: BTreeMap<Place, Member>,
    clients: HashMap<Arc<str>, Client>,
    users: HashMap<Arc<str>, User>,
    /// Connections, and those among them without a user.
    counts: (usize, usize),
    turns: u64,
}

#[derive(Debug)]
struct Client {
    user: Option<Arc<str>>,
    /// Where it stands as a member.
    place: Option<Place>,
    /// The connection has left, but its user, whose member it is, has others.
    gone: bool,
}

#[derive(Debug)]
struct User {
    connections: usize,
    place: Place,
}

impl Roster {
    fn join(&mut self, member: Member, per_user: bool) -> Change {
        let user = member.user.clone();
        if let Some(client) = self.clients.get_mut(&member.client) {
            if !client.gone {
                return Change::None;
            }
            client.gone = false;
            self.count(user.as_ref());
            return Change::None;
        }
        self.turns += 1;
        let place = (member.since, self.turns);
        let is_known = per_user && user.as_ref().is_some_and(|user| self.users.contains_key(user));
        if let Some(user) = &user {
            let first = || User { connections: 0, place };
            self.users.entry(Arc::clone(user)).or_insert_with(first);
        }
        self.count(user.as_ref());
        let client = Client { user, place: (!is_known).then_some(place), gone: false };
        self.clients.insert(Arc::clone(&member.client), client);
        if is_known {
            return Change::None;
        }
        self.members.insert(place, member.clone());
        Change::Joined(member)
    }

    fn count(&mut self, user: Option<&Arc<str>>) {
        self.counts.0 += 1;
        match user {
            None => self.counts.1 += 1,
            Some(user) => {
                if let Some(user) = self.users.get_mut(user) {
                    user.connections += 1;
                }
            }
        }
    }

    fn leave(&mut self, name: &str, per_user: bool) -> Change {
        let Some(client) = self.clients.get_mut(name).filter(|client| !client.gone) else {
            return Change::None;
        };
        self.counts.0 -= 1;
        let Some(user) = client.user.clone() else {
            self.counts.1 -= 1;
            return self.remove(name);
        };
        let Some(others) = self.users.get_mut(&user) else { return Change::None };
        others.connections -= 1;
        let (is_last, first) = (others.connections == 0, others.place);
        if is_last {
            self.users.remove(&user);
        }
        if !per_user {
            return self.remove(name);
        }
        if !is_last && client.place.is_some() {
            client.gone = true;
            return Change::None;
        }
        self.clients.remove(name);
        if !is_last {
            return Change::None;
        }
        let Some(member) = self.members.remove(&first) else { return Change::None };
        self.clients.remove(&member.client);
        Change::Left(member)
    }

    fn remove(&mut self, name: &str) -> Change {
        let place = self.clients.remove(name).and_then(|client| client.place);
        place.and_then(|place| self.members.remove(&place)).map_or(Change::None, Change::Left)
    }
}

impl PresenceStore for MemoryPresenceStore {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let mut channels = self.channels.lock();
        let change = channels.entry(channel.clone()).or_default().join(member, per_user);
        ready(Ok(change)).boxed()
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let mut channels = self.channels.lock();
        let Some(roster) = channels.get_mut(channel) else { return ready(Ok(Change::None)).boxed() };
        let change = roster.leave(client, per_user);
        if roster.counts.0 == 0 {
            channels.remove(channel);
        }
        ready(Ok(change)).boxed()
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        _: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>> {
        let channels = self.channels.lock();
        let roster = channels.get(channel);
        let from = match after {
            None => Ok(Bound::Unbounded),
            Some(after) => roster
                .and_then(|roster| roster.clients.get(after)?.place)
                .map(Bound::Excluded)
                .ok_or(StoreError::Gone("member")),
        };
        let members = from.map(|from| {
            let members =
                roster.into_iter().flat_map(|roster| roster.members.range((from, Bound::Unbounded)));
            members.take(limit).map(|(_, member)| member.clone()).collect()
        });
        ready(members).boxed()
    }

    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>> {
        let channels = self.channels.lock();
        let counts = channels.get(channel).map_or_else(Counts::default, |roster| Counts {
            clients: roster.counts.0,
            users: roster.users.len() + roster.counts.1,
        });
        ready(Ok(counts)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn does_what_a_store_must() {
        crate::conformance::presence(async || MemoryPresenceStore::new()).await;
    }
}
