//! Any calls in any order, on stores in Redis and in memory side by side: both say the same.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use tokensocket_server::{
    Acknowledge, Arrival, Change, Channel, Device, DeviceStore, Epoch, Member, MemoryDeviceStore,
    MemoryPresenceStore, Message, PresenceStore, QueueLimits, RawJson, Redis, RedisOptions, StoreError,
    Timestamp, To,
};
use tokensocket_tests::engine::{Redis as Engine, RedisCluster};

const STEPS: usize = 4_000;
/// So many calls are under way at a time, at most.
const AT_ONCE: usize = 6;

/// What a call of a store of device queues resolved to, as text. Epochs are told apart by their numbers.
type Said = BoxFuture<'static, String>;

#[derive(Debug, Clone)]
enum Step {
    Arrive(Arrival),
    Depart(Device),
    Append(To, Message),
    Read(Device, u64, usize),
    Acknowledge(Device, Acknowledge),
    Told(Device, Vec<u64>),
    Expire,
}

struct Dice {
    random: StdRng,
    count: u64,
    /// Limits are of each shard, and so is a key's memory.
    is_sharded: bool,
}

impl Dice {
    fn device(&mut self) -> Device {
        let (user, id) = (self.random.random_range(0..4), self.random.random_range(0..3));
        Device { user: format!("user {user}").into(), id: ["phone", "", "tablet"][id].into() }
    }

    /// Now and then more than a queue holds.
    fn bytes(&mut self) -> usize {
        let is_large = self.random.random_bool(0.02);
        self.random.random_range(if is_large { 60..80 } else { 0..16 })
    }

    /// Mostly one that is there.
    fn seq(&mut self, device: &Device, memory: &MemoryDeviceStore) -> u64 {
        let held = memory.read(device.clone(), 0, usize::MAX, Timestamp(0)).now_or_never().unwrap().unwrap();
        let seqs =
            held.iter().map(|entry| entry.seq).chain([0, 1, held.last().map_or(9, |last| last.seq + 1)]);
        seqs.choose(&mut self.random).unwrap_or_default()
    }

    fn to(&mut self) -> To {
        match self.random.random_range(0..8) {
            0..3 => To::user(format!("user {}", self.random.random_range(0..4))),
            3 => To::users(["user 0", "user 2", "user 0", "nobody"]),
            4 => To::room("a"),
            5 => To::rooms(["b", "a", "b", "empty"]),
            6 => To::rooms([""; 0]),
            _ => To::everyone(),
        }
    }

    fn step(&mut self, memory: &MemoryDeviceStore) -> Step {
        self.count += 1;
        let device = self.device();
        match self.random.random_range(0..22) {
            0..3 => {
                let rooms = ["a", "b", "b"].into_iter().filter(|_| self.random.random());
                let rooms = rooms.map(Arc::from).collect();
                let ttl = [0, 200, 5000, 5000][self.random.random_range(0..4)];
                Step::Arrive(Arrival { device, rooms, ttl: Duration::from_millis(ttl) })
            }
            3..5 => Step::Depart(device),
            5..13 => {
                let filling = "x".repeat(self.bytes());
                let text = format!("[{},\"{filling}\"]", self.count);
                let message = Message {
                    event: ["e", "f", "ü"][self.random.random_range(0..3)].into(),
                    args: RawJson::from_text(text).unwrap(),
                    resync: self.random.random(),
                    key: None,
                };
                let key = self.random.random_range(0..9);
                if key < 3 {
                    let to = if self.is_sharded { To::everyone() } else { self.to() };
                    return Step::Append(to, Message { key: Some(key.to_string().into()), ..message });
                }
                Step::Append(self.to(), message)
            }
            13..16 => {
                let after = self.seq(&device, memory);
                Step::Read(device, after, [1, 2, usize::MAX][self.random.random_range(0..3)])
            }
            16..20 => {
                let seq = self.seq(&device, memory);
                let is_batch = self.random.random_bool(0.2);
                let what = if is_batch { Acknowledge::Through(seq) } else { Acknowledge::One(seq) };
                Step::Acknowledge(device, what)
            }
            20 => Step::Told(device, (0..2).map(|_| self.random.random_range(1..6)).collect()),
            _ => Step::Expire,
        }
    }
}

