//! Queues of devices that survive the process.
//!
//! ```text
//! operation ──▶ Queues, in memory ──changes──▶ writer ──durable──▶ the operation's future
//!                     read ──which entries──▶ behind what is being written ──▶ reader ──arguments──▶
//! ```
//!
//! In: what [`DeviceStore`] asks. Out: the same as from memory, durable. All but the arguments of messages is in
//! memory, too. Knows no file.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::RawJson;
use tokio::sync::oneshot;

use super::contents::Contents;
use super::disk::Fetch;
use super::layout::Layout;
use super::reader::Reader;
use super::record::Write;
use super::writer::{Done, Restore, Writer};
use crate::delivery::queues::{Change, Content, Held, Queues};
use crate::delivery::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, Message, QueueCounts,
    QueueLimits, Resync, To,
};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// The device queues of an [`EmbeddedStore`](super::EmbeddedStore). Cloning shares them.
///
/// What resolves is on the disk, in the meaning of its [`Durability`](super::Durability). About 200 bytes of memory
/// are taken for each entry; the arguments of messages are on the disk alone.
#[derive(Clone)]
pub struct EmbeddedDeviceStore(pub(super) Arc<Devices>);

pub(super) struct Devices {
    state: Mutex<State>,
    writer: Arc<Writer>,
    reader: Reader,
    fetch: Arc<dyn Fetch>,
    limits: QueueLimits,
    itself: Weak<Self>,
}

struct State {
    queues: Queues<()>,
    /// Who has to be connected again after the queues were read from the disk, and how often.
    connected: HashMap<Device, (Arrival, usize)>,
    changes: Vec<Change<()>>,
    layout: Layout,
    /// Devices that lost an entry while they read.
    untold: Vec<(Device, Resync)>,
    /// Arguments that are being written, by the ticket of their job and the id of their message, both ascending.
    writing: VecDeque<(u64, u64, RawJson)>,
}

impl State {
    /// The arguments of a message that is not on the disk yet.
    fn writing(&self, message: u64) -> Option<RawJson> {
        let at = self.writing.binary_search_by_key(&message, |(_, id, _)| *id).ok()?;
        self.writing.get(at).map(|(.., args)| args.clone())
    }
}

/// Longer than queues take to be restored.
const RESTORING: Duration = Duration::from_hours(24);

/// Where a message's arguments are.
enum Args {
    Known(RawJson),
    At(Vec<u8>),
}

/// What an operation may need.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    More,
    Less,
}

type Outcome<R> = BoxFuture<'static, Result<R, StoreError>>;

