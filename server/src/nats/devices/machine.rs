//! The queues, and who is connected where.
//!
//! In: commands. Out: what came of them, and what the devices at this instance are to hear of what others did. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::RawJson;

use super::command::{Command, Limits, millis};
use super::image::Image;
use crate::delivery::queues::{Change, Content, Held, Queues};
use crate::delivery::{
    Acknowledge, Appended, Arrival, Arrived, Device, Entry, Expired, Message, QueueCounts, QueueLimits,
    Queued, Resync, ResyncReason, To,
};
use crate::nats::replica::{Instance, Machine};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// Bytes that an entry takes, beside its message.
const ENTRY: usize = 200;
/// Bytes that a message takes, beside its text.
const MESSAGE: usize = 200;
/// So many changes have room that is kept from one command to the next.
const SPARE: usize = 1024;

/// What came of a command.
#[derive(Debug)]
pub(super) enum Output {
    Arrived(Result<Arrived, StoreError>),
    Appended(Result<Appended, StoreError>),
    Acknowledged(Option<Resync>),
    Expired(Expired),
    Done,
}

/// What a device's sockets are to hear.
#[derive(Debug)]
pub(super) enum Hint {
    Queued(Device, Queued, Arc<Message>),
    Resync(Device, Resync),
}

/// A device at an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) times: usize,
    pub(super) rooms: Vec<Arc<str>>,
    pub(super) ttl: Duration,
}

/// The queues of all devices of all nodes.
pub(super) struct Devices {
    pub(super) queues: Queues<RawJson>,
    /// Who is connected where. How often is the sum of how often the queues say.
    pub(super) connected: BTreeMap<Instance, BTreeMap<Device, Here>>,
    /// How large all of it may be.
    pub(super) total: usize,
    /// How large messages are, by their ids.
    messages: BTreeMap<u64, usize>,
    bytes: usize,
    changes: Vec<Change<RawJson>>,
}

impl Devices {
    pub(super) fn from_parts(
        queues: Queues<RawJson>,
        connected: BTreeMap<Instance, BTreeMap<Device, Here>>,
        total: usize,
        kept: Vec<Change<RawJson>>,
    ) -> Self {
        let mut devices =
            Self { queues, connected, total, messages: BTreeMap::new(), bytes: 0, changes: kept };
        devices.settle();
        devices
    }

    /// What has to be said for these limits to hold.
    pub(super) fn opening(&self, limits: &QueueLimits, total: usize) -> Option<Command> {
        let is_so = self.queues.limits() == limits && self.total == total;
        (!is_so).then(|| Command::Limits { limits: Limits::from(limits), total })
    }

    pub(super) fn counts(&self) -> QueueCounts {
        QueueCounts::of(&self.queues)
    }

    pub(super) fn read(&self, device: &Device, after: u64, limit: usize, now: Timestamp) -> Vec<Entry> {
        let entry = |held: Held<RawJson>| {
            let Content { event, args, resync, key, .. } = held.message.content;
            Entry { seq: held.seq, message: Message { event, args, resync, key }, at: held.message.at }
        };
        self.queues.read(device, after, limit, now).into_iter().map(entry).collect()
    }

    /// Counts what was changed.
    fn settle(&mut self) {
        for change in &self.changes {
            match change {
                Change::PutMessage(message) => {
                    let size = message.content.bytes + MESSAGE;
                    self.bytes += size;
                    if let Some(before) = self.messages.insert(message.id, size) {
                        self.bytes -= before;
                    }
                }
                Change::DeleteMessage { id } => self.bytes -= self.messages.remove(id).unwrap_or_default(),
                Change::PutEntry { .. } => self.bytes += ENTRY,
                Change::DeleteEntry { .. } => self.bytes = self.bytes.saturating_sub(ENTRY),
                _ => {}
            }
        }
        if self.changes.capacity() <= SPARE {
            self.changes.clear();
        } else {
            self.changes = Vec::new();
        }
    }