/// Begins a call, now.
fn begin(store: &dyn DeviceStore, step: Step, now: Timestamp, epochs: Arc<Epochs>) -> Said {
    #[allow(clippy::needless_pass_by_value, reason = "futures are mapped by it")]
    fn said<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
        format!("{result:?}")
    }
    match step {
        Step::Arrive(arrival) => {
            let (device, arriving) = (arrival.device.clone(), store.arrive(arrival, now));
            arriving
                .map(move |arrived| {
                    said(arrived.map(|arrived| {
                        (
                            epochs.is_known(&device, &arrived.epoch),
                            arrived.resumed,
                            arrived.last,
                            arrived.resyncs,
                        )
                    }))
                })
                .boxed()
        }
        Step::Depart(device) => store.depart(device, now).map(said).boxed(),
        Step::Append(to, message) => store
            .append(to, message, now)
            .map(|appended| {
                said(appended.map(|mut appended| {
                    appended.queued.sort_by(|(one, _), (other, _)| one.cmp(other));
                    appended
                }))
            })
            .boxed(),
        Step::Read(device, after, limit) => store.read(device, after, limit, now).map(said).boxed(),
        Step::Acknowledge(device, what) => store.acknowledge(device, what, now).map(said).boxed(),
        Step::Told(device, numbers) => store.told(device, numbers).map(said).boxed(),
        Step::Expire => store
            .expire(now)
            .map(|expired| {
                said(expired.map(|mut expired| {
                    expired.resyncs.sort_by(|(a, x), (b, y)| (a, x.number).cmp(&(b, y.number)));
                    expired
                }))
            })
            .boxed(),
    }
}

/// The epoch that each device was told last.
#[derive(Default)]
struct Epochs(std::sync::Mutex<HashMap<Device, Epoch>>);

impl Epochs {
    fn is_known(&self, device: &Device, epoch: &Epoch) -> bool {
        self.0.lock().unwrap().insert(device.clone(), epoch.clone()).as_ref() == Some(epoch)
    }
}

async fn do_the_same(url: &str, limits: QueueLimits, seed: u64, is_sharded: bool) {
    let engine = Redis::connect(url, RedisOptions::new()).await.unwrap();
    let redis = engine.namespace(&format!("seed{seed}")).unwrap().device_store(limits.clone());
    let memory = MemoryDeviceStore::new(limits);
    let mut dice = Dice { random: StdRng::seed_from_u64(seed), count: 0, is_sharded };
    let epochs: [Arc<Epochs>; 2] = Default::default();
    let (mut now, mut steps, mut kinds) = (1_700_000_000_000, 0, HashMap::<String, usize>::new());
    while steps < STEPS {
        now += if dice.random.random_bool(0.3) { dice.random.random_range(0..60) } else { 0 };
        let at_once = dice.random.random_range(1..=AT_ONCE);
        let mut begun = Vec::new();
        for _ in 0..at_once {
            let (step, now) = (dice.step(&memory), Timestamp(now));
            let expected = begin(&memory, step.clone(), now, Arc::clone(&epochs[0]));
            let found = begin(&redis, step.clone(), now, Arc::clone(&epochs[1]));
            begun.push((step, expected, found));
        }
        // Epochs are noted in the order of the calls.
        for (step, expected, found) in begun {
            let (expected, found) = (expected.await, found.await);
            assert_eq!(found, expected, "seed {seed}, step {steps}: {step:?}");
            for word in
                ["Overflow", "Order", "Expired", "TooMany", "TooLarge", "duplicate: true", "true, true"]
            {
                *kinds.entry(word.to_owned()).or_default() += usize::from(found.contains(word));
            }
            steps += 1;
        }
    }
    // Counts are what each shard said last.
    let expired = [redis.expire(Timestamp(now)).await, memory.expire(Timestamp(now)).await];
    assert_eq!(expired[0].as_ref().unwrap().devices, expired[1].as_ref().unwrap().devices);
    assert_eq!(redis.counts().unwrap().devices, memory.counts().unwrap().devices, "seed {seed}");
    for (kind, count) in &kinds {
        let is_limit = kind == "TooMany" && is_sharded;
        assert!(*count > 0 || is_limit, "nothing of this kind ever happened: {kind}");
    }
}

