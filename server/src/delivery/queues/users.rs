//! Which devices a user has, and who is in a room.
//!
//! In: devices and rooms. Out: whom a message is for. Knows no queue.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::change::Change;
use crate::delivery::{Device, To};

#[derive(Debug, Default)]
pub(super) struct Users {
    users: HashMap<Arc<str>, User>,
    /// Rooms in which somebody is.
    rooms: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

#[derive(Debug, Default)]
struct User {
    /// Sorted.
    rooms: Vec<Arc<str>>,
    /// The numbers of its devices, by their names.
    devices: BTreeMap<Arc<str>, u64>,
}

impl Users {
    pub(super) fn device(&self, device: &Device) -> Option<u64> {
        self.users.get(&device.user)?.devices.get(&device.id).copied()
    }

    /// The devices of one user, in the order of their names.
    pub(super) fn of_user(&self, user: &str) -> impl ExactSizeIterator<Item = u64> {
        static NONE: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        self.users.get(user).map_or(&NONE, |user| &user.devices).values().copied()
    }

    /// Those for whom a message is, each once, in the order of their numbers.
    pub(super) fn devices(&self, to: &To) -> Vec<u64> {
        let mut numbers = match to {
            To::Everyone => self.of(self.users.keys()),
            To::Room(room) => self.of(self.rooms.get(room).into_iter().flatten()),
            To::Rooms(rooms) => self.of(rooms.iter().filter_map(|room| self.rooms.get(room)).flatten()),
            To::Users(users) => self.of(users),
        };
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn of<'a>(&self, users: impl IntoIterator<Item = &'a Arc<str>>) -> Vec<u64> {
        let known = users.into_iter().filter_map(|user| self.users.get(user));
        known.flat_map(|user| user.devices.values().copied()).collect()
    }

    /// The rooms of a user, on all devices. One who has no device is to get one now.
    pub(super) fn set_rooms<B>(
        &mut self,
        user: &Arc<str>,
        mut rooms: Vec<Arc<str>>,
        changes: &mut Vec<Change<B>>,
    ) {
        rooms.sort_unstable();
        rooms.dedup();
        if self.users.get(user).is_some_and(|known| known.rooms == rooms) {
            return;
        }
        changes.push(Change::PutUser { user: Arc::clone(user), rooms: rooms.clone() });
        self.restore(user, rooms);
    }

    pub(super) fn contains(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    #[cfg(feature = "nats")]
    pub(super) fn rooms(&self, user: &str) -> Option<&[Arc<str>]> {
        self.users.get(user).map(|user| &*user.rooms)
    }

    /// All users with their rooms, by their names.
    #[cfg(feature = "nats")]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<str>])> {
        let users: BTreeMap<_, _> = self.users.iter().map(|(name, user)| (name, &*user.rooms)).collect();
        users.into_iter()
    }

    /// As [`Users::set_rooms`], for what is kept already.
    pub(super) fn restore(&mut self, user: &Arc<str>, rooms: Vec<Arc<str>>) {
        let before = std::mem::take(&mut self.users.entry(Arc::clone(user)).or_default().rooms);
        for room in before.iter().filter(|room| !rooms.contains(room)) {
            self.leave(user, room);
        }
        for room in &rooms {
            self.rooms.entry(Arc::clone(room)).or_default().insert(Arc::clone(user));
        }
        if let Some(known) = self.users.get_mut(user) {
            known.rooms = rooms;
        }
    }

    pub(super) fn insert(&mut self, device: &Device, number: u64) {
        let user = self.users.entry(Arc::clone(&device.user)).or_default();
        user.devices.insert(Arc::clone(&device.id), number);
    }

    /// Forgets a device, and its user with the last.
    pub(super) fn remove<B>(&mut self, device: &Device, changes: &mut Vec<Change<B>>) {
        let name = &device.user;
        let Some(user) = self.users.get_mut(name) else { return };
        user.devices.remove(&device.id);
        if !user.devices.is_empty() {
            return;
        }
        let Some(user) = self.users.remove(name) else { return };
        for room in &user.rooms {
            self.leave(name, room);
        }
        changes.push(Change::DeleteUser { user: Arc::clone(name) });
    }

    fn leave(&mut self, user: &Arc<str>, room: &Arc<str>) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(user);
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}
