//! Device queues in Redis, shared by all nodes.
//!
//! ```text
//! arrive, append, … ─▶ lane of the shard ─▶ link ─▶ script: one step ─▶ Redis
//!                                                      └─ hint ─▶ topic of each node where a device is connected
//! lease: renewed for each shard ─ given up, or Redis has forgotten ─▶ rejoin ─▶ the node looks at its devices again
//! ```
//!
//! In: calls of a node. Out: their results, and hints of what other nodes did. What happens to a queue is what
//! [`queues`](crate::delivery::queues) says, in Lua; a test does the same calls on both.

mod answers;
mod append;
mod here;
mod hints;
mod lease;
mod scripts;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::{Notify, oneshot};

use super::Redis;
use super::link::{Again, Link, Listening, Task};
use super::script::Script;
use super::shards::{Answer, Calling, Lane, MOST_WAITING, Sending, Shards, carried};
use crate::delivery::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceHandler, DeviceStore, Entry, Expired, Message,
    QueueCounts, QueueLimits, Resync, To,
};
use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

pub(in crate::redis) use scripts::SCRIPTS;

use append::Append;
use here::Notes;

/// So many devices, or entries, one call deals with, so that it does not hold up others: about five milliseconds.
const WORK: usize = 1_000;
/// About how many bytes an arrival is, without rooms.
const ARRIVING: usize = 256;

/// Keeps the queues of devices in Redis, for all nodes.
///
/// **What is durable** is what Redis is configured to keep, and what it says of that is what this store can say. With
/// `appendonly yes`:
///
/// | `appendfsync` | when Redis is killed | when its machine loses power |
/// | --- | --- | --- |
/// | `always` | nothing that was answered is lost | nothing, as far as the disk keeps what it says it has |
/// | `everysec` | the last seconds: it answers before it has written while the disk is busy | the last seconds |
/// | `no` | what it had not written yet | what the system had not written, often half a minute |
///
/// Without an append-only file everything since the last snapshot is lost, or everything. When a replica takes over, by
/// Sentinel or in a cluster, what had not reached it is lost, whatever the primary's disk had: replication does not wait.
/// (`WAIT` is not used: it makes such a loss less likely, and does not rule it out.)
///
/// **What was lost is told.** A device's epoch is kept with its queue. After a restart of Redis, unless it is a single
/// server with `appendfsync always`, and after a failover, every device's epoch is another one, and each is told to
/// resync (`lost`): nobody can know what is missing. What is there is delivered all the same. A Redis that was emptied
/// knows no device: whoever comes back is new (`resumed: false`), and who is connected is told `lost`. Numbers that
/// somebody may have been sent are not given again: a queue goes on behind them.
///
/// **Nodes.** A node holds a lease in each shard, 30 s by default, and renews it each third of that. The connections of a
/// node that does not are ended as of the end of its lease, at the next [`expire`](DeviceStore::expire) of another: within
/// about ten seconds of it. A node that was only cut off takes its devices back when it returns. After Redis was away for
/// all, no connections are ended until the nodes had a lease's time to say that they are there, once one of them has come
/// back: a node that begins before that ends them.
///
/// **Clocks.** What is past its time, and which keys are still known, goes by the nodes' clocks, but never ahead of Redis'
/// own: a node whose clock is ahead forgets nothing early. What one does that is behind is over early by so much: let
/// clocks agree (NTP) to well within the times that are used.
///
/// **Several shards.** With several servers, or a cluster, users are spread over 16 shards, each with its own slot.
/// All of a user's devices are in one. Then, other than in one:
///
/// - A message to a room or to everybody is appended in each shard at the same moment, but not in one step. When some of
///   them fail, the call fails with [`StoreError::Timeout`]: it may be kept for some. With a key it is completed by
///   sending it again, each device once.
/// - A key is remembered in the shards that the message was for: one that is used again for other users is taken for new.
/// - The limits on devices and on keys are of all shards together, as of each node's latest knowledge.
///
/// **Large audiences.** One call of a script deals with 1,000 devices of a shard, and the rest in further calls. This node's
/// later calls wait for that; those of others may come between, so two nodes that deliver to the same very large
/// audience at one moment may be seen in different order by different devices. When this node dies in the middle,
/// the rest gets nothing, unless the sender sends it again with the same key.
///
/// **Moving slots** of a cluster: while a slot is on its way to another server, the users of its shard are refused, since a
/// step there needs all keys of the shard in one place. Redis 8.4 and later can move a slot in one step.
#[derive(Clone)]
pub struct RedisDeviceStore(Arc<Owner>);

/// What ends with the store.
struct Owner {
    devices: Arc<Devices>,
    _task: Task,
    listening: Mutex<Vec<Listening>>,
}

