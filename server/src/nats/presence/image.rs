//! The rosters as they stand in an image.
//!
//! In: the machine. Out: values with a text, and back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::{Channel, RawJson};

use super::machine::{Brought, Clients, Rosters};
use crate::nats::replica::Instance;
use crate::presence::Member;
use crate::presence::roster::{self, Parts, Place, Roster};
use crate::timestamp::Timestamp;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    total: usize,
    channels: Vec<One>,
    brought: Vec<(Instance, Vec<Client>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct One {
    name: Arc<str>,
    turns: u64,
    members: Vec<(Place, Standing)>,
    clients: Vec<roster::Standing>,
    users: Vec<(Arc<str>, usize, Place)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Standing {
    client: Arc<str>,
    user: Option<Arc<str>>,
    info: RawJson,
    since: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Client {
    channel: Arc<str>,
    name: Arc<str>,
    user: Option<Arc<str>>,
    info: RawJson,
    since: Timestamp,
    per_user: bool,
}

impl Image {
    pub(super) fn of(rosters: &Rosters) -> Self {
        let mut channels: Vec<_> = rosters.channels.iter().collect();
        channels.sort_unstable_by_key(|(name, _)| *name);
        let channels = channels.into_iter().map(|(name, roster)| {
            let Parts { members, clients, users, turns } = roster.parts();
            let standing = |(place, member): (Place, Member)| {
                let Member { client, user, info, since } = member;
                (place, Standing { client, user, info, since })
            };
            let members = members.into_iter().map(standing).collect();
            One { name: Arc::from(name.as_str()), turns, members, clients, users }
        });
        let brought = rosters.brought.iter().map(|(instance, clients)| {
            let client = |((channel, client), brought): (&(Channel, Arc<str>), &Brought)| {
                let Brought { user, info, since, per_user } = brought.clone();
                let channel = Arc::from(channel.as_str());
                Client { channel, name: Arc::clone(client), user, info, since, per_user }
            };
            (*instance, clients.iter().map(client).collect())
        });
        Self { total: rosters.total, channels: channels.collect(), brought: brought.collect() }
    }

    pub(super) fn into_rosters(self) -> Rosters {
        let channels = self.channels.into_iter().filter_map(|one| {
            let One { name, turns, members, clients, users } = one;
            let member = |(place, standing)| {
                let Standing { client, user, info, since } = standing;
                (place, Member { client, user, info, since })
            };
            let members = members.into_iter().map(member).collect();
            let roster = Roster::from_parts(Parts { members, clients, users, turns });
            Some((Channel::new(&*name).ok()?, roster))
        });
        let brought = self.brought.into_iter().map(|(instance, clients)| {
            let client = |client: Client| {
                let Client { channel, name, user, info, since, per_user } = client;
                Some(((Channel::new(&*channel).ok()?, name), Brought { user, info, since, per_user }))
            };
            (instance, clients.into_iter().filter_map(client).collect::<Clients>())
        });
        Rosters::from_parts(channels.collect(), brought.collect(), self.total)
    }
}
