//! Who is on which channel: told to the store and to those who asked.
//!
//! ```text
//! followed   ──▶ store.join  ──▶ Change, in the order of the calls ──▶ Audience
//! unfollowed ──▶ store.leave ──▶
//! ```
//!
//! In: sockets that follow a channel and leave it. Out: calls of the store, exactly one `leave` behind each `join`,
//! and announcements. Both are called while the socket's channels are held, so that they come in the order in which
//! they happened. A call that failed is made again, by what is true then.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::Channel;
use tokensocket_protocol::command::presence as wire;

use super::Node;
use crate::error::PresenceError;
use crate::hub::audience::{Audiences, Told};
use crate::presence::{Change, Counts, Member, Presence, PresenceStore};
use crate::socket::{Socket, SocketId};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// How many lines there are in which changes wait for the store; a channel has one of them.
const LINES: usize = 64;
/// How many changes that failed are remembered. What fails beyond that stays as the store has it for as long as it
/// keeps what belongs to this node.
const MOST_FAILED: usize = 65_536;
/// How many of them are made again at a time.
const AGAIN: usize = 1024;

type Changing = BoxFuture<'static, Result<Change, StoreError>>;

/// Presence on this node.
pub(super) struct Presences {
    store: Box<dyn PresenceStore>,
    audiences: Audiences,
    lines: Box<[Mutex<Line>]>,
    hasher: RandomState,
    /// Who may be on a channel, or not, against what the store says.
    failed: Mutex<VecDeque<(Channel, SocketId)>>,
}

/// Changes that are announced in their order.
#[derive(Default)]
struct Line {
    waiting: VecDeque<(Channel, SocketId, Changing)>,
    /// A task waits for the first of them.
    is_driven: bool,
}

impl Presences {
    pub(super) fn new(store: Box<dyn PresenceStore>) -> Self {
        Self {
            store,
            audiences: Audiences::default(),
            lines: (0..LINES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            failed: Mutex::default(),
        }
    }

    fn line(&self, channel: &Channel) -> usize {
        usize::try_from(self.hasher.hash_one(channel) % LINES as u64).unwrap_or_default()
    }

    /// Notes what failed.
    fn settled(
        &self,
        channel: &Channel,
        id: SocketId,
        changed: Result<Change, StoreError>,
    ) -> Option<Change> {
        let error = match changed {
            Ok(change) => return Some(change),
            Err(error) => error,
        };
        let mut failed = self.failed.lock();
        if failed.len() < MOST_FAILED {
            tracing::warn!(%channel, %error, "who is on a channel is told to the store again");
            failed.push_back((channel.clone(), id));
        } else {
            tracing::error!(%channel, %error, "who is on a channel is not known for certain any more");
        }
        None
    }

    fn announce(&self, channel: &Channel, id: SocketId, changed: Result<Change, StoreError>) -> Option<Told> {
        match self.settled(channel, id, changed)? {
            Change::Joined(member) => {
                self.audiences.tell(channel, || wire::joined(channel, as_wire(&member)))
            }
            Change::Left(member) => self.audiences.tell(channel, || wire::left(channel, as_wire(&member))),
            Change::None => None,
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
        self.join_presence(socket, channel, presence);
        if asks && presence.announce {
            self.presences.audiences.add(channel, socket);
        }
    }

    /// A socket no longer follows a channel. Its channels are held by the caller.
    pub(super) fn exit(&self, socket: &Socket, channel: &Channel) {
        let Some(presence) = self.presence_of(channel) else { return };
        self.presences.audiences.remove(channel, socket.id());
        self.leave_presence(socket.id(), channel, presence);
    }

    fn join_presence(&self, socket: &Socket, channel: &Channel, presence: &Presence) {
        let member = Member {
            client: socket.id().to_string().into(),
            user: socket.identity().user_id().cloned(),
            info: socket.identity().public_part().clone(),
            since: Timestamp::now(),
        };
        self.change(channel, socket.id(), presence, |store| store.join(channel, member, presence.per_user));
    }

    fn leave_presence(&self, id: SocketId, channel: &Channel, presence: &Presence) {
        let client = id.to_string();
        self.change(channel, id, presence, |store| store.leave(channel, &client, presence.per_user));
    }

    /// Tells the store again what it did not take: who is there now, and who is not. Both may be told twice.
    pub(super) fn change_again(&self) {
        let again: Vec<_> = {
            let mut failed = self.presences.failed.lock();
            let count = failed.len().min(AGAIN);
            failed.drain(..count).collect()
        };
        for (channel, id) in again {
            let Some(presence) = self.presence_of(&channel) else { continue };
            let socket = self.socket(id);
            let _changing = socket.as_ref().map(Socket::change_channels);
            match &socket {
                Some(socket) if socket.follows(&channel) => self.join_presence(socket, &channel, presence),
                _ => self.leave_presence(id, &channel, presence),
            }
        }
    }

    fn change(
        &self,
        channel: &Channel,
        id: SocketId,
        presence: &Presence,
        call: impl FnOnce(&dyn PresenceStore) -> Changing,
    ) {
        let presences = &self.presences;
        if !presence.announce {
            let mut changing = call(&*presences.store);
            if let Some(changed) = (&mut changing).now_or_never() {
                presences.settled(channel, id, changed);
            } else if let Some(node) = self.me.upgrade() {
                let channel = channel.clone();
                let settling = async move {
                    let changed = node.in_time(changing).await;
                    node.presences.settled(&channel, id, changed);
                };
                self.finish(settling.boxed());
            }
            return;
        }
        let number = presences.line(channel);
        let mut line = presences.lines[number].lock();
        let mut changing = call(&*presences.store);
        if !line.is_driven
            && let Some(changed) = (&mut changing).now_or_never()
        {
            let told = presences.announce(channel, id, changed);
            drop(line);
            told.into_iter().for_each(Told::flush);
            return;
        }
        line.waiting.push_back((channel.clone(), id, changing));
        if !std::mem::replace(&mut line.is_driven, true)
            && let Some(node) = self.me.upgrade()
        {
            self.finish(drive(node, number).boxed());
        }
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
        Ok(self.in_time(members).await?)
    }

    pub(crate) async fn presence_counts(&self, channel: &Channel) -> Result<Counts, PresenceError> {
        self.presence_of(channel).ok_or(PresenceError::NotKept)?;
        Ok(self.in_time(self.presences.store.counts(channel)).await?)
    }
}

/// Announces what waits in a line, one after the other.
async fn drive(node: Arc<Node>, number: usize) {
    let line = &node.presences.lines[number];
    loop {
        let (channel, id, changing) = {
            let mut line = line.lock();
            let Some(next) = line.waiting.pop_front() else {
                line.is_driven = false;
                return;
            };
            next
        };
        let changed = node.in_time(changing).await;
        let told = {
            let _line = line.lock();
            node.presences.announce(&channel, id, changed)
        };
        told.into_iter().for_each(Told::flush);
    }
}
