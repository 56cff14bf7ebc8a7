//! Who is on a channel, in Redis, for all nodes.
//!
//! ```text
//! join, leave, members, counts ─▶ lane of the shard ─▶ link ─▶ script: one step ─▶ Redis
//! lease: renewed for each shard ─ given up, or Redis has forgotten ─▶ rejoin
//! ```
//!
//! In: calls of a node. Out: their results. Members carry their node, and end with its lease.

mod lease;
mod scripts;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use parking_lot::Mutex;
use redis::Value;
use tokensocket_protocol::{Channel, RawJson};
use tokio::sync::Notify;

use super::Redis;
use super::link::{Again, Link, LinkError, Listener, Listening, Task};
use super::script::Script;
use super::shards::{Answer, Calling, Lane, MOST_WAITING, Sending, Shards};
use crate::node_id::NodeId;
use crate::presence::{Change, Counts, Member, PresenceStore};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

pub(in crate::redis) use scripts::SCRIPTS;

/// So many members of dead nodes one call takes off.
const WORK: usize = 1_000;

/// Keeps presence in Redis, for all nodes.
///
/// Counts cost the same however many there are, and so does a page of members. Each channel is in one shard: every change
/// is one step there.
///
/// **Nodes.** A node holds a lease in each shard, 30 s by default, and renews it each third of that. Who is there by a node
/// that does not is taken off by the next [`expire`](PresenceStore::expire) of another: within about ten seconds of
/// its end. After Redis was away for all, nobody is taken off until the nodes had a lease's time to say that they are there.
/// A node that alone was cut off puts its members back when it returns; followers who were told that they left
/// are not told that they are there again, though lists and counts say so.
///
/// **Lost answers.** A join or leave whose answer is lost fails with [`StoreError::Timeout`], and may have been done: whoever
/// has to know does the opposite first. Who was taken off is answered again until the node has it.
///
/// **What Redis loses** is put right by the nodes: after each lost connection, and whenever Redis has forgotten it, a node
/// tells it again who is there. The cost is a copy of each membership in the node's memory.
#[derive(Clone)]
pub struct RedisPresenceStore(Arc<Owner>);

/// What ends with the store.
struct Owner {
    rosters: Arc<Rosters>,
    _task: Task,
    listening: Mutex<Vec<Listening>>,
}

/// What this node notes about a shard.
#[derive(Debug, Default)]
struct Notes {
    here: HashMap<(Channel, Arc<str>), Here>,
    is_leased: bool,
    must_rejoin: bool,
    /// The number of the last answer that came and said whom this node took off.
    taken_off: u64,
}

/// Somebody who is there by this node.
#[derive(Debug, Clone)]
struct Here {
    user: Option<Arc<str>>,
    info: RawJson,
    since: Timestamp,
    per_user: bool,
}

struct Rosters {
    itself: Weak<Self>,
    link: Link,
    shards: Shards,
    lanes: Vec<Arc<Lane<Notes>>>,
    node: Mutex<Bytes>,
    /// The shards are to be looked at now.
    look: Notify,
}

type Outcome<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Redis {
    /// A store of who is on which channel.
    pub fn presence_store(&self) -> RedisPresenceStore {
        RedisPresenceStore::new(self.link.clone())
    }
}

impl RedisPresenceStore {
    pub(in crate::redis) fn new(link: Link) -> Self {
        let shards = Shards::new(&link, "p");
        let budget = link.budget(MOST_WAITING);
        let node = NodeId::from_number(rand::random());
        let rosters = Arc::new_cyclic(|itself| Rosters {
            itself: Weak::clone(itself),
            lanes: (0..shards.count()).map(|_| Lane::new(Notes::default(), Arc::clone(&budget))).collect(),
            link,
            shards,
            node: Mutex::new(node.to_string().into()),
            look: Notify::new(),
        });
        let task = rosters.link.spawn(lease::keep(Arc::downgrade(&rosters)));
        Self(Arc::new(Owner { rosters, _task: task, listening: Mutex::new(Vec::new()) }))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.rosters.release();
    }
}

impl Rosters {
    fn node(&self) -> Bytes {
        self.node.lock().clone()
    }

    fn send(&self, script: &'static Script, shard: usize, args: Vec<Bytes>) -> Calling {
        self.send_again(script, shard, args, Again::Safe)
    }

