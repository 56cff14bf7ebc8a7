//! Several nodes in one process that share everything, without an engine: a bus with a seat for each.
//!
//! ```text
//! seat 1 ──publication, control, hint──▶ Bus, one order for all ──▶ each seat's queue ──▶ its node's handlers
//! ```
//!
//! In: what each node tells the others and keeps. Out: the same to those whom it concerns, and faults: a seat that is
//! cut off, deaf or slow, hints that are lost or come twice. What is kept is in the memory of this process.

mod broker;
mod cluster;
mod devices;
mod presence;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokensocket_server::log::Log;
use tokensocket_server::{
    Broker, BrokerHandler, Channel, Control, Device, DeviceHandler, DeviceStore, Engine, Gap,
    MemoryDeviceStore, MemoryPresenceStore, MemoryTokenStore, Message, NodeId, Pattern, PresenceStore,
    Publication, QueueLimits, Queued, RawJson, Resync, TokenStore,
};
use tokio::sync::mpsc;

pub use cluster::Cluster;

/// What all nodes share.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    tokens: MemoryTokenStore,
    devices: MemoryDeviceStore,
    presence: MemoryPresenceStore,
}

#[derive(Default)]
struct State {
    logs: HashMap<Channel, Log<RawJson>>,
    seats: Vec<Place>,
    /// Who is on a channel, and whose socket that is.
    present: HashMap<(Channel, Arc<str>), Here>,
}

/// Somebody on a channel.
struct Here {
    seat: usize,
    per_user: bool,
}

/// One node's place.
struct Place {
    queue: mpsc::UnboundedSender<Told>,
    queued: Option<mpsc::UnboundedReceiver<Told>>,
    node: Option<NodeId>,
    handler: Option<Weak<dyn BrokerHandler>>,
    device_handler: Option<Weak<dyn DeviceHandler>>,
    followed: HashSet<Channel>,
    patterns: HashSet<Pattern>,
    /// How often each device arrived here.
    arrived: HashMap<Device, usize>,
    faults: Faults,
    /// What was put into its queue.
    publications: usize,
    hints: usize,
}

/// What is wrong with a seat.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is by itself")]
struct Faults {
    /// Nothing comes or goes, and its node is told so.
    cut: bool,
    /// Nothing comes, and nobody is told.
    deaf: bool,
    /// Its node has died.
    dead: bool,
    late: Duration,
    hints_lost: bool,
    hints_doubled: bool,
    hints_bare: bool,
}

/// What comes to a node.
#[derive(Clone)]
enum Told {
    Publication(Publication),
    Broadcast(RawJson),
    Control(Control),
    Announcement(Channel, RawJson),
    Gap,
    Queued(Device, Queued, Option<Message>),
    Resync(Device, Resync),
    HintsLost,
}

impl Bus {
    /// A bus without seats. Queues hold what [`QueueLimits`] say by default.
    pub fn new() -> Self {
        Self::with(QueueLimits::default())
    }

    /// The same with other limits.
    pub fn with(limits: QueueLimits) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            tokens: MemoryTokenStore::default(),
            devices: MemoryDeviceStore::new(limits),
            presence: MemoryPresenceStore::new(),
        }))
    }

    /// A seat for one more node: give it to `ServerBuilder::engine`.
    pub fn seat(&self) -> Seat {
        let (queue, queued) = mpsc::unbounded_channel();
        let mut state = self.0.state();
        state.seats.push(Place {
            queue,
            queued: Some(queued),
            node: None,
            handler: None,
            device_handler: None,
            followed: HashSet::new(),
            patterns: HashSet::new(),
            arrived: HashMap::new(),
            faults: Faults::default(),
            publications: 0,
            hints: 0,
        });
        Seat { bus: self.clone(), number: state.seats.len() - 1 }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts something into the queues of those seats for whom it is.
    fn tell(&mut self, told: &Told, mut is_for: impl FnMut(usize, &Place) -> bool) {
        for (number, place) in self.seats.iter_mut().enumerate() {
            let Faults { cut, deaf, dead, .. } = place.faults;
            if !cut && !deaf && !dead && is_for(number, place) {
                place.publications += usize::from(matches!(told, Told::Publication(_)));
                let _ = place.queue.send(told.clone());
            }
        }
    }

    /// Tells those at whose seats a device has arrived, but not `own`.
    fn hint(&mut self, own: usize, device: &Device, told: &Told) {
        for (number, place) in self.seats.iter_mut().enumerate() {
            let Faults { cut, deaf, dead, hints_lost, hints_doubled, hints_bare, .. } = place.faults;
            if number == own || cut || deaf || dead || hints_lost || !place.arrived.contains_key(device) {
                continue;
            }
            place.hints += 1;
            let told = match told {
                Told::Queued(device, queued, _) if hints_bare => {
                    Told::Queued(device.clone(), queued.clone(), None)
                }
                told => told.clone(),
            };
            for _ in 0..=usize::from(hints_doubled) {
                let _ = place.queue.send(told.clone());
            }
        }
    }
}