pub(super) struct Devices {
    itself: Weak<Self>,
    link: Link,
    limits: QueueLimits,
    shards: Shards,
    lanes: Vec<Arc<Lane<Notes>>>,
    /// As each shard has said lately: devices, and keys.
    counts: Vec<(AtomicUsize, AtomicUsize)>,
    me: Mutex<Me>,
    /// The shards are to be looked at now.
    look: Notify,
    /// Hints may have been lost.
    gap: AtomicBool,
}

struct Me {
    node: Bytes,
    handler: Option<Weak<dyn DeviceHandler>>,
}

type Outcome<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Redis {
    /// A store in which each device's queue holds so much. All nodes should say the same; each goes by what it was told.
    pub fn device_store(&self, limits: QueueLimits) -> RedisDeviceStore {
        RedisDeviceStore::new(self.link.clone(), limits)
    }
}

impl RedisDeviceStore {
    pub(in crate::redis) fn new(link: Link, limits: QueueLimits) -> Self {
        let shards = Shards::new(&link, "d");
        let budget = link.budget(MOST_WAITING);
        let node = NodeId::from_number(rand::random());
        let devices = Arc::new_cyclic(|itself| Devices {
            itself: Weak::clone(itself),
            lanes: (0..shards.count()).map(|_| Lane::new(Notes::default(), Arc::clone(&budget))).collect(),
            counts: (0..shards.count()).map(|_| (AtomicUsize::new(0), AtomicUsize::new(0))).collect(),
            link,
            limits,
            shards,
            me: Mutex::new(Me { node: node.to_string().into(), handler: None }),
            look: Notify::new(),
            gap: AtomicBool::new(false),
        });
        devices.open();
        let task = devices.link.spawn(lease::keep(Arc::downgrade(&devices)));
        Self(Arc::new(Owner { devices, _task: task, listening: Mutex::new(Vec::new()) }))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.devices.release();
    }
}

impl Devices {
    fn node(&self) -> Bytes {
        self.me.lock().node.clone()
    }

    fn handler(&self) -> Option<Arc<dyn DeviceHandler>> {
        self.me.lock().handler.as_ref()?.upgrade()
    }

    fn lane(&self, shard: usize) -> Result<&Arc<Lane<Notes>>, StoreError> {
        self.lanes.get(shard).ok_or(StoreError::Closed)
    }

    fn lane_of(&self, device: &Device) -> Result<(usize, &Arc<Lane<Notes>>), StoreError> {
        let shard = self.shards.of(&device.user);
        Ok((shard, self.lane(shard)?))
    }

    /// Sends a script now. Call it with the lane's notes locked, or where order does not matter.
    fn send(&self, script: &'static Script, shard: usize, args: Vec<Bytes>, again: Again) -> Calling {
        Sending::new(script, self.shards.route(shard), args, again).send(&self.link)
    }

    /// Sends a script in its turn.
    fn call(&self, script: &'static Script, shard: usize, args: Vec<Bytes>) -> Calling {
        match (self.lane(shard), self.itself.upgrade()) {
            (Ok(lane), Some(devices)) => {
                lane.call(carried(&args), move |_| devices.send(script, shard, args, Again::Safe))
            }
            _ => ready(Err(super::link::LinkError::Away("the store is closed".to_owned()))).boxed(),
        }
    }

    fn counted(&self, shard: usize, devices: usize, keys: Option<usize>) {
        if let Some(counts) = self.counts.get(shard) {
            counts.0.store(devices, Ordering::Relaxed);
            if let Some(keys) = keys {
                counts.1.store(keys, Ordering::Relaxed);
            }
        }
    }

    /// What of a limit on all shards is left for one.
    fn share(
        &self,
        shard: usize,
        limit: usize,
        which: impl Fn(&(AtomicUsize, AtomicUsize)) -> usize,
    ) -> usize {
        let others = self.counts.iter().enumerate().filter(|(other, _)| *other != shard);
        limit.saturating_sub(others.map(|(_, counts)| which(counts)).sum())
    }

    fn arrived(&self, shard: usize, device: &Device, value: Value) -> Result<Arrived, StoreError> {
        let mut answer = Answer::new(value)?;
        let state: String = answer.take()?;
        let (is_leased, salt): (bool, String) = (answer.take()?, answer.take()?);
        self.seen(shard, is_leased, salt.clone());
        self.counted(shard, answer.take()?, None);
        match &*state {
            "ok" => {}
            "user" => return Err(StoreError::TooMany("devices of one user")),
            _ => return Err(StoreError::TooMany("devices")),
        }
        let epoch = answers::epoch(&answer.take::<String>()?, &salt);
        let (resumed, last): (bool, u64) = (answer.take()?, answer.take()?);
        let resyncs = answer.take_list(answers::resync)?;
        if let Ok(lane) = self.lane(shard) {
            lane.notes().is_at(device, last);
        }
        Ok(Arrived { epoch, resumed, last, resyncs })
    }