    fn send_again(&self, script: &'static Script, shard: usize, args: Vec<Bytes>, again: Again) -> Calling {
        Sending::new(script, self.shards.route(shard), args, again).send(&self.link)
    }

    /// Notes something about the shard of a channel, and sends a script there.
    fn call(
        &self,
        script: &'static Script,
        channel: &Channel,
        args: Vec<Bytes>,
        again: Again,
        note: impl FnOnce(&mut Notes),
    ) -> Calling {
        let shard = self.shards.of(channel.as_str());
        let Some(lane) = self.lanes.get(shard) else {
            return ready(Err(LinkError::Away("the store is closed".to_owned()))).boxed();
        };
        let mut notes = lane.notes();
        note(&mut notes);
        self.send_again(script, shard, args, again)
    }

    /// What an answer says of this node's place in a shard.
    fn seen(&self, shard: usize, is_leased: bool) {
        let Some(lane) = self.lanes.get(shard) else { return };
        let mut notes = lane.notes();
        if std::mem::replace(&mut notes.is_leased, true) && !is_leased {
            notes.must_rejoin = true;
            drop(notes);
            self.look.notify_one();
        }
    }

    fn expire_at(&self, shard: usize) -> Calling {
        let known = self.lanes.get(shard).map_or(0, |lane| lane.notes().taken_off);
        let args = vec![self.node(), text(&WORK.to_string()), text(&known.to_string())];
        self.send(&scripts::EXPIRE, shard, args)
    }

    fn expire_shard(self: &Arc<Self>, shard: usize) -> Outcome<Vec<(Channel, Member)>> {
        let (rosters, first) = (Arc::clone(self), self.expire_at(shard));
        async move {
            let (mut left, mut calling, mut last) = (Vec::new(), first, 0);
            let state = loop {
                let (state, number, mut more) = match calling.await.and_then(expired) {
                    Ok(expired) => expired,
                    // Those before are to be announced all the same.
                    Err(_) if !left.is_empty() => break Expiry::Done,
                    Err(error) => return Err(error.into()),
                };
                left.append(&mut more);
                last = number.max(last);
                if let Some(lane) = rosters.lanes.get(shard) {
                    let mut notes = lane.notes();
                    notes.taken_off = notes.taken_off.max(last);
                }
                if state != Expiry::More {
                    break state;
                }
                calling = rosters.expire_at(shard);
            };
            if state == Expiry::Late {
                rosters.look_at(shard).await?;
            }
            Ok(left)
        }
        .boxed()
    }
}

impl PresenceStore for RedisPresenceStore {
    fn start(&self, node: NodeId) -> Result<(), StoreError> {
        let rosters = &self.0.rosters;
        *rosters.node.lock() = node.to_string().into();
        // Nothing is said there: it is how a lost connection is noticed, to whichever server.
        let itself: Weak<dyn Listener> = Weak::<Rosters>::clone(&rosters.itself);
        let topics =
            (0..rosters.shards.count()).map(|shard| format!("{}h:{node}", rosters.shards.route(shard)));
        *self.0.listening.lock() =
            topics.map(|topic| rosters.link.listen(topic, Weak::clone(&itself))).collect();
        rosters.look.notify_one();
        Ok(())
    }

    fn join(&self, channel: &Channel, member: Member, per_user: bool) -> Outcome<Change> {
        let rosters = Arc::clone(&self.0.rosters);
        let Member { client, user, info, since } = member.clone();
        let here = Here { user, info, since, per_user };
        let mut args = vec![rosters.node(), text(&rosters.link.lease().as_millis().to_string())];
        args.extend(here.args(channel, &client));
        let place = (channel.clone(), client);
        let calling = rosters.call(&scripts::JOIN, channel, args, Again::Never, |notes| {
            notes.here.entry(place).or_insert(here);
        });
        let shard = rosters.shards.of(channel.as_str());
        async move {
            let mut answer = Answer::new(calling.await?)?;
            rosters.seen(shard, answer.take()?);
            let is_new: bool = answer.take()?;
            Ok(if is_new { Change::Joined(member) } else { Change::None })
        }
        .boxed()
    }

