//! Deliveries on this node: which sockets are of which user and device, and what they are sent when.
//!
//! ```text
//! deliver ──▶ store.append ──▶ ring each device's sockets ──▶ Cursor ──▶ outbox
//! connect ──▶ store.arrive ──▶ settings, resyncs ──▶ store.read ──▶ batch ──▶ live
//! close   ──▶ store.depart, once for each arrival
//! ```
//!
//! In: messages, sockets that authenticate and close, acknowledgements. Out: calls of the store, frames. What one
//! socket has been sent is [`Cursor`]'s affair.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use parking_lot::{Mutex, RwLock};
use tokensocket_protocol::message::{Acknowledge, Hello};
use tokensocket_protocol::{Channel, Close, RawJson};
use tokio::runtime::Handle;

use super::Node;
use super::completing::Completing;
use super::patience::Asked;
use crate::delivery::live::{Acknowledged, Cursor, MustRead};
use crate::delivery::requests::Requests;
use crate::delivery::{Appended, Arrival, Device, DeviceHandler, DeviceStore, Message, Queued, Resync, To};
use crate::format::Format;
use crate::node_id::NodeId;
use crate::socket::{Socket, SocketId};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// So many devices are rung before others get their turn.
const RINGS: usize = 256;
/// How many queues are read at a time after a gap.
const READS: usize = 64;
/// How long a store that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The devices that are connected to this node.
pub(crate) struct Devices {
    pub(super) store: Box<dyn DeviceStore>,
    /// The authenticated sockets of users. A socket without deliveries stands under a device without a name.
    sockets: RwLock<BTreeMap<(Device, SocketId), Socket>>,
    /// Departures that the store did not take.
    departing: Mutex<Vec<Device>>,
    /// How often the store said that some of what others did may be lost, since all queues were looked at.
    gaps: AtomicUsize,
    pub(crate) requests: Requests,
}

impl Devices {
    pub(super) fn new(store: Box<dyn DeviceStore>) -> Self {
        Self {
            store,
            sockets: RwLock::default(),
            departing: Mutex::default(),
            gaps: AtomicUsize::new(0),
            requests: Requests::default(),
        }
    }

    pub(super) fn start(&self, id: NodeId, node: &Weak<Node>) -> Result<(), StoreError> {
        self.store.start(id, node.clone() as Weak<dyn DeviceHandler>)
    }

    fn of_device(&self, device: &Device) -> Vec<Socket> {
        let sockets = self.sockets.read();
        let range = (device.clone(), SocketId(0))..=(device.clone(), SocketId(u64::MAX));
        sockets.range(range).map(|(_, socket)| socket.clone()).collect()
    }

    fn of_user(&self, user: &Arc<str>) -> Vec<Socket> {
        let sockets = self.sockets.read();
        let first = (Device { user: Arc::clone(user), id: Arc::from("") }, SocketId(0));
        let of_user = sockets.range(first..).take_while(|((device, _), _)| device.user == *user);
        of_user.map(|(_, socket)| socket.clone()).collect()
    }

    fn of_users(&self, users: &[Arc<str>]) -> Vec<Socket> {
        let mut users: Vec<&Arc<str>> = users.iter().collect();
        users.sort_unstable();
        users.dedup();
        users.into_iter().flat_map(|user| self.of_user(user)).collect()
    }
}

/// Where a socket stands among those of users.
fn place(socket: &Socket) -> Option<(Device, SocketId)> {
    let device = match socket.cursor() {
        Some(cursor) => cursor.device.clone(),
        None => Device { user: Arc::clone(socket.identity().user_id()?), id: Arc::from("") },
    };
    Some((device, socket.id()))
}