impl Devices {
    pub(super) fn new(
        limits: QueueLimits,
        writer: Arc<Writer>,
        reader: Reader,
        fetch: Arc<dyn Fetch>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            state: Mutex::new(State {
                queues: Queues::new(limits.clone(), rand::random()),
                connected: HashMap::new(),
                changes: Vec::new(),
                layout: Layout::default(),
                untold: Vec::new(),
                writing: VecDeque::new(),
            }),
            writer,
            reader,
            fetch,
            limits,
            itself: Weak::clone(itself),
        })
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queues.devices(), state.queues.entries())
    }

    /// Does something with the queues, and resolves when what it changed is durable. `failed` is called before
    /// it resolves to an error of the disk.
    fn run<R: Send + 'static>(
        &self,
        room: Room,
        args: Option<RawJson>,
        operation: impl FnOnce(&mut State, &mut Vec<Change<()>>) -> Result<R, StoreError>,
        failed: impl FnOnce(&Self) + Send + 'static,
    ) -> Outcome<R> {
        let mut state = self.state.lock();
        if let Err(error) = self.writer.admit(room == Room::More) {
            return ready(Err(error)).boxed();
        }
        let mut changes = std::mem::take(&mut state.changes);
        let result = operation(&mut state, &mut changes);
        while state.writing.front().is_some_and(|(ticket, ..)| self.writer.is_settled(*ticket)) {
            state.writing.pop_front();
        }
        let message = changes.iter().find_map(|change| match change {
            Change::PutMessage(message) => Some(message.id),
            _ => None,
        });
        let text = args.as_ref().map_or("", RawJson::as_str);
        let writes = state.layout.writes(&mut changes, text);
        state.changes = changes;
        let (tell, told) = oneshot::channel();
        let itself = Weak::clone(&self.itself);
        let done: Done = Box::new(move |outcome| {
            if outcome.is_err()
                && let Some(itself) = itself.upgrade()
            {
                failed(&itself);
            }
            // Nobody may wait any more.
            let _ = tell.send(outcome);
        });
        let submitted = self.writer.submit(writes, done);
        if let (Some(message), Some(args)) = (message, args) {
            state.writing.push_back((submitted.ticket, message, args));
        }
        drop(state);
        submitted.settle();
        async move {
            let outcome = told.await.map_err(|_| StoreError::Closed)?;
            let value = result?;
            outcome.map(|()| value)
        }
        .boxed()
    }

    fn read(&self, device: Device, after: u64, limit: usize, now: Timestamp) -> Outcome<Vec<Entry>> {
        let state = self.state.lock();
        if let Err(error) = self.writer.admit(false) {
            return ready(Err(error)).boxed();
        }
        let held = state.queues.read(&device, after, limit, now);
        let held: Vec<_> = held
            .into_iter()
            .map(|held| match state.writing(held.message.id) {
                Some(args) => (Args::Known(args), held),
                None => (Args::At(state.layout.key(held.message.id)), held),
            })
            .collect();
        let (tell, told) = oneshot::channel();
        let (reader, itself) = (self.reader.clone(), Weak::clone(&self.itself));
        let done: Done = Box::new(move |outcome| {
            if outcome.is_err() || held.is_empty() {
                let _ = tell.send(outcome.map(|()| Vec::new()));
                return;
            }
            let read = move || {
                let entries =
                    itself.upgrade().map_or(Err(StoreError::Closed), |itself| itself.fetch(&device, held));
                let _ = tell.send(entries);
            };
            // Refused: the future finds its sender gone.
            let _ = reader.run(read);
        });
        let submitted = self.writer.submit(Vec::new(), done);
        drop(state);
        submitted.settle();
        async move { told.await.unwrap_or(Err(StoreError::Overloaded)) }.boxed()
    }

    /// Entries with their arguments. Blocks.
    fn fetch(&self, device: &Device, held: Vec<(Args, Held<()>)>) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::with_capacity(held.len());
        for (args, Held { seq, message }) in held {
            let args = match args {
                Args::Known(args) => Some(args),
                Args::At(key) => self.fetch.args(&key)?,
            };
            let Some(args) = args else {
                self.missing(device, seq, message.id);
                continue;
            };
            let Content { event, resync, key, .. } = message.content;
            entries.push(Entry { seq, message: Message { event, args, resync, key }, at: message.at });
        }
        Ok(entries)
    }

    /// A message is not where it should be: it was acknowledged meanwhile, or is damaged.
    fn missing(&self, device: &Device, seq: u64, message: u64) {
        let mut state = self.state.lock();
        let State { queues, changes, layout, untold, .. } = &mut *state;
        let there = queues.read(device, seq.saturating_sub(1), 1, Timestamp(0));
        if there.first().is_none_or(|held| held.seq != seq || held.message.id != message) {
            return;
        }
        tracing::error!(user = %device.user, device = %device.id, seq, "an entry is lost: its message cannot be read");
        untold.extend(queues.lost(device, changes).map(|resync| (device.clone(), resync)));
        queues.acknowledge(device, Acknowledge::One(seq), changes);
        let writes = layout.writes(changes, "");
        let submitted = self.writer.submit(writes, Box::new(|_| {}));
        drop(state);
        submitted.settle();
    }

    fn connected(&self, arrival: &Arrival) {
        Self::connect(&mut self.state.lock(), arrival);
    }

    fn connect(state: &mut State, arrival: &Arrival) {
        let known = state.connected.entry(arrival.device.clone()).or_insert_with(|| (arrival.clone(), 0));
        known.0 = arrival.clone();
        known.1 += 1;
    }

    /// Returns how the device had arrived.
    fn disconnect(state: &mut State, device: &Device) -> Option<Arrival> {
        let (arrival, times) = state.connected.get_mut(device)?;
        *times -= 1;
        if *times > 0 {
            return Some(arrival.clone());
        }
        state.connected.remove(device).map(|(arrival, _)| arrival)
    }
}