    fn leave(&self, channel: &Channel, client: &str, per_user: bool) -> Outcome<Change> {
        let args = vec![text(channel.as_str()), text(client), flag(per_user)];
        let place = (channel.clone(), Arc::from(client));
        let calling = self.0.rosters.call(&scripts::LEAVE, channel, args, Again::Never, |notes| {
            notes.here.remove(&place);
        });
        async move {
            match calling.await? {
                Value::Array(parts) if parts.is_empty() => Ok(Change::None),
                left => Ok(Change::Left(member(left)?)),
            }
        }
        .boxed()
    }

    fn members(&self, channel: &Channel, after: Option<&str>, limit: usize, _: bool) -> Outcome<Vec<Member>> {
        let after = after.map_or_else(Bytes::new, |after| format!("={after}").into());
        let limit = limit.min(usize::try_from(u32::MAX).unwrap_or(limit));
        let args = vec![text(channel.as_str()), after, text(&limit.to_string())];
        let calling = self.0.rosters.call(&scripts::MEMBERS, channel, args, Again::Safe, |_| {});
        async move {
            match calling.await? {
                members @ Value::Array(_) => Ok(Answer::new(members)?.rest(member)?),
                _ => Err(StoreError::Gone("member")),
            }
        }
        .boxed()
    }

    fn counts(&self, channel: &Channel) -> Outcome<Counts> {
        let args = vec![text(channel.as_str())];
        let calling = self.0.rosters.call(&scripts::COUNTS, channel, args, Again::Safe, |_| {});
        async move {
            let (clients, users) = Answer::read(calling.await?)?;
            Ok(Counts { clients, users })
        }
        .boxed()
    }

    fn expire(&self, _: Timestamp) -> Outcome<Vec<(Channel, Member)>> {
        let rosters = &self.0.rosters;
        let expiring = join_all((0..rosters.shards.count()).map(|shard| rosters.expire_shard(shard)));
        async move {
            let (mut all, mut failed, mut done) = (Vec::new(), None, false);
            for left in expiring.await {
                match left {
                    Ok(left) => {
                        done = true;
                        all.extend(left);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            // Those who were taken off are to be announced, whatever the others did.
            failed.filter(|_| !done).map_or(Ok(all), Err)
        }
        .boxed()
    }
}

impl std::fmt::Debug for RedisPresenceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisPresenceStore")
    }
}

impl Here {
    fn args(&self, channel: &Channel, client: &str) -> [Bytes; 6] {
        let user = self.user.as_ref().map_or_else(Bytes::new, |user| format!("={user}").into());
        let since = text(&self.since.0.to_string());
        let info = self.info.clone().into_bytes();
        [text(channel.as_str()), text(client), user, info, since, flag(self.per_user)]
    }
}

/// A member as scripts write it: client, user, info, since.
fn member(value: Value) -> Result<Member, LinkError> {
    let (client, user, info, since): (String, String, Vec<u8>, u64) = Answer::read(value)?;
    let info = RawJson::from_text(info).map_err(|error| LinkError::Refused(error.to_string()))?;
    let user = user.strip_prefix('=').map(Arc::from);
    Ok(Member { client: client.into(), user, info, since: Timestamp(since) })
}

/// How it stands with those who are to be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    More,
    Done,
    /// This node's own lease had lapsed, so that it does not know whose had not.
    Late,
}

/// Those who left, and the channel that each was on.
type Gone = Vec<(Channel, Member)>;

/// How it stands, the number of the answer, and who left.
fn expired(value: Value) -> Result<(Expiry, u64, Gone), LinkError> {
    let mut answer = Answer::new(value)?;
    let state = match answer.take::<u8>()? {
        0 => Expiry::More,
        1 => Expiry::Done,
        _ => Expiry::Late,
    };
    let number = answer.take()?;
    Ok((state, number, answer.take_list(left_by_channel)?))
}

fn left_by_channel(value: Value) -> Result<(Channel, Member), LinkError> {
    let mut answer = Answer::new(value)?;
    let channel: String = answer.take()?;
    let channel = Channel::new(&channel).map_err(|error| LinkError::Refused(error.to_string()))?;
    Ok((channel, member(answer.take()?)?))
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn flag(flag: bool) -> Bytes {
    Bytes::from_static(if flag { b"1" } else { b"0" })
}