/// One node's seat on a [`Bus`].
#[derive(Debug, Clone)]
pub struct Seat {
    bus: Bus,
    number: usize,
}

impl Seat {
    fn with<R>(&self, work: impl FnOnce(&mut Place) -> R) -> R {
        work(&mut self.bus.0.state().seats[self.number])
    }

    fn is_cut(&self) -> bool {
        self.with(|place| place.faults.cut || place.faults.dead)
    }

    /// Cuts the node off: what it wants of the bus fails, and it hears nothing.
    pub fn cut(&self) {
        self.with(|place| place.faults.cut = true);
    }

    /// Ends [`cut`](Self::cut), and tells the node that it may have missed something.
    pub fn mend(&self) {
        self.with(|place| {
            place.faults.cut = false;
            let _ = place.queue.send(Told::Gap);
            let _ = place.queue.send(Told::HintsLost);
        });
    }

    /// The node hears nothing any more, or hears again. Nobody is told that it missed something.
    pub fn deafen(&self, deaf: bool) {
        self.with(|place| place.faults.deaf = deaf);
    }

    /// The node is as good as dead: nothing comes or goes, its devices have departed, and what else it has goes away
    /// when somebody looks.
    pub fn die(&self) {
        let arrived = self.with(|place| {
            place.faults.dead = true;
            std::mem::take(&mut place.arrived)
        });
        for (device, times) in arrived {
            for _ in 0..times {
                drop(self.bus.0.devices.depart(device.clone(), tokensocket_server::Timestamp::now()));
            }
        }
    }

    /// What comes to the node takes so long.
    pub fn delay(&self, late: Duration) {
        self.with(|place| place.faults.late = late);
    }

    /// Hints of other nodes' deliveries do not come, or come again. When they do, the node is told that some are lost.
    pub fn lose_hints(&self, lost: bool) {
        self.with(|place| {
            place.faults.hints_lost = lost;
            if !lost {
                let _ = place.queue.send(Told::HintsLost);
            }
        });
    }

    /// Each hint comes twice.
    pub fn double_hints(&self) {
        self.with(|place| place.faults.hints_doubled = true);
    }

    /// Hints come without the message that they are about.
    pub fn bare_hints(&self) {
        self.with(|place| place.faults.hints_bare = true);
    }

    /// How many publications the bus carried to the node.
    pub fn publications(&self) -> usize {
        self.with(|place| place.publications)
    }

    /// How many hints of deliveries it carried there.
    pub fn hints(&self) -> usize {
        self.with(|place| place.hints)
    }

    /// Begins to hand to the node what comes for it.
    fn serve(&self, mut queued: mpsc::UnboundedReceiver<Told>) {
        let seat = self.clone();
        tokio::spawn(async move {
            while let Some(told) = queued.recv().await {
                let (late, handler, devices) = seat
                    .with(|place| (place.faults.late, place.handler.clone(), place.device_handler.clone()));
                if !late.is_zero() {
                    tokio::time::sleep(late).await;
                }
                let Some(handler) = handler.as_ref().and_then(Weak::upgrade) else { return };
                let devices = devices.as_ref().and_then(Weak::upgrade);
                match told {
                    Told::Publication(publication) => handler.handle_publication(&publication),
                    Told::Broadcast(message) => handler.handle_broadcast(&message),
                    Told::Control(control) => handler.handle_control(control),
                    Told::Announcement(channel, told) => handler.handle_announcement(&channel, &told),
                    Told::Gap => handler.handle_gap(Gap::All),
                    Told::Queued(device, queued, message) => {
                        devices.inspect(|to| to.handle_queued(&device, &queued, message.as_ref()));
                    }
                    Told::Resync(device, resync) => {
                        devices.inspect(|to| to.handle_resync(&device, &resync));
                    }
                    Told::HintsLost => {
                        devices.inspect(|to| to.handle_gap());
                    }
                }
            }
        });
    }
}

impl Engine for Seat {
    fn tokens(&self) -> Box<dyn TokenStore> {
        Box::new(tokens::Tokens(self.clone()))
    }

    fn broker(&self) -> Box<dyn Broker> {
        Box::new(broker::SeatBroker(self.clone()))
    }

    fn devices(&self) -> Box<dyn DeviceStore> {
        Box::new(devices::Devices(self.clone()))
    }

    fn presence(&self) -> Box<dyn PresenceStore> {
        Box::new(presence::Presences(self.clone()))
    }
}