fn limits() -> QueueLimits {
    QueueLimits {
        count: 3,
        bytes: 60,
        age: Duration::from_millis(300),
        key_window: Duration::from_millis(150),
        keys: 2,
        devices: 8,
        devices_per_user: 2,
    }
}

#[tokio::test]
async fn device_queues_do_what_those_in_memory_do() {
    let engine = Engine::start().await;
    for seed in 0..4 {
        do_the_same(&engine.url(), limits(), seed, false).await;
    }
}

#[tokio::test]
async fn device_queues_of_a_cluster_do_what_those_in_memory_do() {
    let cluster = RedisCluster::start().await;
    let limits = QueueLimits { devices: 100, keys: 100, ..limits() };
    for seed in 4..6 {
        do_the_same(&cluster.url(), limits.clone(), seed, true).await;
    }
}

#[tokio::test]
async fn device_queues_of_several_servers_do_what_those_in_memory_do() {
    let servers = [Engine::start().await, Engine::start().await];
    let url = servers.iter().map(Engine::url).collect::<Vec<_>>().join(",");
    do_the_same(&url, QueueLimits { devices: 100, keys: 100, ..limits() }, 6, true).await;
}

fn presence_step(store: &dyn PresenceStore, random: &mut StdRng, now: u64) -> BoxFuture<'static, String> {
    fn member(member: &Member) -> String {
        format!("{} {:?} {} {}", member.client, member.user, member.info.as_str(), member.since.0)
    }
    let number = random.random_range(0..3);
    let channel = Channel::new(format!("room {number}").replace(' ', ".")).unwrap();
    let per_user = number > 0;
    let client = random.random_range(0..8_u64);
    let said = |change: Result<Change, StoreError>| match change.unwrap() {
        Change::Joined(who) => format!("joined {}", member(&who)),
        Change::Left(who) => format!("left {}", member(&who)),
        Change::None => "none".to_owned(),
    };
    match random.random_range(0..8) {
        0..3 => {
            let user = (client % 3 > 0).then(|| Arc::from((client % 3).to_string()));
            let info = RawJson::new(&now).unwrap();
            let since = Timestamp(now / 3);
            let who = Member { client: client.to_string().into(), user, info, since };
            store.join(&channel, who, per_user).map(said).boxed()
        }
        3..6 => store.leave(&channel, &client.to_string(), per_user).map(said).boxed(),
        6 => store.counts(&channel).map(|counts| format!("{counts:?}")).boxed(),
        _ => {
            let after = random.random::<bool>().then(|| client.to_string());
            let limit = random.random_range(0..5);
            let members = store.members(&channel, after.as_deref(), limit, per_user);
            let said = |members: Vec<Member>| members.iter().map(member).collect::<Vec<_>>();
            members.map(move |members| format!("{:?}", members.map(said))).boxed()
        }
    }
}

async fn presence_is_the_same(url: &str, seed: u64) {
    let engine = Redis::connect(url, RedisOptions::new()).await.unwrap();
    let redis = engine.namespace(&format!("presence{seed}")).unwrap().presence_store();
    let memory = MemoryPresenceStore::new();
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = 1_700_000_000_000;
    for round in 0..STEPS / AT_ONCE {
        now += random.random_range(0..5);
        let begun: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let mut same = random.clone();
                let expected = presence_step(&memory, &mut random, now);
                (expected, presence_step(&redis, &mut same, now))
            })
            .collect();
        for (expected, found) in begun {
            assert_eq!(found.await, expected.await, "seed {seed}, round {round}");
        }
    }
}

#[tokio::test]
async fn presence_does_what_that_in_memory_does() {
    let engine = Engine::start().await;
    for seed in 0..3 {
        presence_is_the_same(&engine.url(), seed).await;
    }
}

#[tokio::test]
async fn presence_of_a_cluster_does_what_that_in_memory_does() {
    let cluster = RedisCluster::start().await;
    presence_is_the_same(&cluster.url(), 3).await;
}

#[tokio::test]
async fn presence_of_several_servers_does_what_that_in_memory_does() {
    let servers = [Engine::start().await, Engine::start().await];
    let url = servers.iter().map(Engine::url).collect::<Vec<_>>().join(",");
    presence_is_the_same(&url, 4).await;
}