    fn arrive(&mut self, by: Instance, arrival: Arrival, now: Timestamp) -> Result<Arrived, StoreError> {
        let Arrival { device, rooms, ttl } = arrival.clone();
        let arrived = self.queues.arrive(arrival, now, &mut self.changes)?;
        let here = self.connected.entry(by).or_default().entry(device);
        let here = here.or_insert_with(|| Here { times: 0, rooms: Vec::new(), ttl });
        here.times += 1;
        (here.rooms, here.ttl) = (rooms, ttl);
        Ok(arrived)
    }

    fn depart(&mut self, by: Instance, device: &Device, now: Timestamp) {
        let Some(connected) = self.connected.get_mut(&by) else { return };
        // It was taken for departed, with its node.
        let Some(here) = connected.get_mut(device) else { return };
        here.times -= 1;
        if here.times == 0 {
            connected.remove(device);
            if connected.is_empty() {
                self.connected.remove(&by);
            }
        }
        self.queues.depart(device, now, &mut self.changes);
    }

    fn append(&mut self, to: &To, content: Content<RawJson>, now: Timestamp) -> Result<Appended, StoreError> {
        if self.bytes + content.bytes > self.total {
            return Err(StoreError::TooMany("bytes of messages"));
        }
        self.queues.append(to, content, now, &mut self.changes)
    }

    /// A device is connected so often, whatever was known of that. Gives what it has to be told: who asserts it does not know
    /// what was noted meanwhile.
    fn assert(
        &mut self,
        by: Instance,
        device: &Device,
        here: Here,
        last: u64,
        now: Timestamp,
        seed: u64,
    ) -> Vec<Resync> {
        let known =
            self.connected.get(&by).and_then(|connected| connected.get(device)).map_or(0, |here| here.times);
        for _ in here.times..known {
            self.depart(by, device, now);
        }
        let rooms = self.queues.rooms(&device.user).map_or(here.rooms, <[_]>::to_vec);
        let (mut is_forgotten, mut noted) = (false, Vec::new());
        for _ in known..here.times {
            let arrival = Arrival { device: device.clone(), rooms: rooms.clone(), ttl: here.ttl };
            // One that is refused now would be refused as a new connection, too.
            let Ok(arrived) = self.arrive(by, arrival, now) else { break };
            is_forgotten |= !arrived.resumed;
            noted = arrived.resyncs;
        }
        self.queues.raise(device, last);
        if is_forgotten {
            self.queues.reseed(seed);
            noted.extend(self.queues.lost(device, &mut self.changes));
        }
        noted
    }

    fn is_here(&self, here: Instance, device: &Device) -> bool {
        self.connected.get(&here).is_some_and(|connected| connected.contains_key(device))
    }
}

impl Machine for Devices {
    type Command = Command;
    type Output = Output;
    type Hint = Hint;
    type Image = Image;

    fn empty() -> Self {
        Self::from_parts(Queues::new(QueueLimits::default(), 0), BTreeMap::new(), usize::MAX, Vec::new())
    }

