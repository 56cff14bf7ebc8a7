//! Who is on which channel: told to the store and to those who asked.
//!
//! ```text
//! followed   ──▶ store.join  ──▶ Change, in the order of the calls ──▶ Audience, and Broker::announce ──▶ others' Audience
//! unfollowed ──▶ store.leave ──▶
//! its node died ▶ store.expire ─▶
//! ```
//!
//! In: sockets that follow a channel and leave it. Out: calls of the store, exactly one `leave` behind each `join`,
//! and announcements. Both are called while the socket's channels are held, so that they come in the order in which
//! they happened. A call that failed, or that there was no room for, is made again, by what is true then.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use indexmap::IndexMap;
use indexmap::map::Entry;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokensocket_protocol::command::presence as wire;
use tokensocket_protocol::{Channel, RawJson};

use super::Node;
use super::patience::Asked;
use crate::error::PresenceError;
use crate::hub::audience::{Audiences, Told};
use crate::node_id::NodeId;
use crate::presence::{Change, Counts, Member, Presence, PresenceStore};
use crate::socket::{Socket, SocketId};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// How many lines there are in which changes wait for the store; a channel has one of them.
const LINES: usize = 64;
/// How many changes wait for the store. What is beyond that counts as failed before the store has heard of it.
const MOST_WAITING: usize = 65_536;
/// How many changes that failed are remembered. What fails beyond that stays as the store has it for as long as it
/// keeps what belongs to this node.
const MOST_FAILED: usize = 65_536;
/// How many of them are made again at a time.
const AGAIN: usize = 8192;
/// So many who left are announced before others get their turn.
const AT_ONCE: usize = 256;

type Changing = BoxFuture<'static, Result<Change, StoreError>>;

/// Presence on this node.
pub(super) struct Presences {
    store: Box<dyn PresenceStore>,
    audiences: Audiences,
    lines: Box<[Mutex<Line>]>,
    hasher: RandomState,
    /// Who may be on a channel, or not, against what the store says; and which of both followers were told.
    failed: Mutex<IndexMap<(Channel, SocketId), (Member, bool)>>,
    /// How many changes wait for the store.
    waiting: AtomicUsize,
}

/// Changes that are announced in their order.
#[derive(Default)]
struct Line {
    waiting: VecDeque<(Call, Changing)>,
    /// A task waits for the first of them.
    is_driven: bool,
}

/// What the store is told.
struct Call {
    channel: Channel,
    id: SocketId,
    member: Member,
    /// The member came; otherwise it is gone.
    joins: bool,
    /// It was told before and failed: whether followers were told then that the member is there.
    again: Option<bool>,
    /// Only so that what the next call comes to is certain: nobody is told.
    is_quiet: bool,
}

impl Call {
    /// By what is true of a socket now.
    fn of(socket: &Socket, channel: &Channel, joins: bool) -> Self {
        let member = Member {
            client: socket.id().to_string().into(),
            user: socket.identity().user_id().cloned(),
            info: socket.identity().public_part().clone(),
            since: Timestamp::now(),
        };
        Self { channel: channel.clone(), id: socket.id(), member, joins, again: None, is_quiet: false }
    }

    /// Tells the store.
    fn make(&self, store: &dyn PresenceStore, per_user: bool) -> Changing {
        if self.joins {
            store.join(&self.channel, self.member.clone(), per_user)
        } else {
            store.leave(&self.channel, &self.member.client, per_user)
        }
    }
}

