//! Who is on one channel, as a state machine: the rules, without keeping them anywhere.
//!
//! In: clients that join and leave. Out: members, counts, and whether somebody new came or the last one went. Knows no
//! clock and no lock. The same calls give the same, everywhere.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::{Change, Counts, Member};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// Where a member stands among the others: by its time, and by its turn.
pub(crate) type Place = (Timestamp, u64);

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Roster {
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
    pub(crate) fn join(&mut self, member: Member, per_user: bool) -> Change {
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

    pub(crate) fn leave(&mut self, name: &str, per_user: bool) -> Change {
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

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.0 == 0
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { clients: self.counts.0, users: self.users.len() + self.counts.1 }
    }

    /// Members by their time, oldest first, those behind the one whose client is `after`.
    pub(crate) fn members(&self, after: Option<&str>, limit: usize) -> Result<Vec<Member>, StoreError> {
        let from = match after {
            None => Bound::Unbounded,
            Some(after) => {
                let place = self.clients.get(after).and_then(|client| client.place);
                place.map(Bound::Excluded).ok_or(StoreError::Gone("member"))?
            }
        };
        let members = self.members.range((from, Bound::Unbounded));
        Ok(members.take(limit).map(|(_, member)| member.clone()).collect())
    }
}

/// A client: name, user, place as a member, whether the connection has left.
#[cfg(feature = "nats")]
pub(crate) type Standing = (Arc<str>, Option<Arc<str>>, Option<Place>, bool);

/// A roster as a value, from which the same is made elsewhere.
#[cfg(feature = "nats")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub(crate) members: Vec<(Place, Member)>,
    pub(crate) clients: Vec<Standing>,
    /// Name, connections, place.
    pub(crate) users: Vec<(Arc<str>, usize, Place)>,
    pub(crate) turns: u64,
}

#[cfg(feature = "nats")]
impl Roster {
    /// All there is, in the order of names.
    pub(crate) fn parts(&self) -> Parts {
        let mut clients: Vec<_> = self.clients.iter().collect();
        clients.sort_unstable_by_key(|(name, _)| *name);
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_unstable_by_key(|(name, _)| *name);
        Parts {
            members: self.members.iter().map(|(place, member)| (*place, member.clone())).collect(),
            clients: clients
                .into_iter()
                .map(|(name, client)| (Arc::clone(name), client.user.clone(), client.place, client.gone))
                .collect(),
            users: users
                .into_iter()
                .map(|(name, user)| (Arc::clone(name), user.connections, user.place))
                .collect(),
            turns: self.turns,
        }
    }

    /// The roster that these are of.
    pub(crate) fn from_parts(parts: Parts) -> Self {
        let Parts { members, clients, users, turns } = parts;
        let here = || clients.iter().filter(|(_, _, _, gone)| !gone);
        let counts = (here().count(), here().filter(|(_, user, ..)| user.is_none()).count());
        Self {
            members: members.into_iter().collect(),
            users: users
                .into_iter()
                .map(|(name, connections, place)| (name, User { connections, place }))
                .collect(),
            clients: clients
                .into_iter()
                .map(|(name, user, place, gone)| (name, Client { user, place, gone }))
                .collect(),
            counts,
            turns,
        }
    }
}