    fn apply(&mut self, by: Instance, command: Command, here: Instance, hints: &mut Vec<Hint>) -> Output {
        let output = match command {
            Command::Limits { limits, total } => {
                self.queues.set_limits(limits.into());
                self.total = total;
                Output::Done
            }
            Command::Arrive { user, id, rooms, ttl, now, seed } => {
                self.queues.reseed(seed);
                let arrival = Arrival { device: Device { user, id }, rooms, ttl: Duration::from_millis(ttl) };
                Output::Arrived(self.arrive(by, arrival, now))
            }
            Command::Depart { user, id, now } => {
                self.depart(by, &Device { user, id }, now);
                Output::Done
            }
            Command::Append { to, event, args, resync, key, now } => {
                let bytes = event.len() + args.as_bytes().len();
                let content = Content { event, args, bytes, resync, key };
                let message = (by != here).then(|| content.clone());
                let appended = self.append(&to.into(), content, now);
                if let (Some(Content { event, args, resync, key, .. }), Ok(appended)) = (message, &appended) {
                    let mut message = None::<Arc<Message>>;
                    for (device, queued) in &appended.queued {
                        if self.is_here(here, device) {
                            let message = message.get_or_insert_with(|| {
                                Arc::new(Message {
                                    event: Arc::clone(&event),
                                    args: args.clone(),
                                    resync,
                                    key: key.clone(),
                                })
                            });
                            hints.push(Hint::Queued(device.clone(), queued.clone(), Arc::clone(message)));
                        }
                    }
                }
                Output::Appended(appended)
            }
            Command::Acknowledge { user, id, seq, through } => {
                let device = Device { user, id };
                let what = if through { Acknowledge::Through(seq) } else { Acknowledge::One(seq) };
                let resync = self.queues.acknowledge(&device, what, &mut self.changes);
                if let Some(resync) = &resync
                    && by != here
                    && self.is_here(here, &device)
                {
                    hints.push(Hint::Resync(device, resync.clone()));
                }
                Output::Acknowledged(resync)
            }
            Command::Told { user, id, numbers } => {
                self.queues.told(&Device { user, id }, &numbers, &mut self.changes);
                Output::Done
            }
            Command::Expire { now } => {
                let expired = self.queues.expire(now, &mut self.changes);
                if by != here {
                    let resyncs = expired.resyncs.iter().filter(|(device, _)| self.is_here(here, device));
                    hints
                        .extend(resyncs.map(|(device, resync)| Hint::Resync(device.clone(), resync.clone())));
                }
                Output::Expired(expired)
            }
            Command::Assert { user, id, rooms, ttl, times, last, now, seed } => {
                self.queues.reseed(seed);
                let device = Device { user, id };
                let held = Here { times, rooms, ttl: Duration::from_millis(ttl) };
                let noted = self.assert(by, &device, held, last, now, seed);
                if self.is_here(here, &device) {
                    hints.extend(noted.into_iter().map(|resync| Hint::Resync(device.clone(), resync)));
                }
                Output::Done
            }
        };
        self.settle();
        output
    }

    fn end(&mut self, who: Instance, now: Timestamp) -> Output {
        for (device, here) in self.connected.remove(&who).unwrap_or_default() {
            for _ in 0..here.times {
                self.queues.depart(&device, now, &mut self.changes);
            }
        }
        self.settle();
        Output::Done
    }

    fn succeed(&mut self, before: Instance, by: Instance) {
        if let Some(connected) = self.connected.remove(&before) {
            self.connected.insert(by, connected);
        }
    }

    fn lost(&mut self, seed: u64, here: Instance, hints: &mut Vec<Hint>) {
        self.queues.reseed(seed);
        for (device, resync) in self.queues.lost_by_all(&mut self.changes) {
            debug_assert_eq!(resync.reason, ResyncReason::Lost);
            if self.is_here(here, &device) {
                hints.push(Hint::Resync(device, resync));
            }
        }
        self.settle();
    }

    fn claims(&self, of: Instance) -> Vec<Command> {
        let connected = self.connected.get(&of).into_iter().flatten();
        let claim = |(device, here): (&Device, &Here)| Command::Assert {
            user: Arc::clone(&device.user),
            id: Arc::clone(&device.id),
            rooms: self.queues.rooms(&device.user).map_or(&*here.rooms, |rooms| rooms).to_vec(),
            ttl: millis(here.ttl),
            times: here.times,
            last: self.queues.last(device).unwrap_or_default(),
            now: Timestamp::now(),
            seed: rand::random(),
        };
        connected.map(claim).collect()
    }

    fn image(&self) -> Image {
        Image::of(self)
    }

    fn from_image(image: Image) -> Self {
        image.into_devices()
    }
}