    fn expire_shard(self: &Arc<Self>, shard: usize, now: Timestamp) -> Outcome<Expired> {
        let args = vec![
            number(now.0),
            self.node(),
            self.link.publishes_by().into(),
            millis(self.limits.key_window),
            millis(self.limits.age),
            number(WORK),
        ];
        let (devices, first) = (Arc::clone(self), self.call(&scripts::EXPIRE, shard, args.clone()));
        async move {
            let mut expired = Expired::default();
            let mut calling = first;
            loop {
                let mut answer = Answer::new(calling.await?)?;
                let is_done: bool = answer.take()?;
                expired.devices += answer.take::<usize>()?;
                expired.resyncs.extend(answer.take_list(answers::resync_of)?);
                devices.counted(shard, answer.take()?, Some(answer.take()?));
                if is_done {
                    return Ok(expired);
                }
                calling = devices.call(&scripts::EXPIRE, shard, args.clone());
            }
        }
        .boxed()
    }
}

impl DeviceStore for RedisDeviceStore {
    fn start(&self, node: NodeId, handler: Weak<dyn DeviceHandler>) -> Result<(), StoreError> {
        let devices = &self.0.devices;
        *devices.me.lock() = Me { node: node.to_string().into(), handler: Some(handler) };
        let itself: Weak<dyn super::link::Listener> = Weak::<Devices>::clone(&devices.itself);
        let topics =
            (0..devices.shards.count()).map(|shard| format!("{}h:{node}", devices.shards.route(shard)));
        *self.0.listening.lock() =
            topics.map(|topic| devices.link.listen(topic, Weak::clone(&itself))).collect();
        devices.look.notify_one();
        Ok(())
    }

    fn arrive(&self, arrival: Arrival, now: Timestamp) -> Outcome<Arrived> {
        let devices = Arc::clone(&self.0.devices);
        let device = arrival.device.clone();
        let (shard, lane) = match devices.lane_of(&device) {
            Ok((shard, lane)) => (shard, Arc::clone(lane)),
            Err(error) => return ready(Err(error)).boxed(),
        };
        let sending = Arc::clone(&devices);
        let bytes = ARRIVING + arrival.rooms.iter().map(|room| room.len()).sum::<usize>();
        let is_noted = Arc::new(AtomicBool::new(false));
        let noting = Arc::clone(&is_noted);
        let calling = lane.call(bytes, move |notes| {
            noting.store(true, Ordering::Relaxed);
            let most =
                sending.share(shard, sending.limits.devices, |counts| counts.0.load(Ordering::Relaxed));
            let connections = notes.arrive(&arrival);
            let mut args = vec![
                number(now.0),
                sending.node(),
                text(&arrival.device.user),
                text(&arrival.device.id),
                number(connections),
                millis(arrival.ttl),
                format!("{:016x}", rand::random::<u64>()).into(),
                number(most),
                number(sending.limits.devices_per_user),
                millis(sending.limits.age),
                millis(sending.link.lease()),
                flag(false),
            ];
            let lasting = args.len() - 1;
            args.extend(here::sorted(&arrival.rooms).iter().map(text));
            Sending::new(&scripts::ARRIVE, sending.shards.route(shard), args, Again::Safe)
                .lasting(lasting, &sending.link)
                .send(&sending.link)
        });
        completed(async move {
            let answered = calling.await.map_err(StoreError::from);
            let arrived = answered.and_then(|value| devices.arrived(shard, &device, value));
            if arrived.is_err() && is_noted.load(Ordering::Relaxed) {
                lane.notes().not_arrived(&device);
                devices.look.notify_one();
            }
            arrived
        })
    }

    fn depart(&self, device: Device, now: Timestamp) -> Outcome<()> {
        let devices = Arc::clone(&self.0.devices);
        let (shard, lane) = match devices.lane_of(&device) {
            Ok((shard, lane)) => (shard, Arc::clone(lane)),
            Err(error) => return ready(Err(error)).boxed(),
        };
        let (sending, departing) = (Arc::clone(&devices), device.clone());
        let calling = lane.call_last(move |notes| match notes.depart(&departing) {
            // It did not arrive here.
            None => ready(Ok(Value::Nil)).boxed(),
            Some(connections) => sending.send_departure(shard, &departing, connections, now),
        });
        completed(async move {
            // The store sees to it itself: the caller, who would depart once more, has not to.
            let departed = calling.await;
            match departed.and_then(Answer::read::<Option<usize>>) {
                Ok(known) => known.into_iter().for_each(|known| devices.counted(shard, known, None)),
                Err(error) => {
                    tracing::debug!(%error, user = %device.user, "a device departs when Redis is there again");
                    lane.notes().is_wrong(device);
                    devices.look.notify_one();
                }
            }
            Ok(())
        })
    }