impl Presences {
    pub(super) fn new(store: Box<dyn PresenceStore>) -> Self {
        Self {
            store,
            audiences: Audiences::default(),
            lines: (0..LINES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            failed: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn start(&self, node: NodeId) -> Result<(), StoreError> {
        self.store.start(node)
    }

    fn line(&self, channel: &Channel) -> usize {
        usize::try_from(self.hasher.hash_one(channel) % LINES as u64).unwrap_or_default()
    }

    /// Notes what failed. Gives what followers are to be told.
    fn settled(&self, call: Call, changed: Result<Change, StoreError>) -> Option<Change> {
        let change = match changed {
            Ok(_) if call.is_quiet => return None,
            Ok(change) => change,
            Err(error) => {
                self.fail(call, &error);
                return None;
            }
        };
        let mut failed = self.failed.lock();
        let earlier =
            if failed.is_empty() { None } else { failed.swap_remove(&(call.channel.clone(), call.id)) };
        match (earlier, call.again) {
            (Some((_, told)), _) | (None, Some(told)) if told == call.joins => None,
            (Some((member, told)), _) if matches!(change, Change::None) => {
                // The call that failed may have done it.
                failed.insert((call.channel, call.id), (member, told));
                None
            }
            _ => Some(change),
        }
    }

    /// The store does not know, or may not know, what happened.
    fn fail(&self, call: Call, error: &StoreError) {
        let Call { channel, id, member, joins, again, .. } = call;
        let mut failed = self.failed.lock();
        let is_full = failed.len() >= MOST_FAILED;
        match failed.entry((channel, id)) {
            Entry::Vacant(entry) => {
                let channel = &entry.key().0;
                if is_full {
                    tracing::error!(%channel, %error, "who is on a channel is not known for certain any more");
                } else {
                    tracing::warn!(%channel, %error, "who is on a channel is told to the store again");
                    entry.insert((member, again.unwrap_or(!joins)));
                }
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Whether another change may wait for the store.
    fn may_wait(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MOST_WAITING
    }

    fn waits(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    fn waited(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells this node's audience, once the result is flushed.
    fn tell(&self, channel: &Channel, change: &Change) -> Option<Told> {
        match change {
            Change::Joined(member) => self.audiences.tell(channel, || wire::joined(channel, as_wire(member))),
            Change::Left(member) => self.audiences.tell(channel, || wire::left(channel, as_wire(member))),
            Change::None => None,
        }
    }
}

/// A change as it is told to other nodes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Announcement {
    Joined(Announced),
    Left(Announced),
}

#[derive(Serialize, Deserialize)]
struct Announced {
    client: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    info: RawJson,
    since: Timestamp,
}

impl Announcement {
    fn of(change: &Change) -> Option<Self> {
        let announced =
            |Member { client, user, info, since }: Member| Announced { client, user, info, since };
        match change {
            Change::Joined(member) => Some(Self::Joined(announced(member.clone()))),
            Change::Left(member) => Some(Self::Left(announced(member.clone()))),
            Change::None => None,
        }
    }

    fn into_change(self) -> Change {
        let member = |Announced { client, user, info, since }| Member { client, user, info, since };
        match self {
            Self::Joined(announced) => Change::Joined(member(announced)),
            Self::Left(announced) => Change::Left(member(announced)),
        }
    }
}

pub(crate) fn as_wire(member: &Member) -> wire::Member<'_> {
    let Member { client, user, info, since } = member;
    wire::Member { client, user: user.as_deref(), info, since: since.0 }
}

impl Node {
    /// How presence is kept on a channel, if it is.
    pub(crate) fn presence_of(&self, channel: &Channel) -> Option<&Presence> {
        let options = self.config.channels.of(channel)?;
        options.presence.as_ref().filter(|_| self.pattern(channel).is_none())
    }

    /// A socket's subscription has succeeded. `asks`: it is to be told who comes and goes from now on.
    pub(crate) fn enter(&self, socket: &Socket, channel: &Channel, asks: bool) {
        let Some(presence) = self.presence_of(channel) else { return };
        let _changing = socket.change_channels();
        // It may have left again meanwhile, or be gone.
        if !socket.follows(channel) {
            return;
        }
        self.change(Call::of(socket, channel, true), presence);
        if asks && presence.announce {
            self.presences.audiences.add(channel, socket);
        }
    }

    /// A socket no longer follows a channel. Its channels are held by the caller.
    pub(super) fn exit(&self, socket: &Socket, channel: &Channel) {
        let Some(presence) = self.presence_of(channel) else { return };
        self.presences.audiences.remove(channel, socket.id());
        self.change(Call::of(socket, channel, false), presence);
    }

    /// Tells the store again what it did not take: who is there now, and who is not.
    ///
    /// A call that failed may have been heard all the same. What followers were not told yet is therefore told to the
    /// store after its opposite: then it is news, or there is another connection of that member.
    pub(super) fn change_again(&self) {
        let again: Vec<_> = {
            let mut failed = self.presences.failed.lock();
            let count = failed.len().min(AGAIN);
            failed.drain(..count).collect()
        };
        for ((channel, id), (member, told)) in again {
            let Some(presence) = self.presence_of(&channel) else { continue };
            let socket = self.socket(id);
            let _changing = socket.as_ref().map(Socket::change_channels);
            let joins = socket.as_ref().is_some_and(|socket| socket.follows(&channel));
            let call = |joins, is_quiet| {
                let (channel, member) = (channel.clone(), member.clone());
                Call { channel, id, member, joins, again: Some(told), is_quiet }
            };
            if told != joins {
                self.change(call(!joins, true), presence);
            }
            self.change(call(joins, false), presence);
        }
    }

    fn change(&self, call: Call, presence: &Presence) {
        let presences = &self.presences;
        if !presences.may_wait() {
            return presences.fail(call, &StoreError::Overloaded);
        }
        if presence.announce {
            return self.line_up(call, |call| call.make(&*presences.store, presence.per_user));
        }
        let mut changing = call.make(&*presences.store, presence.per_user);
        if let Some(changed) = (&mut changing).now_or_never() {
            presences.settled(call, changed);
        } else if let Some(node) = self.me.upgrade() {
            presences.waits();
            let settling = async move {
                let changed = node.in_time(Asked::AtOnce, changing, StoreError::Timeout).await;
                node.presences.waited();
                node.presences.settled(call, changed);
            };
            self.finish(settling.boxed());
        }
    }

    /// Has a change announced behind those of its channel that were begun before.
    fn line_up(&self, call: Call, begin: impl FnOnce(&Call) -> Changing) {
        let presences = &self.presences;
        let number = presences.line(&call.channel);
        let mut line = presences.lines[number].lock();
        let mut changing = begin(&call);
        if !line.is_driven
            && let Some(changed) = (&mut changing).now_or_never()
        {
            let told = self.announce(call, changed);
            drop(line);
            told.into_iter().for_each(Told::flush);
            return;
        }
        presences.waits();
        line.waiting.push_back((call, changing));
        if !std::mem::replace(&mut line.is_driven, true)
            && let Some(node) = self.me.upgrade()
        {
            self.finish(drive(node, number).boxed());
        }
    }

    /// Tells the other nodes, and those here once the result is flushed.
    fn announce(&self, call: Call, changed: Result<Change, StoreError>) -> Option<Told> {
        let channel = call.channel.clone();
        let change = self.presences.settled(call, changed)?;
        if self.peers.has_others
            && let Some(announcement) = Announcement::of(&change)
        {
            self.announce_to_others(&channel, RawJson::new(&announcement).unwrap_or_default());
        }
        self.presences.tell(&channel, &change)
    }

    /// Another node says who came or went.
    pub(super) fn hear_announcement(&self, channel: &Channel, announcement: &RawJson) {
        match announcement.parse::<Announcement>() {
            Ok(announcement) => {
                let told = self.presences.tell(channel, &announcement.into_change());
                told.into_iter().for_each(Told::flush);
            }
            Err(error) => tracing::debug!(%channel, %error, "a node announces what is not understood here"),
        }
    }

    /// Has the store take off whose node died, and announces that they left. Call it about every ten seconds.
    pub(super) fn expire_presence(&self) {
        let mut expiring = self.presences.store.expire(Timestamp::now());
        match (&mut expiring).now_or_never() {
            Some(Ok(left)) if left.is_empty() => return,
            Some(expired) => expiring = ready(expired).boxed(),
            None => {}
        }
        let Some(node) = self.me.upgrade() else { return };
        let telling = async move {
            let left = match node.in_time(Asked::AtOnce, expiring, StoreError::Timeout).await {
                Ok(left) => left,
                Err(error) => return tracing::warn!(%error, "who was on a node that died is still there"),
            };
            for (at, (channel, member)) in left.into_iter().enumerate() {
                if at % AT_ONCE == AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
                if node.presence_of(&channel).is_some_and(|presence| presence.announce) {
                    let left = ready(Ok(Change::Left(member.clone()))).boxed();
                    let call =
                        Call { channel, id: SocketId(0), member, joins: false, again: None, is_quiet: false };
                    node.line_up(call, |_| left);
                }
            }
        };
        self.finish(telling.boxed());
    }

    /// Members of a channel, oldest first.
    pub(crate) async fn presence(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Member>, PresenceError> {
        let presence = self.presence_of(channel).ok_or(PresenceError::NotKept)?;
        let members = self.presences.store.members(channel, after, limit, presence.per_user);
        Ok(self.in_time(Asked::AtOnce, members, StoreError::Timeout).await?)
    }

    pub(crate) async fn presence_counts(&self, channel: &Channel) -> Result<Counts, PresenceError> {
        self.presence_of(channel).ok_or(PresenceError::NotKept)?;
        let counting = self.presences.store.counts(channel);
        Ok(self.in_time(Asked::AtOnce, counting, StoreError::Timeout).await?)
    }
}

/// Announces what waits in a line, one after the other.
async fn drive(node: Arc<Node>, number: usize) {
    let line = &node.presences.lines[number];
    loop {
        let (call, changing) = {
            let mut line = line.lock();
            let Some(next) = line.waiting.pop_front() else {
                line.is_driven = false;
                return;
            };
            next
        };
        let changed = node.in_time(Asked::AtOnce, changing, StoreError::Timeout).await;
        node.presences.waited();
        let told = {
            let _line = line.lock();
            node.announce(call, changed)
        };
        told.into_iter().for_each(Told::flush);
    }
}
