//! What this node notes about a shard: which devices are connected to it, how far they came, and what is not as it
//! should be.
//!
//! In: arrivals and departures, answers. Out: how many connections Redis is to note. Knows no Redis.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Arrival, Device};

#[derive(Debug, Default)]
pub(in crate::redis) struct Notes {
    pub(super) here: HashMap<Device, Here>,
    /// Of these, Redis may have another number of connections.
    pub(super) wrong: HashSet<Device>,
    /// This node had a lease when it was last heard of.
    pub(super) is_leased: bool,
    /// By what all epochs of the shard have changed.
    pub(super) salt: Option<String>,
    /// Redis may not know who is connected here.
    pub(super) must_rejoin: bool,
}

/// A connected device.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Here {
    pub(super) rooms: Vec<Arc<str>>,
    pub(super) ttl: Duration,
    pub(super) connections: usize,
    /// The last `seq` that anybody here was told.
    pub(super) last: u64,
}

impl Notes {
    /// Returns how many connections the device has now.
    pub(super) fn arrive(&mut self, arrival: &Arrival) -> usize {
        let rooms = sorted(&arrival.rooms);
        let here = self.here.entry(arrival.device.clone()).or_insert_with(|| Here {
            rooms: Vec::new(),
            ttl: arrival.ttl,
            connections: 0,
            last: 0,
        });
        here.rooms = rooms;
        here.ttl = arrival.ttl;
        here.connections += 1;
        here.connections
    }

    /// The same; `None` when it had not arrived.
    pub(super) fn depart(&mut self, device: &Device) -> Option<usize> {
        let here = self.here.get_mut(device)?;
        here.connections -= 1;
        let connections = here.connections;
        if connections == 0 {
            self.here.remove(device);
        }
        Some(connections)
    }

    /// An arrival was refused, or is not known to have been noted.
    pub(super) fn not_arrived(&mut self, device: &Device) {
        self.depart(device);
        self.wrong.insert(device.clone());
    }

    pub(super) fn is_wrong(&mut self, device: Device) {
        self.wrong.insert(device);
    }

    pub(super) fn connections(&self, device: &Device) -> usize {
        self.here.get(device).map_or(0, |here| here.connections)
    }

    /// This `seq` was told here.
    pub(super) fn is_at(&mut self, device: &Device, seq: u64) {
        if let Some(here) = self.here.get_mut(device) {
            here.last = here.last.max(seq);
        }
    }
}

/// Rooms as they are kept: in order, each once.
pub(super) fn sorted(rooms: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut rooms = rooms.to_vec();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}
