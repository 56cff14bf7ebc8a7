//! The façade that everything above calls: sockets, channels, tokens and the broker of one node.
//!
//! In: commands of sessions, calls of the application, publications of the broker. Out: the same, handed
//! to the part that knows. Knows no transport and no HTTP.

mod channels;
mod completing;
mod devices;
mod draining;
mod gaps;
mod misses;
mod patience;
pub(crate) mod peers;
pub(crate) mod presence;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use tokensocket_protocol::command::subscribe::{Joined, subscribed_by_server};
use tokensocket_protocol::{Channel, Close, Token};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::broker::{Broker, BrokerHandler};
use crate::config::Config;
use crate::delivery::{DeviceStore, QueueCounts};
use crate::error::{BuildError, IssueError, SubscribeError};
use crate::format::Format;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::metrics::Traffic;
use crate::node_id::NodeId;
use crate::presence::PresenceStore;
use crate::session::clock::Clock;
use crate::session::outbox::{Limits, Outbox, Signal};
use crate::socket::{Home, Socket, SocketId, SocketIds};
use crate::timestamp::Timestamp;
use crate::token::{TokenStore, TokenStoreError};
use devices::Devices;
use draining::Draining;
pub(crate) use draining::Guest;
use gaps::Gaps;
use misses::Misses;
use peers::Peers;
use presence::Presences;

/// What a node has counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct NodeCounts {
    /// Sockets that came.
    pub opened: u64,
    /// Sockets that went.
    pub closed: u64,
    /// Entries of deliveries that were kept, one for each device that a message was for.
    pub accepted: u64,
    /// Acknowledgements of deliveries; that of a batch is one.
    pub acknowledged: u64,
    /// Messages that clients sent, of any kind; not their heartbeats.
    pub received: u64,
    /// Messages that were put on their way to clients: one for each socket that gets a publication.
    pub sent: u64,
}

impl NodeCounts {
    fn add(&mut self, other: &Self) {
        let Self { opened, closed, accepted, acknowledged, received, sent } = other;
        self.opened += opened;
        self.closed += closed;
        self.accepted += accepted;
        self.acknowledged += acknowledged;
        self.received += received;
        self.sent += sent;
    }
}

/// What a node shares with others, where there are any.
pub(crate) struct SharedStores {
    pub(crate) tokens: Box<dyn TokenStore>,
    pub(crate) broker: Box<dyn Broker>,
    pub(crate) devices: Box<dyn DeviceStore>,
    pub(crate) presence: Box<dyn PresenceStore>,
}

/// One node. Shared by all its tasks.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) access: Arc<Access>,
    pub(crate) tasks: TaskTracker,
    me: Weak<Self>,
    tokens: Box<dyn TokenStore>,
    broker: Box<dyn Broker>,
    devices: Devices,
    presences: Presences,
    gaps: Gaps,
    misses: Misses,
    peers: Peers,
    hub: Hub,
    sockets: Mutex<IndexMap<SocketId, Socket>>,
    ids: SocketIds,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    pub(crate) traffic: Traffic,
    auth_timeout: RwLock<Option<Duration>>,
    /// Cancelled when the node begins to end.
    pub(crate) stop: CancellationToken,
    /// Cancelled when every connection has been told to go.
    pub(crate) last: CancellationToken,
    draining: Draining,
    pub(crate) clock: Clock,
    ticking: Once,
    /// Told when the node has ended: it drains, and its last socket is gone.
    ended: Arc<Notify>,
}