impl Node {
    /// A socket has authenticated. `device`: what its client said of itself, if it takes deliveries.
    pub(crate) fn attach(&self, socket: &Socket, device: Option<&Hello>) {
        let Some(user) = socket.identity().user_id() else { return };
        if let Some(hello) = device {
            let named = hello.device.as_ref().filter(|_| !socket.identity().is_passing());
            let (id, ttl) = named.map_or_else(
                || (format!("~{:016x}", rand::random::<u64>()), Duration::ZERO),
                |name| (name.clone(), self.config.device_ttl),
            );
            let device = Device { user: Arc::clone(user), id: id.into() };
            socket.set_cursor(Cursor::new(device, ttl, self.config.device_ttl));
        }
        if let Some(place) = place(socket) {
            self.devices.sockets.write().insert(place, socket.clone());
        }
    }

    /// A socket is gone.
    pub(super) fn detach(&self, socket: &Socket) {
        if let Some(place) = place(socket) {
            self.devices.sockets.write().remove(&place);
        }
        if let Some(cursor) = socket.cursor()
            && cursor.close()
        {
            self.depart(cursor.device.clone());
        }
    }

    fn depart(&self, device: Device) {
        let mut departing = self.devices.store.depart(device.clone(), Timestamp::now());
        if let Some(departed) = (&mut departing).now_or_never() {
            return self.departed(device, departed);
        }
        if let Some(node) = self.me.upgrade() {
            // What comes of it is for the next time only; the call is made.
            let departing = async move { node.departed(device, departing.await) };
            self.finish(departing.boxed());
        }
    }

    fn departed(&self, device: Device, departed: Result<(), StoreError>) {
        // Whether it departed after all is not known: once too often would forget it while it is connected.
        if let Err(error) = departed
            && error != StoreError::Timeout
        {
            tracing::warn!(%error, user = %device.user, "the store takes a device for connected that is not: trying again");
            self.devices.departing.lock().push(device);
        }
    }

    /// Has those depart whom the store would not let go.
    fn depart_again(&self) {
        let departing = std::mem::take(&mut *self.devices.departing.lock());
        for device in departing {
            self.depart(device);
        }
    }

    /// Begins to send a socket what is for its device. Call it once, behind the answer to `auth`.
    pub(crate) fn greet(self: &Arc<Self>, socket: &Socket) {
        if socket.cursor().is_some() {
            self.finish(Arc::clone(self).greeting(socket.clone()).boxed());
        }
    }

    async fn greeting(self: Arc<Self>, socket: Socket) {
        let Some(cursor) = socket.cursor() else { return };
        let mut pause = PAUSE.0;
        let arrived = loop {
            if cursor.is_gone() {
                return;
            }
            let arrival = Arrival {
                device: cursor.device.clone(),
                rooms: socket.identity().room_names().to_vec(),
                ttl: cursor.ttl,
            };
            match self.devices.store.arrive(arrival, Timestamp::now()).await {
                Ok(arrived) => break arrived,
                Err(error) => self.rest(&socket, &error, &mut pause).await,
            }
        };
        self.depart_again();
        if cursor.arrived(&socket, &arrived) {
            self.catch_up(&socket, cursor, true).await;
        } else {
            self.depart(cursor.device.clone());
        }
    }

    /// Gives a socket what the store has for it, until it is up to date.
    async fn catch_up(&self, socket: &Socket, cursor: &Cursor, mut is_first: bool) {
        let mut pause = PAUSE.0;
        while let Some(reading) = cursor.reading() {
            let device = cursor.device.clone();
            let read = self.devices.store.read(device, reading.after, usize::MAX, Timestamp::now());
            match tokio::time::timeout(self.config.store_timeout, read).await {
                Ok(Ok(entries)) => {
                    let given = cursor.give(socket, reading, &entries, is_first);
                    is_first &= !given.sent;
                    if given.must_read == MustRead(false) {
                        return;
                    }
                }
                Ok(Err(error)) => self.rest(socket, &error, &mut pause).await,
                Err(_) => self.rest(socket, &StoreError::Timeout, &mut pause).await,
            }
        }
    }

