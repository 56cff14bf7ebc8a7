//! The duties of a [`DeviceStore`].

use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::RawJson;

use crate::delivery::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Message, QueueLimits, Queued,
    Resync, ResyncReason, To,
};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

fn message(event: &str, args: &str) -> Message {
    let args = RawJson::from_text(args.to_owned()).unwrap();
    Message { event: event.into(), args, resync: true, key: None }
}

/// A store, and the few words in which the checks talk to it.
struct Bench<S>(S);

impl<S: DeviceStore> Bench<S> {
    async fn arrive(&self, user: &str, id: &str, rooms: &[&str], now: u64) -> Arrived {
        let rooms = rooms.iter().map(|&room| Arc::from(room)).collect();
        let arrival = Arrival { device: device(user, id), rooms, ttl: Duration::from_mins(1) };
        self.0.arrive(arrival, at(now)).await.unwrap()
    }

    async fn depart(&self, user: &str, id: &str, now: u64) {
        self.0.depart(device(user, id), at(now)).await.unwrap();
    }

    async fn append(&self, to: To, event: &str, args: &str, now: u64) -> Appended {
        self.0.append(to, message(event, args), at(now)).await.unwrap()
    }

    /// The places at which a message to one user's devices stands.
    async fn seqs(&self, user: &str, event: &str, now: u64) -> Vec<u64> {
        let appended = self.append(To::user(user), event, "[]", now).await;
        let seq = |queued: &Queued| match queued {
            Queued::At(seq) => *seq,
            Queued::Overflowed { .. } => panic!("nothing is full"),
        };
        appended.queued.iter().map(|(_, queued)| seq(queued)).collect()
    }

    async fn read(&self, user: &str, id: &str, after: u64, limit: usize, now: u64) -> Vec<Entry> {
        self.0.read(device(user, id), after, limit, at(now)).await.unwrap()
    }

    async fn held(&self, user: &str, id: &str, now: u64) -> Vec<u64> {
        self.read(user, id, 0, usize::MAX, now).await.iter().map(|entry| entry.seq).collect()
    }

    async fn acknowledge(&self, user: &str, id: &str, what: Acknowledge) -> Option<Resync> {
        self.0.acknowledge(device(user, id), what, at(0)).await.unwrap()
    }

    async fn told(&self, user: &str, id: &str, numbers: &[u64]) {
        self.0.told(device(user, id), numbers.to_vec()).await.unwrap();
    }
}

/// Checks every duty that shows within one process. `new` makes an empty store with these limits; it is called
/// several times, each time before anything is done with the store before.
///
/// # Panics
///
/// When the store does not do one of its duties.
pub async fn devices<S: DeviceStore>(new: impl AsyncFn(QueueLimits) -> S) {
    let fresh = async || Bench(new(QueueLimits::default()).await);
    keeps_order_and_content(&fresh().await).await;
    removes_what_is_acknowledged_and_nothing_else(&fresh().await).await;
    finds_those_whom_a_message_is_for(&fresh().await).await;
    remembers_devices_for_their_time_to_live(&fresh().await).await;
    clears_an_event_that_is_acknowledged_out_of_order(&fresh().await).await;
    recognises_keys(&fresh().await).await;
    sees_calls_in_their_order(&fresh().await).await;
    bounds_queues(new).await;
}