impl Restore for Devices {
    fn restore(&self, contents: &mut Contents) -> Vec<Write> {
        let mut state = self.state.lock();
        let now = Timestamp::now();
        let mut kept = std::mem::take(&mut contents.queues);
        for change in &mut kept {
            if let Change::PutDevice(record) = change
                && state.connected.contains_key(&record.device)
            {
                // It is still here, and arrives again below: its time must not be over in between.
                record.ttl = record.ttl.max(RESTORING);
            }
        }
        let before: BTreeMap<u64, (u64, Device)> = kept
            .iter()
            .filter_map(|change| match change {
                Change::PutDevice(record) => Some((record.number, (record.epoch, record.device.clone()))),
                _ => None,
            })
            .collect();
        let mut changes = Vec::new();
        let restored = Queues::restore(self.limits.clone(), rand::random(), kept, now, &mut changes);
        state.queues = restored.queues;
        state.writing.clear();
        state.untold.clear();
        state.layout = Layout(std::mem::take(&mut contents.lone));
        for (_, device) in before
            .iter()
            .filter(|(number, _)| contents.loss.concerns_device(**number))
            .map(|(_, record)| record)
        {
            state.queues.lost(device, &mut changes);
        }
        let told: BTreeSet<u64> = changes
            .iter()
            .filter_map(|change| match change {
                Change::PutDevice(record) => Some(record),
                _ => None,
            })
            .filter(|record| before.get(&record.number).is_some_and(|(epoch, _)| *epoch != record.epoch))
            .map(|record| record.number)
            .collect();
        contents.concerned.devices = told.len();
        let connected: Vec<_> = state.connected.values().cloned().collect();
        for (arrival, times) in connected {
            for _ in 0..times {
                // One that is refused now would be refused as a new connection, too.
                let _ = state.queues.arrive(arrival.clone(), now, &mut changes);
            }
        }
        state.layout.writes(&mut changes, "")
    }
}

impl std::fmt::Debug for EmbeddedDeviceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedDeviceStore")
    }
}

impl DeviceStore for EmbeddedDeviceStore {
    fn counts(&self) -> Option<QueueCounts> {
        Some(QueueCounts::of(&self.0.state.lock().queues))
    }

    fn arrive(&self, arrival: Arrival, now: Timestamp) -> Outcome<Arrived> {
        let device = arrival.device.clone();
        let (counted, count) = (Arc::new(Mutex::new(false)), arrival.clone());
        let done = Arc::clone(&counted);
        self.0.run(
            // A device that comes takes what is kept for it, and so makes room.
            Room::Less,
            None,
            move |state, changes| {
                let arrived = state.queues.arrive(arrival, now, changes)?;
                Devices::connect(state, &count);
                *counted.lock() = true;
                Ok(arrived)
            },
            move |devices| {
                if *done.lock() {
                    Devices::disconnect(&mut devices.state.lock(), &device);
                }
            },
        )
    }

    fn depart(&self, device: Device, now: Timestamp) -> Outcome<()> {
        let was = Arc::new(Mutex::new(None));
        let undo = Arc::clone(&was);
        self.0.run(
            Room::Less,
            None,
            move |state, changes| {
                state.queues.depart(&device, now, changes);
                *was.lock() = Devices::disconnect(state, &device);
                Ok(())
            },
            move |devices| {
                if let Some(arrival) = undo.lock().take() {
                    devices.connected(&arrival);
                }
            },
        )
    }

    fn append(&self, to: To, message: Message, now: Timestamp) -> Outcome<Appended> {
        let Message { event, args, resync, key } = message;
        let bytes = event.len() + args.as_bytes().len();
        let content = Content { event, args: (), bytes, resync, key };
        let append = move |state: &mut State, changes: &mut Vec<Change<()>>| {
            state.queues.append(&to, content, now, changes)
        };
        self.0.run(Room::More, Some(args), append, |_| {})
    }

    fn read(&self, device: Device, after: u64, limit: usize, now: Timestamp) -> Outcome<Vec<Entry>> {
        self.0.read(device, after, limit, now)
    }

    fn acknowledge(&self, device: Device, what: Acknowledge, _: Timestamp) -> Outcome<Option<Resync>> {
        self.0.run(
            Room::Less,
            None,
            move |state, changes| Ok(state.queues.acknowledge(&device, what, changes)),
            |_| {},
        )
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> Outcome<()> {
        let tell = move |state: &mut State, changes: &mut Vec<Change<()>>| {
            state.queues.told(&device, &numbers, changes);
            Ok(())
        };
        self.0.run(Room::Less, None, tell, |_| {})
    }

    fn expire(&self, now: Timestamp) -> Outcome<Expired> {
        let expire = move |state: &mut State, changes: &mut Vec<Change<()>>| {
            let mut expired = state.queues.expire(now, changes);
            expired.resyncs.append(&mut state.untold);
            Ok(expired)
        };
        self.0.run(Room::Less, None, expire, |_| {})
    }
}