    fn append(&self, to: To, message: Message, now: Timestamp) -> Outcome<Appended> {
        match Append::new(&self.0.devices, to, message, now) {
            Ok(append) => completed(append.begin()),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn read(&self, device: Device, after: u64, limit: usize, _: Timestamp) -> Outcome<Vec<Entry>> {
        let devices = Arc::clone(&self.0.devices);
        let shard = devices.shards.of(&device.user);
        let limit = limit.min(usize::try_from(u32::MAX).unwrap_or(limit));
        let args = vec![text(&device.user), text(&device.id), number(after), number(limit)];
        let calling = devices.call(&scripts::READ, shard, args);
        async move {
            let mut answer = Answer::new(calling.await?)?;
            let entries = answer.take_list(answers::entry)?;
            let told = answer.take_list(Ok)?;
            if !told.is_empty()
                && let Some(handler) = devices.handler()
            {
                tracing::error!(user = %device.user, device = %device.id, "Redis dropped messages: it may not evict keys");
                handler.handle_resync(&device, &answers::resync(Value::Array(told))?);
            }
            if let (Some(last), Ok(lane)) = (entries.last(), devices.lane(shard)) {
                lane.notes().is_at(&device, last.seq);
            }
            Ok(entries)
        }
        .boxed()
    }

    fn acknowledge(&self, device: Device, what: Acknowledge, _: Timestamp) -> Outcome<Option<Resync>> {
        let devices = &self.0.devices;
        let (seq, is_through) = match what {
            Acknowledge::One(seq) => (seq, false),
            Acknowledge::Through(seq) => (seq, true),
        };
        let args = vec![
            devices.node(),
            devices.link.publishes_by().into(),
            text(&device.user),
            text(&device.id),
            number(seq),
            flag(is_through),
        ];
        let shard = devices.shards.of(&device.user);
        let (lane, sending, is_doubted) = match devices.lane(shard) {
            Ok(lane) => (lane, Arc::clone(devices), Arc::default()),
            Err(error) => return ready(Err(error)).boxed(),
        };
        let devices = Arc::clone(devices);
        let noting = Arc::clone(&is_doubted);
        let calling = lane.call(carried(&args), move |_| {
            Sending::new(&scripts::ACKNOWLEDGE, sending.shards.route(shard), args, Again::Safe)
                .noting(&noting)
                .send(&sending.link)
        });
        async move {
            match calling.await? {
                Value::Array(parts) if parts.is_empty() => {
                    if is_doubted.load(Ordering::Relaxed) {
                        // What the device is to be told may have been in the answer that was lost.
                        devices.missed();
                    }
                    Ok(None)
                }
                told => Ok(Some(answers::resync(told)?)),
            }
        }
        .boxed()
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> Outcome<()> {
        let devices = &self.0.devices;
        let mut args = vec![text(&device.user), text(&device.id)];
        args.extend(numbers.into_iter().map(number));
        let calling = devices.call(&scripts::TOLD, devices.shards.of(&device.user), args);
        async move {
            calling.await?;
            Ok(())
        }
        .boxed()
    }

    fn counts(&self) -> Option<QueueCounts> {
        let counts = self.0.devices.counts.iter();
        let devices = counts.map(|counts| counts.0.load(Ordering::Relaxed)).sum();
        Some(QueueCounts { devices, entries: None })
    }

    fn expire(&self, now: Timestamp) -> Outcome<Expired> {
        let devices = &self.0.devices;
        let expiring = join_all((0..devices.shards.count()).map(|shard| devices.expire_shard(shard, now)));
        completed(async move {
            let (mut all, mut failed, mut done) = (Expired::default(), None, false);
            for expired in expiring.await {
                match expired {
                    Ok(expired) => {
                        done = true;
                        all.devices += expired.devices;
                        all.resyncs.extend(expired.resyncs);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            // What was removed is to be told, whatever the others did.
            failed.filter(|_| !done).map_or(Ok(all), Err)
        })
    }
}

impl std::fmt::Debug for RedisDeviceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisDeviceStore")
    }
}

/// Brings work to its end also when nobody waits for it any more.
fn completed<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Outcome<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work.boxed() };
    let (tell, told) = oneshot::channel();
    runtime.spawn(async move {
        let _ = tell.send(work.await);
    });
    async move { told.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
}

fn text(text: &Arc<str>) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[allow(clippy::needless_pass_by_value, reason = "numbers are copied")]
fn number(number: impl ToString) -> Bytes {
    number.to_string().into()
}

fn flag(flag: bool) -> Bytes {
    Bytes::from_static(if flag { b"1" } else { b"0" })
}

/// Milliseconds, as many as Lua can count.
fn millis(time: Duration) -> Bytes {
    const MOST: u128 = 1 << 50;
    number(time.as_millis().min(MOST))
}
