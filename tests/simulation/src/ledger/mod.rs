//! What was promised in a world, and whether it was kept.
//!
//! ```text
//! clients, the application, stores ──facts──▶ Ledger ──▶ violations: what was promised, and what happened instead
//! ```
//!
//! In: facts, as they happen, from those who see them. Out: violations, at once where one shows at once, at the end
//! what is missing. Each promise has a file. Knows nothing of how the facts come about.

mod calls;
mod channels;
mod deliveries;

use std::collections::BTreeMap;
use std::time::Duration;

use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::{CallId, State};

use crate::client::{ClientName, Wish};
use crate::host;
use calls::Calls;
use channels::Channels;
use deliveries::Deliveries;

pub(crate) use calls::Outcome;
pub(crate) use channels::keeps;

/// What a world's options promise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promises {
    /// A subscription on a channel with history can always be recovered.
    pub(crate) recovers: bool,
    /// How long a device is remembered.
    pub(crate) device_ttl: Duration,
    /// What is kept is on a disk, and survives the server's process.
    pub(crate) durable: bool,
}

/// All that was promised in one world.
#[derive(Default)]
pub(crate) struct Ledger {
    calls: Calls,
    channels: Channels,
    deliveries: Deliveries,
    promises: Promises,
    /// Clients whose process is there, and where their sessions stand.
    clients: BTreeMap<ClientName, State>,
    violations: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(promises: Promises) -> Self {
        Self { promises, ..Self::default() }
    }

    /// Somebody broke a promise.
    pub(crate) fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// What was broken so far.
    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    // What clients tell.

    pub(crate) fn state(&mut self, client: ClientName, state: State) {
        self.clients.insert(client, state);
    }

    pub(crate) fn client_ended(&mut self, client: ClientName) {
        let open = self.calls.open(client);
        if open > 0 {
            self.violated(format!("client {client} ended, and {open} of its requests never resolved"));
        }
        self.client_is_gone(client);
    }

    pub(crate) fn client_is_gone(&mut self, client: ClientName) {
        self.clients.remove(&client);
        self.calls.forget(client);
        self.deliveries.forget(client);
        self.channels.forget(client);
    }

    pub(crate) fn disconnected(&mut self, client: ClientName) {
        self.channels.disconnected(client);
        self.deliveries.disconnected(client);
    }

    pub(crate) fn unrecovered(&mut self, client: ClientName, channel: &str) {
        let is_wonder = self.channels.unrecovered(client, channel);
        if is_wonder && self.promises.recovers {
            self.violated(format!("client {client} was not recovered on {channel}, and could have been"));
        }
    }

    /// The client is told which device it is.
    pub(crate) fn arrived(&mut self, client: ClientName, device: &str) {
        self.deliveries.arrived(client, device);
    }

    /// Gives the number that was delivered.
    pub(crate) fn handed(&mut self, client: ClientName, args: &RawJson) -> Option<u64> {
        let number = args.parse::<Vec<u64>>().ok().and_then(|args| args.first().copied());
        match number.map(|number| self.deliveries.handed(client, number)) {
            Some(Ok(())) => {}
            Some(Err(violation)) => self.violated(violation),
            None => self.violated(format!("client {client} was handed {args:?}, which nobody delivered")),
        }
        number
    }

    pub(crate) fn handled(&mut self, client: ClientName, number: u64) {
        self.deliveries.handled(client, number);
    }

    pub(crate) fn given_back(&mut self, client: ClientName, number: u64) {
        self.deliveries.given_back(client, number);
    }

    pub(crate) fn resynced(&mut self, client: ClientName, event: Option<&str>) {
        self.deliveries.resynced(client, event);
    }

    pub(crate) fn asked(&mut self, client: ClientName, call: CallId, wish: &Wish) {
        if let Wish::Unsubscribe(channel) = wish {
            self.channels.leaves(client, channel.as_str(), call);
        }
        self.calls.asked(client, call, wish);
    }

    pub(crate) fn resolved(&mut self, client: ClientName, call: CallId, outcome: &Outcome) {
        match self.calls.resolved(client, call, outcome) {
            Ok(Wish::Subscribe(channel)) if outcome.is_ok() => {
                self.channels.joined(client, channel.as_str(), call);
            }
            Ok(Wish::Unsubscribe(channel)) => self.channels.left(client, channel.as_str()),
            Ok(Wish::Publish { channel, number, .. }) if outcome.is_ok() => {
                self.channels.published(channel.as_str(), number, &mut self.violations);
            }
            Ok(_) => {}
            Err(violation) => self.violated(violation),
        }
    }

