//! Random calls, beside queues in memory.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, MemoryDeviceStore, Message,
    NatsReplicaOptions, QueueLimits, Resync, Timestamp, To,
};
use tokensocket_tests::engine;

use crate::node::{Node, device, message};

/// Random calls at two nodes, one after the other, and at queues in memory: the same answers but for names of epochs.
#[tokio::test(flavor = "multi_thread")]
async fn answers_as_queues_in_memory_do() {
    let server = engine::Nats::start().await;
    let limits = QueueLimits {
        count: 4,
        bytes: 60,
        age: Duration::from_secs(40),
        key_window: Duration::from_secs(20),
        keys: 3,
        devices: 5,
        devices_per_user: 2,
    };
    for seed in 0..4 {
        let options = NatsReplicaOptions::new().image_every(25, 1 << 20);
        let namespace = format!("site{seed}");
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(Node::with(&server, &namespace, limits.clone(), options.clone()).await);
        }
        compare(&mut nodes, &server, &namespace, &limits, &options, seed).await;
    }
}

#[allow(clippy::too_many_lines, reason = "a line or two for each kind of call")]
async fn compare(
    nodes: &mut Vec<Node>,
    server: &engine::Nats,
    namespace: &str,
    limits: &QueueLimits,
    options: &NatsReplicaOptions,
    seed: u64,
) {
    let memory = MemoryDeviceStore::new(limits.clone());
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = 1_700_000_000_000_u64;
    let mut connected: Vec<(usize, Device)> = Vec::new();
    for step in 0..600 {
        now += random.random_range(0..2_000);
        let at = Timestamp(now);
        let node = random.random_range(0..nodes.len());
        if step % 200 == 150 {
            // One more, which reads an image and the log behind it.
            nodes.push(Node::with(server, namespace, limits.clone(), options.clone()).await);
        }
        let store = &nodes[node].store;
        let user = random.random_range(0..3).to_string();
        let device = device(&user, ["a", "b", "c"][random.random_range(0..3)]);
        let context = format!("seed {seed} step {step} {device:?}");
        match random.random_range(0..10) {
            0 | 1 => {
                let ttl = Duration::from_secs(random.random_range(0..30));
                let rooms = (0..random.random_range(0..3))
                    .map(|_| ["x", "y"][random.random_range(0..2)].into())
                    .collect();
                let arrival = Arrival { device: device.clone(), rooms, ttl };
                let (ours, theirs) =
                    (store.arrive(arrival.clone(), at).await, memory.arrive(arrival, at).await);
                if ours.is_ok() {
                    connected.push((node, device));
                }
                let plain = |arrived: Arrived| (arrived.resumed, arrived.last, arrived.resyncs);
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
            2 if !connected.is_empty() => {
                let (node, device) = connected.swap_remove(random.random_range(0..connected.len()));
                nodes[node].store.depart(device.clone(), at).await.unwrap();
                memory.depart(device, at).await.unwrap();
            }
            3..=5 => {
                let to = match random.random_range(0..4) {
                    0 => To::everyone(),
                    1 => To::room("x"),
                    2 => To::rooms(["x", "y"]),
                    _ => To::users([user.as_str(), "1"]),
                };
                let message = Message {
                    event: ["e", "f"][random.random_range(0..2)].into(),
                    resync: random.random(),
                    key: random
                        .random_bool(0.2)
                        .then(|| ["k", "l", "m", "n"][random.random_range(0..4)].into()),
                    ..message("x".repeat(random.random_range(0..30)))
                };
                let (ours, theirs) = (
                    store.append(to.clone(), message.clone(), at).await,
                    memory.append(to, message, at).await,
                );
                let plain = |mut appended: Appended| {
                    appended.queued.sort_by(|(a, _), (b, _)| a.cmp(b));
                    (appended.queued, appended.duplicate)
                };
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
            6 | 7 => {
                let seq = random.random_range(0..40);
                let what = if random.random() { Acknowledge::One(seq) } else { Acknowledge::Through(seq) };
                let ours = store.acknowledge(device.clone(), what, at).await;
                assert_eq!(ours, memory.acknowledge(device, what, at).await, "{context}");
            }
            8 => {
                let (ours, theirs) = (store.expire(at).await.unwrap(), memory.expire(at).await.unwrap());
                let plain = |mut resyncs: Vec<(Device, Resync)>| {
                    resyncs.sort_by_key(|(device, resync)| (device.clone(), resync.number));
                    resyncs
                };
                assert_eq!(
                    (ours.devices, plain(ours.resyncs)),
                    (theirs.devices, plain(theirs.resyncs)),
                    "{context}"
                );
            }
            _ => {
                let numbers: Vec<u64> = (0..random.random_range(0..6)).collect();
                store.told(device.clone(), numbers.clone()).await.unwrap();
                memory.told(device.clone(), numbers).await.unwrap();
                let plain = |entries: Vec<tokensocket_server::Entry>| {
                    entries
                        .into_iter()
                        .map(|entry| (entry.seq, entry.message.args, entry.at))
                        .collect::<Vec<_>>()
                };
                let (ours, theirs) =
                    (store.read(device.clone(), 0, 9, at).await, memory.read(device, 0, 9, at).await);
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
        }
    }
    for node in nodes.iter() {
        node.is_up_to_date().await;
        for user in ["0", "1", "2"] {
            for id in ["a", "b", "c"] {
                let entries = memory.read(device(user, id), 0, 99, Timestamp(now)).await.unwrap();
                let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
                assert_eq!(node.read(user, id).await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), seqs);
            }
        }
        assert_eq!(node.store.counts(), memory.counts());
    }
}
