//! The rosters of all channels, and whose members they are.
//!
//! In: joins, leaves, instances that end. Out: what changed. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::{Channel, RawJson};

use super::image::Image;
use crate::nats::replica::{Instance, Machine};
use crate::presence::roster::Roster;
use crate::presence::{Change, Counts, Member};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// Bytes that a member takes, beside what is public of it.
const MEMBER: usize = 500;

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Command {
    /// How large all of it may be from now on.
    #[serde(rename = "limits")]
    Limits { total: usize },
    #[serde(rename = "join")]
    Join {
        channel: Arc<str>,
        client: Arc<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<Arc<str>>,
        info: RawJson,
        since: Timestamp,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        per_user: bool,
    },
    #[serde(rename = "leave")]
    Leave {
        channel: Arc<str>,
        client: Arc<str>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        per_user: bool,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Output {
    Changed(Result<Change, StoreError>),
    /// Who left with an instance.
    Left(Vec<(Channel, Member)>),
    Done,
}

/// A client on a channel, as its instance brought it.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    pub(super) user: Option<Arc<str>>,
    pub(super) info: RawJson,
    pub(super) since: Timestamp,
    pub(super) per_user: bool,
}

/// Clients by their channels and names.
pub(super) type Clients = BTreeMap<(Channel, Arc<str>), Brought>;

/// Who is on which channel.
pub(super) struct Rosters {
    pub(super) channels: HashMap<Channel, Roster>,
    /// Who brought whom.
    pub(super) brought: BTreeMap<Instance, Clients>,
    pub(super) total: usize,
    bytes: usize,
}

impl Rosters {
    pub(super) fn from_parts(
        channels: HashMap<Channel, Roster>,
        brought: BTreeMap<Instance, Clients>,
        total: usize,
    ) -> Self {
        let bytes = brought.values().flat_map(BTreeMap::values).map(size).sum();
        Self { channels, brought, total, bytes }
    }

    pub(super) fn opening(&self, total: usize) -> Option<Command> {
        (self.total != total).then_some(Command::Limits { total })
    }

    pub(super) fn counts(&self, channel: &Channel) -> Counts {
        self.channels.get(channel).map_or_else(Counts::default, Roster::counts)
    }

    pub(super) fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        match (self.channels.get(channel), after) {
            (Some(roster), after) => roster.members(after, limit),
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => Err(StoreError::Gone("member")),
        }
    }

    fn join(
        &mut self,
        by: Instance,
        channel: Channel,
        client: Arc<str>,
        brought: Brought,
    ) -> Result<Change, StoreError> {
        let size = size(&brought);
        if self.bytes + size > self.total {
            return Err(StoreError::TooMany("bytes of members"));
        }
        let Brought { user, info, since, per_user } = brought.clone();
        let member = Member { client: Arc::clone(&client), user, info, since };
        let change = self.channels.entry(channel.clone()).or_default().join(member, per_user);
        let is_brought = self
            .brought
            .values()
            .any(|clients| clients.contains_key(&(channel.clone(), Arc::clone(&client))));
        if !is_brought {
            self.bytes += size;
            self.brought.entry(by).or_default().insert((channel, client), brought);
        }
        Ok(change)
    }

    fn leave(&mut self, by: Instance, channel: &Channel, client: &Arc<str>, per_user: bool) -> Change {
        if let Some(clients) = self.brought.get_mut(&by) {
            let brought = clients.remove(&(channel.clone(), Arc::clone(client)));
            self.bytes -= brought.as_ref().map_or(0, size);
            if clients.is_empty() {
                self.brought.remove(&by);
            }
        }
        self.take_off(channel, client, per_user)
    }

    fn take_off(&mut self, channel: &Channel, client: &str, per_user: bool) -> Change {
        let Some(roster) = self.channels.get_mut(channel) else { return Change::None };
        let change = roster.leave(client, per_user);
        if roster.is_empty() {
            self.channels.remove(channel);
        }
        change
    }
}

fn size(brought: &Brought) -> usize {
    MEMBER + brought.info.as_bytes().len()
}

impl Machine for Rosters {
    type Command = Command;
    type Output = Output;
    type Hint = ();
    type Image = Image;

    fn empty() -> Self {
        Self::from_parts(HashMap::new(), BTreeMap::new(), usize::MAX)
    }

    fn apply(&mut self, by: Instance, command: Command, _: Instance, _: &mut Vec<()>) -> Output {
        match command {
            Command::Limits { total } => {
                self.total = total;
                Output::Done
            }
            Command::Join { channel, client, user, info, since, per_user } => {
                let changed = Channel::new(&*channel).map_or(Ok(Change::None), |channel| {
                    self.join(by, channel, client, Brought { user, info, since, per_user })
                });
                Output::Changed(changed)
            }
            Command::Leave { channel, client, per_user } => {
                let change = Channel::new(&*channel)
                    .map_or(Change::None, |channel| self.leave(by, &channel, &client, per_user));
                Output::Changed(Ok(change))
            }
        }
    }

    fn end(&mut self, who: Instance, _: Timestamp) -> Output {
        let mut left = Vec::new();
        for ((channel, client), brought) in self.brought.remove(&who).unwrap_or_default() {
            self.bytes -= size(&brought);
            if let Change::Left(member) = self.take_off(&channel, &client, brought.per_user) {
                left.push((channel, member));
            }
        }
        Output::Left(left)
    }

    fn succeed(&mut self, before: Instance, by: Instance) {
        if let Some(clients) = self.brought.remove(&before) {
            self.brought.insert(by, clients);
        }
    }

    fn lost(&mut self, _: u64, _: Instance, _: &mut Vec<()>) {
        // Each node says again who is there.
    }

    fn claims(&self, of: Instance) -> Vec<Command> {
        let clients = self.brought.get(&of).into_iter().flatten();
        let claim = |((channel, client), brought): (&(Channel, Arc<str>), &Brought)| {
            let Brought { user, info, since, per_user } = brought.clone();
            Command::Join {
                channel: Arc::from(channel.as_str()),
                client: Arc::clone(client),
                user,
                info,
                since,
                per_user,
            }
        };
        clients.map(claim).collect()
    }

    fn image(&self) -> Image {
        Image::of(self)
    }

    fn from_image(image: Image) -> Self {
        image.into_rosters()
    }
}