async fn keeps_order_and_content<S: DeviceStore>(bench: &Bench<S>) {
    let arrived = bench.arrive("8", "phone", &[], 0).await;
    assert!(!arrived.resumed && arrived.last == 0 && arrived.resyncs.is_empty(), "{arrived:?}");
    bench.append(To::user("8"), "e", r#"["a",{"b":1}]"#, 1).await;
    bench.append(To::user("8"), "ü", "[]", 2).await;
    let entries = bench.read("8", "phone", 0, usize::MAX, 3).await;
    let said: Vec<_> = entries
        .iter()
        .map(|Entry { seq, message, at }| (*seq, &*message.event, message.args.as_str(), message.resync, *at))
        .collect();
    assert_eq!(said, [(1, "e", r#"["a",{"b":1}]"#, true, at(1)), (2, "ü", "[]", true, at(2))]);
    assert_eq!(bench.read("8", "phone", 1, usize::MAX, 3).await[0].seq, 2);
    assert_eq!(bench.read("8", "phone", 0, 1, 3).await.len(), 1);
    assert!(bench.read("8", "phone", 2, usize::MAX, 3).await.is_empty());
    assert!(bench.read("9", "phone", 0, usize::MAX, 3).await.is_empty(), "of a device that nobody knows");
    let again = bench.arrive("8", "phone", &[], 4).await;
    assert_eq!((again.epoch, again.resumed, again.last), (arrived.epoch, true, 2));
}

async fn removes_what_is_acknowledged_and_nothing_else<S: DeviceStore>(bench: &Bench<S>) {
    bench.arrive("8", "phone", &[], 0).await;
    bench.arrive("8", "tablet", &[], 0).await;
    for _ in 0..5 {
        bench.append(To::user("8"), "e", "[]", 0).await;
    }
    let phone = |what| bench.acknowledge("8", "phone", what);
    assert_eq!(phone(Acknowledge::One(1)).await, None);
    assert_eq!(bench.held("8", "phone", 0).await, [2, 3, 4, 5]);
    assert_eq!(phone(Acknowledge::One(1)).await, None, "what is gone already");
    assert_eq!(phone(Acknowledge::Through(3)).await, None);
    assert_eq!(phone(Acknowledge::One(9)).await, None, "what was never there");
    assert_eq!(phone(Acknowledge::Through(9)).await, None, "a batch that was never there");
    assert_eq!(bench.held("8", "phone", 0).await, [4, 5]);
    assert_eq!(bench.held("8", "tablet", 0).await, [1, 2, 3, 4, 5], "another device");
    assert_eq!(bench.acknowledge("9", "phone", Acknowledge::One(1)).await, None, "of nobody");
    phone(Acknowledge::Through(5)).await;
    assert_eq!(bench.seqs("8", "e", 0).await, [6, 6], "places are not used again");
}

async fn finds_those_whom_a_message_is_for<S: DeviceStore>(bench: &Bench<S>) {
    bench.arrive("1", "a", &["staff"], 0).await;
    bench.arrive("1", "b", &["staff"], 0).await;
    bench.arrive("2", "a", &["staff", "desk"], 0).await;
    bench.arrive("3", "a", &[], 0).await;
    bench.depart("2", "a", 1).await;
    let count = async |to: To| {
        let mut devices: Vec<_> =
            bench.append(to, "e", "[]", 2).await.queued.into_iter().map(|(device, _)| device).collect();
        let all = devices.len();
        devices.sort();
        devices.dedup();
        assert_eq!(devices.len(), all, "each device is meant once");
        all
    };
    assert_eq!(count(To::user("1")).await, 2);
    assert_eq!(count(To::users(["1", "3", "1", "nobody"])).await, 3);
    assert_eq!(count(To::room("staff")).await, 3);
    assert_eq!(count(To::room("desk")).await, 1);
    assert_eq!(count(To::room("nobody")).await, 0);
    assert_eq!(count(To::rooms(["desk", "staff", "nobody", "desk"])).await, 3);
    assert_eq!(count(To::rooms(["desk"])).await, 1);
    assert_eq!(count(To::rooms([""; 0])).await, 0);
    assert_eq!(count(To::everyone()).await, 4);
    // The last that connects says which rooms its user is in.
    bench.arrive("1", "b", &["desk"], 3).await;
    assert_eq!(count(To::room("staff")).await, 1);
    assert_eq!(count(To::room("desk")).await, 3);
}

async fn remembers_devices_for_their_time_to_live<S: DeviceStore>(bench: &Bench<S>) {
    let first = bench.arrive("8", "phone", &["r"], 0).await;
    bench.arrive("8", "phone", &["r"], 1).await;
    bench.depart("8", "phone", 2).await;
    assert_eq!(bench.seqs("8", "e", 1000).await, [1], "connected by another connection");
    bench.depart("8", "phone", 1000).await;
    bench.depart("8", "phone", 1050).await;
    assert_eq!(bench.seqs("8", "e", 1059).await, [2]);
    assert_eq!(bench.seqs("8", "e", 1060).await, [0; 0], "one second more, and it is forgotten");
    assert_eq!(bench.append(To::room("r"), "e", "[]", 1061).await.queued.len(), 0);
    let expired = bench.0.expire(at(1061)).await.unwrap();
    assert!(expired.devices <= 1 && expired.resyncs.is_empty(), "{expired:?}");
    let again = bench.arrive("8", "phone", &[], 1062).await;
    assert!(!again.resumed && again.epoch != first.epoch && again.last == 0, "{again:?}");
    assert!(bench.held("8", "phone", 1062).await.is_empty());
    // Without a time to live it ends with its connection.
    let arrival = Arrival { device: device("9", "tab"), rooms: Vec::new(), ttl: Duration::ZERO };
    bench.0.arrive(arrival, at(1062)).await.unwrap();
    assert_eq!(bench.seqs("9", "e", 1062).await, [1]);
    bench.depart("9", "tab", 1062).await;
    assert_eq!(bench.seqs("9", "e", 1062).await, [0; 0]);
    bench.depart("10", "nobody", 1062).await;
}

async fn clears_an_event_that_is_acknowledged_out_of_order<S: DeviceStore>(bench: &Bench<S>) {
    bench.arrive("8", "phone", &[], 0).await;
    for event in ["a", "b", "a", "a", "b"] {
        bench.append(To::user("8"), event, "[]", 0).await;
    }
    let acknowledge = |seq| bench.acknowledge("8", "phone", Acknowledge::One(seq));
    assert_eq!(acknowledge(2).await, None, "the head of its event's queue");
    let resync = acknowledge(4).await.unwrap();
    assert_eq!((resync.event.as_deref(), resync.reason), (Some("a"), ResyncReason::Order));
    assert_eq!(bench.held("8", "phone", 0).await, [5]);
    for _ in 0..2 {
        assert_eq!(bench.arrive("8", "phone", &[], 1).await.resyncs, std::slice::from_ref(&resync));
    }
    bench.told("8", "phone", &[resync.number + 1]).await;
    assert_eq!(bench.arrive("8", "phone", &[], 1).await.resyncs.len(), 1, "told of another one");
    bench.told("8", "phone", &[resync.number]).await;
    assert_eq!(bench.arrive("8", "phone", &[], 1).await.resyncs, []);
    // Where order does not matter, any will do.
    let plain = Message { resync: false, ..message("c", "[]") };
    for _ in 0..2 {
        bench.0.append(To::user("8"), plain.clone(), at(1)).await.unwrap();
    }
    assert_eq!(acknowledge(7).await, None);
    assert_eq!(bench.held("8", "phone", 1).await, [5, 6]);
}

async fn recognises_keys<S: DeviceStore>(bench: &Bench<S>) {
    bench.arrive("8", "phone", &[], 0).await;
    let append = async |key: &str, now| {
        let message = Message { key: Some(key.into()), ..message("e", "[]") };
        let appended = bench.0.append(To::user("8"), message, at(now)).await.unwrap();
        assert!(!appended.duplicate || appended.queued.is_empty());
        appended.duplicate
    };
    assert!(!append("x", 0).await);
    assert!(append("x", 299).await);
    assert!(!append("y", 299).await);
    assert!(!append("x", 300).await, "its window is over");
    assert_eq!(bench.held("8", "phone", 300).await, [1, 2, 3]);
}

async fn sees_calls_in_their_order<S: DeviceStore>(bench: &Bench<S>) {
    let arrival = Arrival { device: device("8", "phone"), rooms: Vec::new(), ttl: Duration::from_mins(1) };
    // Called one after the other, awaited the other way round, one not at all.
    let arriving = bench.0.arrive(arrival, at(0));
    drop(bench.0.append(To::user("8"), message("e", "[1]"), at(0)));
    let second = bench.0.append(To::user("8"), message("e", "[2]"), at(0));
    let reading = bench.0.read(device("8", "phone"), 0, usize::MAX, at(0));
    let acknowledging = bench.0.acknowledge(device("8", "phone"), Acknowledge::One(1), at(0));
    let rest = bench.0.read(device("8", "phone"), 0, usize::MAX, at(0));
    let seqs = |entries: Vec<Entry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(rest.await.unwrap()), [2]);
    assert_eq!(acknowledging.await.unwrap(), None);
    assert_eq!(seqs(reading.await.unwrap()), [1, 2]);
    assert_eq!(second.await.unwrap().queued[0].1, Queued::At(2));
    assert_eq!(arriving.await.unwrap().last, 0);
}

async fn bounds_queues<S: DeviceStore>(new: impl AsyncFn(QueueLimits) -> S) {
    let limits = QueueLimits {
        count: 3,
        bytes: 100,
        age: Duration::from_secs(50),
        keys: 1,
        devices: 3,
        devices_per_user: 1,
        ..QueueLimits::default()
    };
    let bench = Bench(new(limits).await);
    bench.arrive("8", "phone", &[], 0).await;
    bench.arrive("9", "phone", &[], 0).await;
    bench.arrive("10", "phone", &[], 0).await;
    for (user, id) in [("11", "phone"), ("10", "tablet")] {
        let arrival = Arrival { device: device(user, id), rooms: Vec::new(), ttl: Duration::ZERO };
        let refused = bench.0.arrive(arrival, at(0)).await;
        assert!(matches!(refused, Err(StoreError::TooMany(_))), "{refused:?}");
    }

    // Too many.
    for _ in 0..3 {
        bench.append(To::user("8"), "e", "[]", 0).await;
    }
    let full = bench.append(To::everyone(), "e", "[]", 0).await;
    let of = |appended: &Appended, user: &str| {
        appended.queued.iter().find(|(device, _)| &*device.user == user).unwrap().1.clone()
    };
    let Queued::Overflowed { last: 3, resync } = of(&full, "8") else { panic!("{full:?}") };
    assert_eq!((resync.event.clone(), resync.reason), (None, ResyncReason::Overflow));
    assert_eq!(of(&full, "9"), Queued::At(1), "another queue has room");
    assert!(bench.held("8", "phone", 0).await.is_empty());
    assert_eq!(bench.seqs("8", "e", 0).await, [4]);
    assert_eq!(bench.arrive("8", "phone", &[], 0).await.resyncs, std::slice::from_ref(&resync));
    bench.told("8", "phone", &[resync.number]).await;

    bench.acknowledge("10", "phone", Acknowledge::Through(1)).await;

    // Too much.
    let large = format!("[\"{}\"]", "x".repeat(60));
    bench.append(To::user("9"), "e", &large, 0).await;
    let full = bench.append(To::user("9"), "e", &large, 0).await;
    assert!(matches!(of(&full, "9"), Queued::Overflowed { last: 2, .. }), "{full:?}");
    let huge = message("e", &format!("[\"{}\"]", "x".repeat(120)));
    let refused = bench.0.append(To::everyone(), huge, at(0)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { limit: 100, .. })), "{refused:?}");
    assert_eq!(bench.held("8", "phone", 0).await, [4], "it cleared nothing");

    // Too old.
    bench.append(To::user("8"), "late", "[]", 10).await;
    assert_eq!(bench.held("8", "phone", 50).await, [4, 5], "not hidden before anybody can be told");
    let expired = bench.0.expire(at(50)).await.unwrap();
    let [(who, resync)] = &expired.resyncs[..] else { panic!("{expired:?}") };
    assert_eq!((&*who.user, resync.event.as_deref()), ("8", Some("e")));
    assert_eq!(resync.reason, ResyncReason::Expired);
    assert_eq!(bench.held("8", "phone", 50).await, [5]);

    // Too many keys.
    let keyed = |key: &str| Message { key: Some(key.into()), ..message("e", "[]") };
    bench.0.append(To::user("8"), keyed("x"), at(60)).await.unwrap();
    let refused = bench.0.append(To::user("8"), keyed("y"), at(60)).await;
    assert!(matches!(refused, Err(StoreError::TooMany(_))), "{refused:?}");
    bench.0.append(To::user("8"), keyed("y"), at(360)).await.unwrap();
}

/// Checks what a durable store must still know when it is opened again. Each call of `open` gives the same data, after
/// the store before was dropped.
///
/// # Panics
///
/// When the store has forgotten something.
pub async fn devices_kept<S: DeviceStore>(open: impl AsyncFn(QueueLimits) -> S) {
    let begun = Timestamp::now();
    keeps_what_it_knew(&open, begun).await;
    // Whoever was connected departed at the latest when the store was opened again.
    let second = |n: u64| seconds(begun) + n;
    let bench = Bench(open(few()).await);
    assert_eq!(bench.seqs("8", "e", second(30)).await, [5]);
    assert_eq!(bench.append(To::user("8"), "e", "[]", second(600)).await.queued.len(), 0);
    bench.0.expire(at(second(600))).await.unwrap();
    drop(bench);

    let bench = Bench(open(few()).await);
    let arrived = bench.arrive("8", "phone", &[], second(601)).await;
    assert!(!arrived.resumed && arrived.resyncs.is_empty(), "{arrived:?}");
    assert!(bench.held("8", "phone", second(601)).await.is_empty());
}

/// The same for a store that has a clock of its own, before which it forgets nothing whatever it is told the time is. Waits
/// for that, a few seconds.
///
/// # Panics
///
/// When the store has forgotten something, or has forgotten nothing in time.
pub async fn devices_kept_by_own_clock<S: DeviceStore>(open: impl AsyncFn(QueueLimits) -> S) {
    const TTL: Duration = Duration::from_secs(2);
    const PATIENCE: Duration = Duration::from_mins(1);
    const MILLISECOND: Duration = Duration::from_millis(1);
    let begun = Timestamp::now();
    keeps_what_it_knew(&open, begun).await;
    let bench = Bench(open(few()).await);
    assert_eq!(bench.seqs("8", "e", seconds(begun) + 30).await, [5]);
    // From here on for its own time.
    let arrival = Arrival { device: device("8", "phone"), rooms: Vec::new(), ttl: TTL };
    bench.0.arrive(arrival, Timestamp::now()).await.unwrap();
    let opened = std::time::Instant::now();
    drop(bench);
    let bench = Bench(open(few()).await);
    let is_known = async || {
        let appended = bench.0.append(To::user("8"), message("e", "[]"), Timestamp::now()).await.unwrap();
        !appended.queued.is_empty()
    };
    while is_known().await {
        assert!(opened.elapsed() < PATIENCE, "it is remembered for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Both clocks count whole milliseconds.
    assert!(opened.elapsed() + MILLISECOND >= TTL, "it is forgotten after {:?}", opened.elapsed());
    bench.0.expire(Timestamp::now()).await.unwrap();
    drop(bench);

    let bench = Bench(open(few()).await);
    let arrived = bench.arrive("8", "phone", &[], seconds(Timestamp::now())).await;
    assert!(!arrived.resumed && arrived.resyncs.is_empty(), "{arrived:?}");
    assert!(bench.held("8", "phone", seconds(Timestamp::now())).await.is_empty());
}

fn few() -> QueueLimits {
    QueueLimits { count: 3, ..QueueLimits::default() }
}

/// A time as the bench counts it.
fn seconds(time: Timestamp) -> u64 {
    (time.0 - at(0).0) / 1000
}

async fn keeps_what_it_knew<S: DeviceStore>(open: &impl AsyncFn(QueueLimits) -> S, begun: Timestamp) {
    let bench = Bench(open(few()).await);
    let second = |n: u64| seconds(begun) + n;
    let first = bench.arrive("8", "phone", &["staff"], second(0)).await;
    bench.arrive("9", "phone", &["staff"], second(0)).await;
    let keyed = Message { key: Some("key".into()), ..message("e", r#"["kept"]"#) };
    bench.0.append(To::user("8"), keyed.clone(), at(second(0))).await.unwrap();
    bench.append(To::user("8"), "e", "[2]", second(0)).await;
    bench.append(To::everyone(), "e", "[3]", second(0)).await;
    bench.acknowledge("8", "phone", Acknowledge::One(1)).await;
    bench.acknowledge("9", "phone", Acknowledge::Through(1)).await;
    drop(bench);

    let bench = Bench(open(few()).await);
    let again = bench.0.append(To::user("8"), keyed, at(second(1))).await.unwrap();
    assert!(again.duplicate, "the key is remembered");
    assert_eq!(
        bench.append(To::room("staff"), "e", "[4]", second(1)).await.queued.len(),
        2,
        "so is the room"
    );
    let arrived = bench.arrive("8", "phone", &["staff"], second(2)).await;
    assert_eq!((arrived.epoch, arrived.resumed, arrived.last), (first.epoch, true, 4));
    let entries = bench.read("8", "phone", 0, usize::MAX, second(2)).await;
    let said: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.message.args.as_str())).collect();
    assert_eq!(said, [(2, "[2]"), (3, "[3]"), (4, "[4]")]);
    let entries = bench.read("9", "phone", 0, usize::MAX, second(2)).await;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2], "places go on");
    let full = bench.append(To::user("8"), "e", "[5]", second(2)).await;
    let [(_, Queued::Overflowed { resync, .. })] = &full.queued[..] else { panic!("{full:?}") };
    drop(bench);

    let bench = Bench(open(few()).await);
    let arrived = bench.arrive("8", "phone", &[], second(3)).await;
    assert_eq!(arrived.resyncs, std::slice::from_ref(resync), "what it was not told is kept");
    assert!(bench.held("8", "phone", second(3)).await.is_empty());
    bench.told("8", "phone", &[resync.number]).await;
}