impl Node {
    pub(crate) fn new(
        id: NodeId,
        config: Config,
        access: Access,
        shared: SharedStores,
    ) -> Result<Arc<Self>, BuildError> {
        let SharedStores { tokens, broker, devices, presence } = shared;
        let config_tick = config.tick();
        let peers = Peers::new(broker.has_others(), config.node_name.clone(), config.node_heartbeat);
        let tasks = TaskTracker::new();
        let node = Arc::new_cyclic(|me| Self {
            id,
            auth_timeout: RwLock::new(config.auth_timeout),
            hub: Hub::new(tasks.clone(), Arc::clone(&config.channels)),
            config,
            access: Arc::new(access),
            tasks,
            me: me.clone(),
            tokens,
            broker,
            devices: Devices::new(devices),
            presences: Presences::new(presence),
            gaps: Gaps::default(),
            misses: Misses::default(),
            peers,
            sockets: Mutex::default(),
            ids: SocketIds::of(id),
            addresses: Mutex::default(),
            traffic: Traffic::default(),
            stop: CancellationToken::new(),
            last: CancellationToken::new(),
            draining: Draining::default(),
            clock: Clock::new(config_tick),
            ticking: Once::new(),
            ended: Arc::default(),
        });
        let handler: Weak<dyn BrokerHandler> = node.me.clone() as Weak<dyn BrokerHandler>;
        node.presences.start(id)?;
        node.devices.start(id, &node.me)?;
        node.broker.start(id, handler)?;
        if node.peers.has_others && Handle::try_current().is_ok() {
            // Others are to know of a node that nobody has come to.
            node.begin_ticking();
        }
        Ok(node)
    }

    // Tokens.

    pub(crate) async fn issue(&self, identity: Identity) -> Result<Token, IssueError> {
        if self.is_draining() {
            return Err(IssueError::ShuttingDown);
        }
        identity.check().map_err(IssueError::Identity)?;
        let mut random = [0; 16];
        OsRng.try_fill_bytes(&mut random).map_err(|error| {
            TokenStoreError::Unavailable(format!("the operating system gave no randomness: {error}"))
        })?;
        let token = Token::from_random(random);
        self.tokens.issue(token.clone(), identity, self.config.token_ttl).await?;
        Ok(token)
    }

    pub(crate) async fn redeem(&self, token: Token) -> Result<Option<Identity>, TokenStoreError> {
        self.tokens.redeem(token).await
    }

    // Sockets.

    /// Whether other nodes may have the same channels, so that publications go by an engine.
    pub(crate) fn shares_channels(&self) -> bool {
        self.peers.has_others
    }

    /// Counts a connection from an address; `None` when the address has as many as it may.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Admission> {
        if let (Some(address), Some(limit)) = (address, self.config.max_connections_per_address) {
            let mut addresses = self.addresses.lock();
            let count = addresses.entry(address).or_default();
            if *count >= limit {
                return None;
            }
            *count += 1;
            return Some(Admission { node: Arc::clone(self), address: Some(address) });
        }
        Some(Admission { node: Arc::clone(self), address: None })
    }

    pub(crate) fn open(
        self: &Arc<Self>,
        remote_address: Option<std::net::SocketAddr>,
        format: Format,
        direct: Option<OwnedWriteHalf>,
    ) -> Socket {
        self.begin_ticking();
        let id = self.ids.next();
        let outbox = Outbox::new(self.outbox_limits(), direct);
        let socket = Socket::new(id, remote_address, format, outbox, Arc::clone(self) as Arc<dyn Home>);
        self.sockets.lock().insert(id, socket.clone());
        if self.is_draining() {
            socket.disconnect_with(Close::RESTART);
        }
        socket
    }

    fn begin_ticking(&self) {
        self.ticking.call_once(|| {
            // Nobody has moved it on so far: the first socket's time begins now, not with the node.
            self.clock.advance();
            self.can_mend();
            drop(self.tasks.spawn(tick(self.me.clone(), Arc::clone(&self.ended))));
        });
    }

    pub(crate) fn outbox_limits(&self) -> Limits {
        Limits { messages: self.config.outbox_messages, bytes: self.config.outbox_bytes }
    }

    /// Forgets a socket whose connection is gone.
    pub(crate) fn close(&self, socket: &Socket) {
        let was_last = {
            let mut sockets = self.sockets.lock();
            sockets.swap_remove(&socket.id());
            sockets.is_empty()
        };
        if was_last && self.is_draining() {
            self.ended.notify_one();
        }
        self.detach(socket);
        let _changing = socket.change_channels();
        for channel in socket.end() {
            self.leave(&channel, socket);
        }
    }

    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.sockets.lock().values().cloned().collect()
    }

    pub(crate) fn socket(&self, id: SocketId) -> Option<Socket> {
        self.sockets.lock().get(&id).cloned()
    }

    pub(crate) fn counts(&self) -> NodeCounts {
        let open = self.sockets.lock().len();
        let opened = self.ids.given();
        let (accepted, acknowledged) = self.devices.requests.counts();
        let closed = opened.saturating_sub(u64::try_from(open).unwrap_or(u64::MAX));
        let (received, sent) = self.traffic.counts();
        NodeCounts { opened, closed, accepted, acknowledged, received, sent }
    }

    pub(crate) fn queue_counts(&self) -> Option<QueueCounts> {
        self.devices.store.counts()
    }

    pub(crate) fn auth_timeout(&self) -> Option<Duration> {
        *self.auth_timeout.read()
    }

    pub(crate) fn set_auth_timeout(&self, timeout: Option<Duration>) {
        *self.auth_timeout.write() = timeout;
        for socket in self.sockets().iter().filter(|socket| !socket.is_authenticated()) {
            socket.outbox().signal(Signal::Wake);
        }
    }
}

