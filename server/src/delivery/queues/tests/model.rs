//! The queues as plainly as they can be said: everything is looked through at every step.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) event: String,
    pub(super) args: u32,
    pub(super) bytes: usize,
    pub(super) resync: bool,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) connections: usize,
    pub(super) departed: Option<Timestamp>,
    pub(super) ttl: Duration,
    pub(super) last: u64,
    pub(super) lines: BTreeMap<u64, Line>,
    pub(super) resyncs: Vec<Resync>,
    noted: u64,
    number: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) limits: QueueLimits,
    pub(super) rooms: BTreeMap<String, BTreeSet<String>>,
    pub(super) rows: BTreeMap<Device, Row>,
    pub(super) keys: BTreeMap<String, Timestamp>,
    pub(super) arrivals: u64,
}

impl Row {
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.departed.is_some_and(|departed| departed.after(self.ttl) <= now)
    }

    fn note(&mut self, event: Option<&str>, reason: ResyncReason) -> Resync {
        self.noted += 1;
        let whole = event.is_none() || self.resyncs.iter().any(|resync| resync.event.is_none());
        self.resyncs.retain(|resync| !whole && resync.event.as_deref() != event);
        let event = event.filter(|_| !whole).map(Arc::from);
        self.resyncs.push(Resync { number: self.noted, event, reason });
        self.resyncs.last().unwrap().clone()
    }

    fn age(&mut self, age: Duration, now: Timestamp) -> Vec<Resync> {
        let old = |line: &Line| line.at.after(age) <= now;
        let events: BTreeSet<String> =
            self.lines.values().filter(|line| old(line)).map(|line| line.event.clone()).collect();
        self.lines.retain(|_, line| !old(line));
        events.iter().map(|event| self.note(Some(event), ResyncReason::Expired)).collect()
    }
}

impl Model {
    fn forget(&mut self, now: Timestamp) -> usize {
        let before = self.rows.len();
        self.rows.retain(|_, row| !row.is_over(now));
        let users: BTreeSet<String> = self.rows.keys().map(|device| device.user.to_string()).collect();
        self.rooms.retain(|user, _| users.contains(user));
        before - self.rows.len()
    }

    /// `None`: refused. Otherwise whether it was known, and its row.
    pub(super) fn arrive(&mut self, arrival: &Arrival, now: Timestamp) -> Option<(bool, &Row)> {
        let device = &arrival.device;
        self.arrivals += 1;
        if self.rows.get(device).is_some_and(|row| row.is_over(now)) {
            self.rows.remove(device);
        }
        let resumed = self.rows.contains_key(device);
        if !resumed && self.rows.len() >= self.limits.devices {
            self.forget(now);
            if self.rows.len() >= self.limits.devices {
                return None;
            }
        }
        let of_user = self.rows.iter().filter(|(other, _)| other.user == device.user);
        if !resumed && of_user.clone().count() >= self.limits.devices_per_user {
            let away = of_user.filter_map(|(other, row)| Some((row.departed?, row.number, other.clone())));
            let (_, _, longest) = away.min()?;
            self.rows.remove(&longest);
        }
        let row = self.rows.entry(device.clone()).or_insert_with(|| Row {
            connections: 0,
            departed: None,
            ttl: arrival.ttl,
            last: 0,
            lines: BTreeMap::new(),
            resyncs: Vec::new(),
            noted: 0,
            number: self.arrivals,
        });
        if row.connections == 0 {
            row.age(self.limits.age, now);
        }
        row.connections += 1;
        row.departed = None;
        row.ttl = arrival.ttl;
        let rooms = arrival.rooms.iter().map(ToString::to_string).collect();
        self.rooms.insert(device.user.to_string(), rooms);
        Some((resumed, &*row))
    }

    pub(super) fn depart(&mut self, device: &Device, now: Timestamp) {
        let Some(row) = self.rows.get_mut(device).filter(|row| row.connections > 0) else { return };
        row.connections -= 1;
        if row.connections == 0 {
            row.departed = Some(now);
            if row.ttl.is_zero() {
                self.rows.remove(device);
                if !self.rows.keys().any(|other| other.user == device.user) {
                    self.rooms.remove(&*device.user);
                }
            }
        }
    }