    async fn rest(&self, socket: &Socket, error: &StoreError, pause: &mut Duration) {
        tracing::warn!(%error, socket = %socket.id(), "a device waits for the store");
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE.1);
    }

    /// Keeps a message for every device it is for, and sends it to those that are connected here. What was begun
    /// is done, also when nobody waits for it any more.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        to: To,
        message: Message,
        request: Option<Arc<str>>,
    ) -> Result<Appended, StoreError> {
        // What is kept grows old also while nobody is connected.
        self.begin_ticking();
        let node = Arc::clone(self);
        let delivering = async move {
            let appended = node.devices.store.append(to, message.clone(), Timestamp::now()).await?;
            node.devices.requests.kept(request.as_ref(), &appended);
            for (at, (device, queued)) in appended.queued.iter().enumerate() {
                if at % RINGS == RINGS - 1 {
                    tokio::task::yield_now().await;
                }
                node.ring(device, queued, &message);
            }
            Ok(appended)
        };
        let asked = Asked::of(self.devices.store.holds());
        let completing = Completing::new(Arc::clone(self), delivering.boxed());
        self.in_time(asked, completing, StoreError::Timeout).await
    }

    fn ring(self: &Arc<Self>, device: &Device, queued: &Queued, message: &Message) {
        for socket in self.devices.of_device(device) {
            let Some(cursor) = socket.cursor() else { continue };
            match queued {
                Queued::At(seq) => {
                    if cursor.ring(&socket, *seq, message) == MustRead(true) {
                        self.look_again(&socket);
                    }
                }
                Queued::Overflowed { last, resync } => cursor.overflowed(&socket, *last, resync),
            }
        }
    }

    fn look_again(self: &Arc<Self>, socket: &Socket) {
        let (node, socket) = (Arc::clone(self), socket.clone());
        let looking = async move {
            if let Some(cursor) = socket.cursor() {
                node.catch_up(&socket, cursor, false).await;
            }
        };
        self.finish(looking.boxed());
    }

    fn tell(&self, device: &Device, resync: &Resync) {
        for socket in self.devices.of_device(device) {
            if let Some(cursor) = socket.cursor() {
                cursor.resync(&socket, resync);
            }
        }
    }

    /// A socket's device has something. `None` when there is nothing to do: it was not sent on this connection.
    ///
    /// The store is called at once, so that acknowledgements keep their order.
    pub(crate) fn acknowledge(
        self: &Arc<Self>,
        cursor: &Cursor,
        what: Acknowledge,
    ) -> Option<BoxFuture<'static, Result<(), StoreError>>> {
        let (node, device) = (Arc::clone(self), cursor.device.clone());
        let store = &self.devices.store;
        let acknowledging = match cursor.acknowledged(what)? {
            Acknowledged::Resyncs(numbers) => store.told(device, numbers),
            Acknowledged::Entries(what) => {
                let acknowledging = store.acknowledge(device.clone(), what, Timestamp::now());
                let taken = self.devices.requests.take(&device, what);
                let telling = async move {
                    let resync = acknowledging.await?;
                    Requests::acknowledged(&device, &taken);
                    if let Some(resync) = resync {
                        node.tell(&device, &resync);
                    }
                    Ok(())
                };
                telling.boxed()
            }
        };
        let node = Arc::clone(self);
        let completing = Completing::begun(Arc::clone(self), acknowledging);
        Some(async move { node.in_time(Asked::AtOnce, completing, StoreError::Timeout).await }.boxed())
    }

    /// A socket's device has something, and nobody waits to hear that the store knows.
    #[cfg(any(feature = "socketio", feature = "events"))]
    pub(crate) fn settle(self: &Arc<Self>, socket: &Socket, what: Acknowledge) {
        if let Some(acknowledging) = socket.cursor().and_then(|cursor| self.acknowledge(cursor, what)) {
            let settling = async move {
                if let Err(error) = acknowledging.await {
                    tracing::debug!(%error, "the store did not take an acknowledgement: it will be delivered again");
                }
            };
            let mut settling = settling.boxed();
            if (&mut settling).now_or_never().is_none() {
                self.finish(settling);
            }
        }
    }

    /// Has the store remove what is past its time. Call it about every ten seconds.
    pub(super) fn expire_devices(self: &Arc<Self>) {
        self.depart_again();
        let expiring = self.devices.store.expire(Timestamp::now());
        let node = Arc::clone(self);
        let telling = async move {
            match expiring.await {
                Ok(expired) => {
                    for (device, resync) in &expired.resyncs {
                        node.tell(device, resync);
                    }
                }
                Err(error) => tracing::warn!(%error, "the store did not remove what is past its time"),
            }
        };
        self.finish(telling.boxed());
    }

    // Live, by identity.

    pub(super) fn emit(&self, users: Option<&[Arc<str>]>, channel: &Channel, message: &RawJson) {
        let sockets = match users {
            Some(users) => self.devices.of_users(users),
            None => self.sockets().into_iter().filter(Socket::is_authenticated).collect(),
        };
        let mut frames: [Option<Bytes>; Format::COUNT] = Default::default();
        for socket in sockets {
            let encode = || socket.encode(&socket.dialect().publication(channel, message, None));
            let frame = frames[socket.format() as usize].get_or_insert_with(encode);
            socket.post(frame);
        }
    }

    /// The sockets of a user, in the order of their devices' names.
    pub(crate) fn user_sockets(&self, user: &Arc<str>) -> Vec<Socket> {
        self.devices.of_user(user)
    }

    pub(super) fn disconnect_users(&self, users: &[Arc<str>], close: &Close) {
        for socket in self.devices.of_users(users) {
            socket.disconnect_with(close.clone());
        }
    }
}

