//! Deliveries: what was accepted for a device is handed to one of its clients, in order and never twice to the same, or
//! the device is told to resync.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::ClientName;

/// What was accepted for each device, and what each client was handed.
#[derive(Default)]
pub(super) struct Deliveries {
    devices: BTreeMap<String, Device>,
    clients: BTreeMap<ClientName, Handed>,
    /// What somebody tried to deliver: it may have been accepted even if nobody could tell him.
    tried: BTreeSet<u64>,
}

#[derive(Default)]
struct Device {
    /// What is not handled yet, and its event.
    owed: BTreeMap<u64, String>,
    /// What was taken out of the queue, of which event, and up to which: the device must be told.
    cleared: Vec<(Option<String>, u64)>,
    /// The numbers of what was cleared so far.
    numbers: BTreeSet<u64>,
    /// Names the run of its entries.
    epoch: Option<String>,
    /// What was handled, which may be seen before the store's answer is.
    handled: BTreeSet<u64>,
    /// How many clients are connected.
    connected: usize,
    /// How many connections the store has noted.
    noted: usize,
    /// When the store was last told that a connection of it ended.
    left: Duration,
}

#[derive(Default)]
struct Handed {
    device: String,
    last: u64,
    /// Handed, and neither handled nor given back.
    open: BTreeSet<u64>,
    given_back: BTreeSet<u64>,
    connected: bool,
}

impl Deliveries {
    pub(super) fn tried(&mut self, number: u64) {
        self.tried.insert(number);
    }

    /// The store has it in the device's queue.
    pub(super) fn owed(&mut self, device: &str, number: u64, event: &str) {
        let device = self.devices.entry(device.to_owned()).or_default();
        if !device.handled.contains(&number) {
            device.owed.insert(number, event.to_owned());
        }
    }

    /// The store has noted a connection of this device, whose queue has this epoch.
    pub(super) fn noted(
        &mut self,
        name: &str,
        epoch: &str,
        now: Duration,
        ttl: Duration,
    ) -> Result<(), String> {
        let device = self.devices.entry(name.to_owned()).or_default();
        device.noted += 1;
        let before = device.epoch.replace(epoch.to_owned());
        if before.as_deref() == Some(epoch) {
            return Ok(());
        }
        // Another epoch: it was forgotten, or its queue was empty. The first: a crash may have kept an earlier one, and
        // what was in it, to itself.
        let away = now.saturating_sub(device.left);
        let owed = std::mem::take(&mut device.owed);
        device.cleared.clear();
        device.numbers.clear();
        if before.is_some() && away < ttl && !owed.is_empty() {
            return Err(format!(
                "{name} was away for {away:?}, of {ttl:?}, and {owed:?} of its queue are forgotten"
            ));
        }
        Ok(())
    }

    /// The store is told that a connection of this device ended.
    pub(super) fn departed(&mut self, device: &str, now: Duration) {
        let device = self.devices.entry(device.to_owned()).or_default();
        device.noted = device.noted.saturating_sub(1);
        device.left = now;
    }

    /// The store is opened, so that every connection counts as ended now.
    pub(super) fn opened(&mut self, now: Duration) {
        for device in self.devices.values_mut().filter(|device| device.noted > 0) {
            (device.noted, device.left) = (0, now);
        }
    }

    /// The store took out of the device's queue what it held of the event, and says so: perhaps more than once, by
    /// the same number.
    pub(super) fn cleared(&mut self, device: &str, number: u64, event: Option<&str>) {
        let device = self.devices.entry(device.to_owned()).or_default();
        if !device.numbers.insert(number) {
            return;
        }
        let through = device.owed.keys().next_back().copied().unwrap_or_default();
        device.excuse(event, through);
        device.cleared.push((event.map(str::to_owned), through));
    }

    /// All that was kept is gone, as it must be with a store in a process's memory.
    pub(super) fn forgotten(&mut self) {
        self.devices.clear();
    }

    /// The client is let in, as this device.
    pub(super) fn arrived(&mut self, client: ClientName, name: &str) {
        let handed = self.clients.entry(client).or_default();
        name.clone_into(&mut handed.device);
        if !std::mem::replace(&mut handed.connected, true) {
            self.devices.entry(name.to_owned()).or_default().connected += 1;
        }
    }

    /// The client's connection is gone.
    pub(super) fn disconnected(&mut self, client: ClientName) {
        let Some(handed) = self.clients.get_mut(&client) else { return };
        if !std::mem::replace(&mut handed.connected, false) {
            return;
        }
        if let Some(device) = self.devices.get_mut(&handed.device) {
            device.connected = device.connected.saturating_sub(1);
        }
    }

    pub(super) fn handed(&mut self, client: ClientName, number: u64) -> Result<(), String> {
        if !self.tried.contains(&number) {
            return Err(format!("client {client} was handed {number}, which nobody delivered"));
        }
        let handed = self.clients.entry(client).or_default();
        let again = handed.given_back.remove(&number);
        if number <= handed.last && !again {
            return Err(format!(
                "client {client} was handed {number} after {}: twice or out of order",
                handed.last
            ));
        }
        handed.last = handed.last.max(number);
        handed.open.insert(number);
        Ok(())
    }

    pub(super) fn handled(&mut self, client: ClientName, number: u64) {
        let Some(handed) = self.clients.get_mut(&client) else { return };
        handed.open.remove(&number);
        if let Some(device) = self.devices.get_mut(&handed.device) {
            device.owed.remove(&number);
            device.handled.insert(number);
        }
    }

    pub(super) fn given_back(&mut self, client: ClientName, number: u64) {
        if let Some(handed) = self.clients.get_mut(&client) {
            handed.open.remove(&number);
            handed.given_back.insert(number);
        }
    }

    /// The client is told to fetch its state.
    pub(super) fn resynced(&mut self, client: ClientName, event: Option<&str>) {
        let Some(device) = self.clients.get(&client).and_then(|handed| self.devices.get_mut(&handed.device))
        else {
            return;
        };
        let before = device.cleared.len();
        // To fetch all is to fetch each.
        device.cleared.retain(|(cleared, _)| event.is_some() && cleared.as_deref() != event);
        if device.cleared.len() == before {
            // What a crash did not let the store say.
            let through = device.owed.keys().next_back().copied().unwrap_or_default();
            device.excuse(event, through);
        }
    }

    pub(super) fn forget(&mut self, client: ClientName) {
        self.disconnected(client);
        self.clients.remove(&client);
    }

    /// How much is still to be handed to devices that are connected.
    pub(super) fn open(&self) -> usize {
        let connected = self.devices.values().filter(|device| device.connected > 0);
        connected.map(|device| device.owed.len() + device.cleared.len()).sum()
    }

    /// Everything should have been handed over.
    pub(super) fn judge(&self, violations: &mut Vec<String>) {
        for (name, device) in self.devices.iter().filter(|(_, device)| device.connected > 0) {
            if !device.owed.is_empty() {
                violations.push(format!("{name} never got {:?}", device.owed));
            }
            if !device.cleared.is_empty() {
                violations.push(format!("{name} was never told to resync: {:?}", device.cleared));
            }
        }
    }
}

impl Device {
    fn excuse(&mut self, event: Option<&str>, through: u64) {
        self.owed.retain(|number, of| *number > through || event.is_some_and(|event| event != of));
    }
}