/// How often what is past its time is dropped.
const EXPIRY: Duration = Duration::from_secs(10);
/// How often a store of presence that failed is told again, at most.
const AGAIN: Duration = Duration::from_secs(1);

/// Moves the node's clock on and wakes whose time has come, until the node has ended.
async fn tick(node: Weak<Node>, ended: Arc<Notify>) {
    let Some(period) = node.upgrade().map(|node| node.clock.tick()) else { return };
    let mut ticks = tokio::time::interval(period);
    let mut expired = Instant::now();
    let mut told_again = expired;
    loop {
        // Either way the node is looked at: it may have ended between two ticks.
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended.notified() => {}
        }
        let Some(node) = node.upgrade() else { return };
        for (id, asked) in node.clock.advance() {
            if let Some(socket) = node.socket(id) {
                socket.check_due(asked, &node.clock);
            }
        }
        if told_again.elapsed() >= AGAIN {
            told_again = Instant::now();
            node.change_again();
        }
        if expired.elapsed() >= EXPIRY {
            expired = Instant::now();
            node.expire_channels(Timestamp::now());
            node.expire_devices();
            node.expire_presence();
        }
        if node.is_draining() && node.sockets.lock().is_empty() {
            return node.say_gone();
        }
        node.beat();
    }
}

impl Home for Node {
    fn node(&self) -> NodeId {
        self.id
    }

    fn rpc_timeout(&self) -> Duration {
        self.config.rpc_timeout
    }

    fn max_calls(&self) -> usize {
        self.config.max_calls_per_socket
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn subscribe(&self, socket: &Socket, channel: Channel) -> BoxFuture<'_, Result<(), SubscribeError>> {
        let socket = socket.clone();
        async move {
            let mut confirm = |joined: &Joined<'_>| subscribed_by_server(&channel, joined).into();
            let told = Self::subscribe(self, &socket, &channel, None, &mut confirm).await?;
            self.enter(&socket, &channel, false);
            if let Some(told) = told {
                socket.tell(|| told);
            }
            Ok(())
        }
        .boxed()
    }

    fn unsubscribe(&self, socket: &Socket, channel: &Channel) {
        Self::unsubscribe(self, socket, channel);
    }
}

/// A connection that is counted until this is dropped.
pub(crate) struct Admission {
    node: Arc<Node>,
    address: Option<IpAddr>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.node.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}
