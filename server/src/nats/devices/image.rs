//! The queues and who is connected where, as they stand in an image.
//!
//! In: the machine. Out: values with a text, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::{RawJson, ResyncReason};

use super::command::{Limits, millis};
use super::machine::{Devices, Here};
use crate::delivery::queues::{self, Accepted, Change, Content, DeviceRecord, Queues};
use crate::delivery::{Device, Resync};
use crate::nats::replica::Instance;
use crate::timestamp::Timestamp;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    limits: Limits,
    total: usize,
    next_device: u64,
    next_message: u64,
    users: Vec<(Arc<str>, Vec<Arc<str>>)>,
    devices: Vec<Record>,
    messages: Vec<Text>,
    /// Device, place, message.
    entries: Vec<(u64, u64, u64)>,
    keys: Vec<(Arc<str>, Timestamp)>,
    connected: Vec<(Instance, Vec<Connected>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    number: u64,
    user: Arc<str>,
    id: Arc<str>,
    epoch: u64,
    last: u64,
    ttl: u64,
    departed: Option<Timestamp>,
    noted: u64,
    /// Number, event, reason.
    resyncs: Vec<(u64, Option<Arc<str>>, Reason)>,
    connections: usize,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Reason {
    Order,
    Overflow,
    Expired,
    Lost,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    id: u64,
    at: Timestamp,
    event: Arc<str>,
    args: RawJson,
    resync: bool,
    key: Option<Arc<str>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Connected {
    user: Arc<str>,
    id: Arc<str>,
    times: usize,
    rooms: Vec<Arc<str>>,
    ttl: u64,
}

impl Image {
    pub(super) fn of(all: &Devices) -> Self {
        let queues::Image { limits, next_device, next_message, kept, connections } = all.queues.image();
        let connections: BTreeMap<u64, usize> = connections.into_iter().collect();
        let mut image = Self {
            limits: Limits::from(&limits),
            total: all.total,
            next_device,
            next_message,
            users: Vec::new(),
            devices: Vec::new(),
            messages: Vec::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            connected: Vec::new(),
        };
        for change in kept {
            match change {
                Change::PutUser { user, rooms } => image.users.push((user, rooms)),
                Change::PutDevice(record) => {
                    let connections = connections.get(&record.number).copied().unwrap_or_default();
                    image.devices.push(Record::of(record, connections));
                }
                Change::PutMessage(message) => image.messages.push(Text::of(message)),
                Change::PutEntry { device, seq, message } => image.entries.push((device, seq, message)),
                Change::PutKey { key, at } => image.keys.push((key, at)),
                _ => {}
            }
        }
        for (instance, connected) in &all.connected {
            let connected = connected.iter().map(|(device, here)| Connected {
                user: Arc::clone(&device.user),
                id: Arc::clone(&device.id),
                times: here.times,
                rooms: here.rooms.clone(),
                ttl: millis(here.ttl),
            });
            image.connected.push((*instance, connected.collect()));
        }
        image
    }

    pub(super) fn into_devices(self) -> Devices {
        let connections = self.devices.iter().map(|record| (record.number, record.connections));
        let connections = connections.filter(|(_, connections)| *connections > 0).collect();
        let mut kept = Vec::new();
        kept.extend(self.users.into_iter().map(|(user, rooms)| Change::PutUser { user, rooms }));
        kept.extend(self.devices.into_iter().map(|record| Change::PutDevice(record.into_record())));
        kept.extend(self.messages.into_iter().map(|text| Change::PutMessage(text.into_message())));
        let entry = |(device, seq, message)| Change::PutEntry { device, seq, message };
        kept.extend(self.entries.into_iter().map(entry));
        kept.extend(self.keys.into_iter().map(|(key, at)| Change::PutKey { key, at }));
        let queues = Queues::from_image(queues::Image {
            limits: self.limits.into(),
            next_device: self.next_device,
            next_message: self.next_message,
            kept: kept.clone(),
            connections,
        });
        let connected = self.connected.into_iter().map(|(instance, connected)| {
            let here = |connected: Connected| {
                let Connected { user, id, times, rooms, ttl } = connected;
                (Device { user, id }, Here { times, rooms, ttl: Duration::from_millis(ttl) })
            };
            (instance, connected.into_iter().map(here).collect())
        });
        Devices::from_parts(queues, connected.collect(), self.total, kept)
    }
}

impl Record {
    fn of(record: DeviceRecord, connections: usize) -> Self {
        let DeviceRecord { number, device, epoch, last, ttl, departed, noted, resyncs } = record;
        let resync = |Resync { number, event, reason }| {
            let reason = match reason {
                ResyncReason::Order => Reason::Order,
                ResyncReason::Overflow => Reason::Overflow,
                ResyncReason::Expired => Reason::Expired,
                ResyncReason::Lost => Reason::Lost,
            };
            (number, event, reason)
        };
        Self {
            number,
            user: device.user,
            id: device.id,
            epoch,
            last,
            ttl: millis(ttl),
            departed,
            noted,
            resyncs: resyncs.into_iter().map(resync).collect(),
            connections,
        }
    }

    fn into_record(self) -> DeviceRecord {
        let resync = |(number, event, reason)| {
            let reason = match reason {
                Reason::Order => ResyncReason::Order,
                Reason::Overflow => ResyncReason::Overflow,
                Reason::Expired => ResyncReason::Expired,
                Reason::Lost => ResyncReason::Lost,
            };
            Resync { number, event, reason }
        };
        DeviceRecord {
            number: self.number,
            device: Device { user: self.user, id: self.id },
            epoch: self.epoch,
            last: self.last,
            ttl: Duration::from_millis(self.ttl),
            departed: self.departed,
            noted: self.noted,
            resyncs: self.resyncs.into_iter().map(resync).collect(),
        }
    }
}

impl Text {
    fn of(message: Accepted<RawJson>) -> Self {
        let Accepted { id, at, content: Content { event, args, resync, key, .. } } = message;
        Self { id, at, event, args, resync, key }
    }

    fn into_message(self) -> Accepted<RawJson> {
        let Self { id, at, event, args, resync, key } = self;
        let bytes = event.len() + args.as_bytes().len();
        Accepted { id, at, content: Content { event, args, bytes, resync, key } }
    }
}