    pub(crate) fn heard(&mut self, client: ClientName, channel: &str, message: &RawJson) {
        let Some(number) = number(message) else {
            return self.violated(format!("client {client} heard {message:?}, which nobody said"));
        };
        self.channels.heard(client, channel, number, &mut self.violations);
    }

    pub(crate) fn subscription_lost(&mut self, client: ClientName, channel: &str) {
        self.channels.left(client, channel);
    }

    /// The server called the client's action.
    pub(crate) fn invoked(&mut self, client: ClientName, args: &RawJson) {
        if let Err(violation) = self.calls.invoked(client, args) {
            self.violated(violation);
        }
    }

    // What the application and its server tell.

    /// An action runs.
    pub(crate) fn ran(&mut self, number: u64) {
        if let Err(violation) = self.calls.ran(number) {
            self.violated(violation);
        }
    }

    /// The application called a client, and this came of it.
    pub(crate) fn called_back(&mut self, number: u64, answer: Option<u64>) {
        if let Err(violation) = self.calls.called_back(number, answer) {
            self.violated(violation);
        }
    }

    /// The broker handed a publication to the node.
    pub(crate) fn accepted(&mut self, channel: &str, message: &RawJson) {
        if let Some(number) = number(message) {
            self.channels.accepted(channel, number, &mut self.violations);
        }
    }

    /// The broker handed a broadcast to the node.
    pub(crate) fn broadcast(&mut self, channel: &str, message: &RawJson) {
        match number(message) {
            Some(number) if keeps(channel) => self.channels.passed(channel, number),
            _ => self.accepted(channel, message),
        }
    }

    /// The application's own publication was accepted.
    pub(crate) fn published(&mut self, channel: &str, number: u64) {
        self.channels.published(channel, number, &mut self.violations);
    }

    /// A broker that has just opened its disk finds this on it.
    pub(crate) fn kept(&mut self, channel: &str, messages: &[RawJson]) {
        let numbers: Vec<u64> = messages.iter().filter_map(number).collect();
        self.channels.kept(channel, &numbers, &mut self.violations);
    }

    /// A message to devices is tried.
    pub(crate) fn tried(&mut self, number: u64) {
        self.deliveries.tried(number);
    }

    /// The store has accepted it for a device.
    pub(crate) fn owed(&mut self, device: &str, number: u64, event: &str) {
        self.deliveries.owed(device, number, event);
    }

    /// The store has noted a connection of this device, whose queue has this epoch.
    pub(crate) fn noted(&mut self, device: &str, epoch: &str) {
        let (now, ttl) = (host::elapsed(), self.promises.device_ttl);
        if let Err(violation) = self.deliveries.noted(device, epoch, now, ttl) {
            self.violated(violation);
        }
    }

    /// The store is told that a connection of this device ended.
    pub(crate) fn departed(&mut self, device: &str) {
        self.deliveries.departed(device, host::elapsed());
    }

    /// The store is opened: every connection counts as ended now.
    pub(crate) fn opened(&mut self) {
        self.deliveries.opened(host::elapsed());
    }

    /// The store took an event's entries, or all, out of a device's queue.
    pub(crate) fn cleared(&mut self, device: &str, number: u64, event: Option<&str>) {
        self.deliveries.cleared(device, number, event);
    }

    /// The server's process is gone, and all that was only in its memory.
    pub(crate) fn server_is_gone(&mut self) {
        if !self.promises.durable {
            self.deliveries.forgotten();
            self.channels.forgotten();
        }
    }

    // At the end, when nothing has gone wrong for a while.

    /// The clients that are there and not ready.
    pub(crate) fn unready(&self) -> Vec<ClientName> {
        let unready = self.clients.iter().filter(|(_, state)| **state != State::Ready);
        unready.map(|(name, _)| *name).collect()
    }

    /// How many requests wait for their outcome.
    pub(crate) fn open_requests(&self) -> usize {
        self.clients.keys().map(|client| self.calls.open(*client)).sum()
    }

    /// How much is still to be handed over.
    pub(crate) fn open_deliveries(&self) -> usize {
        self.deliveries.open()
    }

    /// Everything that was delivered should have been handed over.
    pub(crate) fn judge_deliveries(&mut self) {
        self.deliveries.judge(&mut self.violations);
    }

    /// Everybody who follows a channel must have heard all of it.
    pub(crate) fn heard_all(&mut self, client: ClientName, channel: &str) {
        self.channels.heard_all(client, channel, &mut self.violations);
    }
}

/// The number that a message is.
pub(crate) fn number(message: &RawJson) -> Option<u64> {
    message.parse().ok()
}