    /// `Err`: refused.
    pub(super) fn append(
        &mut self,
        to: &To,
        content: &Content<u32>,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<Device, Queued>>, ()> {
        if content.bytes > self.limits.bytes {
            return Err(());
        }
        if let Some(key) = &content.key {
            self.keys.retain(|_, at| at.after(self.limits.key_window) > now);
            if self.keys.contains_key(&**key) {
                return Ok(None);
            }
            if self.keys.len() >= self.limits.keys {
                return Err(());
            }
            self.keys.insert(key.to_string(), now);
        }
        let rooms = &self.rooms;
        let is_in = |user: &str, room: &str| rooms.get(user).is_some_and(|rooms| rooms.contains(room));
        let mut queued = BTreeMap::new();
        for (device, row) in self.rows.iter_mut().filter(|(_, row)| !row.is_over(now)) {
            let is_meant = match to {
                To::Everyone => true,
                To::Users(users) => users.contains(&device.user),
                To::Room(room) => is_in(&device.user, room),
                To::Rooms(rooms) => rooms.iter().any(|room| is_in(&device.user, room)),
            };
            if !is_meant {
                continue;
            }
            let bytes: usize = row.lines.values().map(|line| line.bytes).sum();
            if row.lines.len() >= self.limits.count || bytes + content.bytes > self.limits.bytes {
                row.lines.clear();
                let resync = row.note(None, ResyncReason::Overflow);
                queued.insert(device.clone(), Queued::Overflowed { last: row.last, resync });
                continue;
            }
            row.last += 1;
            queued.insert(device.clone(), Queued::At(row.last));
            let line = Line {
                event: content.event.to_string(),
                args: content.args,
                bytes: content.bytes,
                resync: content.resync,
                at: now,
            };
            row.lines.insert(row.last, line);
        }
        Ok(Some(queued))
    }

    pub(super) fn read(&self, device: &Device) -> Vec<(u64, u32)> {
        let lines = self.rows.get(device).into_iter().flat_map(|row| &row.lines);
        lines.map(|(&seq, line)| (seq, line.args)).collect()
    }

    pub(super) fn acknowledge(&mut self, device: &Device, what: Acknowledge) -> Option<Resync> {
        let row = self.rows.get_mut(device)?;
        match what {
            Acknowledge::Through(through) => {
                if through <= row.last {
                    row.lines.retain(|&seq, _| seq > through);
                }
                None
            }
            Acknowledge::One(seq) => {
                let line = row.lines.get(&seq)?.clone();
                let head = row.lines.iter().find(|(_, other)| other.event == line.event).map(|(&at, _)| at);
                if head == Some(seq) || !line.resync {
                    row.lines.remove(&seq);
                    return None;
                }
                row.lines.retain(|_, other| other.event != line.event);
                Some(row.note(Some(&line.event), ResyncReason::Order))
            }
        }
    }

    pub(super) fn told(&mut self, device: &Device, number: u64) {
        if let Some(row) = self.rows.get_mut(device) {
            row.resyncs.retain(|resync| resync.number != number);
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) -> (usize, Vec<(Device, Resync)>) {
        self.keys.retain(|_, at| at.after(self.limits.key_window) > now);
        let forgotten = self.forget(now);
        let mut resyncs = Vec::new();
        for (device, row) in &mut self.rows {
            let noted = row.age(self.limits.age, now);
            if row.connections > 0 {
                resyncs.extend(noted.into_iter().map(|resync| (device.clone(), resync)));
            }
        }
        (forgotten, resyncs)
    }

    pub(super) fn restart(&mut self, now: Timestamp) {
        for row in self.rows.values_mut() {
            row.connections = 0;
            row.departed.get_or_insert(now);
        }
        self.forget(now);
    }
}