impl DeviceHandler for Node {
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>) {
        let Some(node) = self.me.upgrade() else { return };
        match (queued, message) {
            (Queued::At(seq), None) => {
                for socket in node.devices.of_device(device) {
                    let look = socket.cursor().map(|cursor| cursor.look(*seq));
                    if look == Some(MustRead(true)) {
                        node.look_again(&socket);
                    }
                }
            }
            (Queued::Overflowed { last, resync }, None) => {
                for socket in node.devices.of_device(device) {
                    if let Some(cursor) = socket.cursor() {
                        cursor.overflowed(&socket, *last, resync);
                    }
                }
            }
            (_, Some(message)) => node.ring(device, queued, message),
        }
    }

    fn handle_resync(&self, device: &Device, resync: &Resync) {
        self.tell(device, resync);
    }

    fn handle_gap(&self) {
        let (Some(node), Ok(_)) = (self.me.upgrade(), Handle::try_current()) else { return };
        // One that is told of while another is seen to is seen to behind it.
        if node.devices.gaps.fetch_add(1, Ordering::AcqRel) == 0 {
            let looking = async move { node.close_gaps().await };
            self.finish(looking.boxed());
        }
    }
}

impl Node {
    /// Reads the queue of each connected device, since something of it may not have been told, until no other gap is
    /// known.
    async fn close_gaps(self: &Arc<Self>) {
        loop {
            let seen = self.devices.gaps.load(Ordering::Acquire);
            let sockets: Vec<Socket> = {
                let sockets = self.devices.sockets.read();
                sockets.values().filter(|socket| socket.cursor().is_some()).cloned().collect()
            };
            tracing::debug!(
                devices = sockets.len(),
                "looking whether devices were delivered something meanwhile"
            );
            let look = |socket: Socket| async move {
                if let Some(cursor) = socket.cursor()
                    && cursor.look_anew() == MustRead(true)
                {
                    let catching_up = self.catch_up(&socket, cursor, false);
                    if tokio::time::timeout(self.config.store_timeout, catching_up).await.is_err() {
                        // One that cannot be read holds up no other.
                        self.look_again(&socket);
                    }
                }
            };
            futures_util::stream::iter(sockets).for_each_concurrent(READS, look).await;
            if self.devices.gaps.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }
}
