//! Which server has which slot.
//!
//! In: an address; of a cluster, what its servers say. Out: the server of a slot. A cluster's map is read again whenever a
//! server says that it is not as it was, and every second while one is away.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{Value, cmd};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::{Address, Host, Shape};
use super::book::{Book, Ticket, Topic, Waiter};
use super::dial::{Dialer, NotConnected};
use super::map::{NOBODY, Range, read_ranges};
use super::server::{Live, Server, Site, State};
use super::slots::{SLOTS, owner, slot};
use super::subscriber::Subscriber;
use super::task::Task;

/// How often a cluster's map is read though nobody says that it has changed, and while a server is away.
const CALM: Duration = Duration::from_secs(30);
const AWAY: Duration = Duration::from_secs(1);
/// How long to wait, at least, before it is read again.
const PAUSE: Duration = Duration::from_millis(100);
/// How many servers without slots there may be to which others send us, and for how long each stays connected.
const MOST_GUESTS: usize = 16;
const GUEST: Duration = Duration::from_mins(1);

pub(super) const NOBODY_HAS_IT: &str = "no server of the cluster has this part of the keys";

/// One server that has slots.
pub(super) struct Shard {
    server: Server,
    subscriber: Subscriber,
}

impl Shard {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    fn is_at(&self, host: &Host) -> bool {
        matches!(self.server.site(), Site::Fixed(there) if there == host)
    }
}

/// Who has what, at one moment.
pub(super) struct Map {
    shards: Vec<Arc<Shard>>,
    /// For each slot the place of its shard above; [`NOBODY`] for those that no server has.
    slots: Vec<u16>,
}

impl Map {
    pub(super) fn shard(&self, slot: usize) -> Option<&Arc<Shard>> {
        self.shards.get(usize::from(*self.slots.get(slot)?))
    }
}

/// All servers.
pub(super) struct Topology {
    map: ArcSwap<Map>,
    dialer: Arc<Dialer>,
    response_limit: Duration,
    /// Servers of a cluster that are asked when none is connected.
    seeds: Vec<Host>,
    is_cluster: bool,
    stale: Notify,
    /// What is wished of slots that nobody has.
    unowned: Mutex<Book>,
    /// Servers to which others send us, and which have no slots yet.
    guests: Mutex<HashMap<Host, Guest>>,
}

/// A server that is asked though it has no slot.
struct Guest {
    server: Server,
    asked: Instant,
}

impl Topology {
    /// Connects to all servers. The task keeps the map of a cluster as it is.
    pub(super) async fn connect(
        address: &Address,
        dialer: Arc<Dialer>,
        response_limit: Duration,
    ) -> Result<(Arc<Self>, Option<Task>), (String, NotConnected)> {
        let is_cluster = matches!(address.shape, Shape::Cluster(_));
        let seeds = address.hosts().to_vec();
        let (sites, slots) = match &address.shape {
            Shape::Shards(hosts) => {
                let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
                let slots = (0..SLOTS).map(|slot| number(owner(slot, &names))).collect();
                (hosts.iter().cloned().map(Site::Fixed).collect::<Vec<_>>(), slots)
            }
            Shape::Sentinel { sentinels, service } => {
                let site = Site::Sentinel { sentinels: sentinels.clone(), service: service.clone() };
                (vec![site], vec![0; SLOTS])
            }
            Shape::Cluster(hosts) => {
                let ranges = ask_any(&dialer, hosts).await.map_err(|error| (address.to_string(), error))?;
                let (hosts, slots) = arrange(&ranges);
                (hosts.into_iter().map(Site::Fixed).collect(), slots)
            }
        };
        let mut shards = Vec::new();
        for site in sites {
            let name = site.to_string();
            let server = Server::connect(site.clone(), Arc::clone(&dialer), response_limit).await;
            let server = server.map_err(|error| (name.clone(), error))?;
            let connecting =
                Subscriber::connect(site, Arc::clone(&dialer), response_limit, is_cluster, server.watch());
            let subscriber = connecting.await.map_err(|error| (name, error))?;
            shards.push(Arc::new(Shard { server, subscriber }));
        }
        let map = ArcSwap::from_pointee(Map { shards, slots });
        let topology = Arc::new(Self {
            map,
            dialer,
            response_limit,
            seeds,
            is_cluster,
            stale: Notify::new(),
            unowned: Mutex::default(),
            guests: Mutex::default(),
        });
        let task = is_cluster.then(|| Task::spawn(keep(Arc::downgrade(&topology))));
        Ok((topology, task))
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    pub(super) fn map(&self) -> Arc<Map> {
        self.map.load_full()
    }

    pub(super) fn shard(&self, slot: usize) -> Option<Arc<Shard>> {
        self.map.load().shard(slot).cloned()
    }

    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.map.load().shards.clone()
    }

    /// The place of a slot's server among [`shards`](Self::shards).
    pub(super) fn number(&self, slot: usize) -> usize {
        self.map.load().slots.get(slot).copied().map_or(0, usize::from)
    }

    /// The connection to a server to which another sends us; where it has no slot yet, one begins to be made.
    pub(super) fn sent_to(&self, host: &Host) -> Option<Arc<Live>> {
        if let Some(shard) = self.map.load().shards.iter().find(|shard| shard.is_at(host)) {
            return shard.server().live();
        }
        let mut guests = self.guests.lock();
        if guests.len() >= MOST_GUESTS && !guests.contains_key(host) {
            return None;
        }
        let guest = guests.entry(host.clone()).or_insert_with(|| {
            let (site, dialer) = (Site::Fixed(host.clone()), Arc::clone(&self.dialer));
            Guest { server: Server::begin(site, dialer, self.response_limit), asked: Instant::now() }
        });
        guest.asked = Instant::now();
        guest.server.live()
    }

    /// Keeps the wish to follow a topic whose slot nobody has, until somebody has it. The waiter is told that it is not
    /// followed.
    pub(super) fn follow_later(&self, topic: &Topic, ticket: &Ticket, waiter: Waiter) {
        let mut unowned = self.unowned.lock();
        unowned.follow(topic, ticket, waiter);
        unowned.give_up_waiting(NOBODY_HAS_IT);
        drop(unowned);
        self.look();
    }

    /// Forgets that wish.
    pub(super) fn follow_no_more(&self, topic: &Topic, number: u64, waiter: Waiter) {
        self.unowned.lock().unfollow(topic, number, waiter);
    }

    /// Somebody says that the map is not as it was.
    pub(super) fn look(&self) {
        if self.is_cluster {
            self.stale.notify_one();
        }
    }

    /// Gives a server its scripts again, which it has forgotten.
    pub(super) async fn load_scripts(&self, live: &Live) -> Result<(), String> {
        self.dialer
            .load_scripts(&mut live.connection.clone())
            .await
            .map_err(|error| error.reason().to_owned())
    }

    async fn refresh(&self) {
        let Some(ranges) = self.ask().await else { return };
        let (hosts, slots) = arrange(&ranges);
        let before = self.map.load_full();
        let is_same = hosts.len() == before.shards.len()
            && hosts.iter().zip(&before.shards).all(|(host, shard)| shard.is_at(host))
            && slots == before.slots;
        let after = if is_same { Arc::clone(&before) } else { self.replace(&before, &hosts, slots) };
        // Also what was given to a server at the very moment at which it lost the slot.
        for shard in &before.shards {
            let stays = |topic: &str| after.shard(slot(topic)).is_some_and(|owner| Arc::ptr_eq(owner, shard));
            for wish in shard.subscriber.give_away(&stays) {
                if let Some(owner) = after.shard(slot(wish.topic())) {
                    owner.subscriber.adopt(wish);
                } else {
                    let mut unowned = self.unowned.lock();
                    unowned.adopt(wish);
                    unowned.give_up_waiting(NOBODY_HAS_IT);
                }
            }
        }
        let owned = {
            let mut unowned = self.unowned.lock();
            let owned = unowned.give_away(&|topic| after.shard(slot(topic)).is_none());
            // There is nobody to be told of what is not wished any more.
            unowned.begin();
            owned
        };
        for wish in owned {
            if let Some(owner) = after.shard(slot(wish.topic())) {
                owner.subscriber.adopt(wish);
            }
        }
        self.guests.lock().retain(|host, guest| {
            guest.asked.elapsed() < GUEST && after.shards.iter().all(|shard| !shard.is_at(host))
        });
    }

    fn replace(&self, before: &Map, hosts: &[Host], slots: Vec<u16>) -> Arc<Map> {
        let begin = |host: &Host| {
            let site = Site::Fixed(host.clone());
            let server = Server::begin(site.clone(), Arc::clone(&self.dialer), self.response_limit);
            let dialer = Arc::clone(&self.dialer);
            let subscriber = Subscriber::begin(site, dialer, self.response_limit, true, server.watch());
            Arc::new(Shard { server, subscriber })
        };
        let known = |host: &Host| before.shards.iter().find(|shard| shard.is_at(host)).cloned();
        let shards: Vec<_> = hosts.iter().map(|host| known(host).unwrap_or_else(|| begin(host))).collect();
        tracing::info!(servers = shards.len(), "the cluster's slots have moved");
        let after = Arc::new(Map { shards, slots });
        self.map.store(Arc::clone(&after));
        after
    }

    /// Asks who is connected, then anybody.
    async fn ask(&self) -> Option<Vec<Range>> {
        for shard in self.shards() {
            let (Some(live), Site::Fixed(host)) = (shard.server.live(), shard.server.site()) else {
                continue;
            };
            let slots: Result<Value, _> =
                cmd("CLUSTER").arg("SLOTS").query_async(&mut live.connection.clone()).await;
            // One that was reset knows of nobody, and says so.
            let ranges = slots.map(|slots| read_ranges(&slots, host)).unwrap_or_default();
            if !ranges.is_empty() {
                return Some(ranges);
            }
        }
        ask_any(&self.dialer, &self.seeds).await.ok()
    }

    fn is_whole(&self) -> bool {
        let map = self.map.load();
        !map.slots.contains(&NOBODY)
            && map
                .shards
                .iter()
                .all(|shard| matches!(shard.server.state(), State::Here(_)) && shard.subscriber.is_content())
    }
}

async fn keep(topology: Weak<Topology>) {
    loop {
        {
            let Some(topology) = topology.upgrade() else { return };
            let pause = if topology.is_whole() { CALM } else { AWAY };
            let _ = tokio::time::timeout(pause, topology.stale.notified()).await;
            topology.refresh().await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask_any(dialer: &Dialer, hosts: &[Host]) -> Result<Vec<Range>, NotConnected> {
    let mut last = NotConnected::Yet("no server is named".to_owned());
    for host in hosts {
        match dialer.ask_slots(host).await {
            Ok(slots) => {
                let ranges = read_ranges(&slots, host);
                if !ranges.is_empty() {
                    return Ok(ranges);
                }
                last = NotConnected::Yet(format!("{host} knows of no server that has slots"));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The servers that have slots, and whose each slot is.
fn arrange(ranges: &[Range]) -> (Vec<Host>, Vec<u16>) {
    let mut hosts: Vec<Host> = ranges.iter().map(|range| range.owner.clone()).collect();
    hosts.sort();
    hosts.dedup();
    let mut slots = vec![NOBODY; SLOTS];
    for range in ranges {
        let at = hosts.binary_search(&range.owner).map_or(NOBODY, number);
        if let Some(slots) = slots.get_mut(range.from..=range.to) {
            slots.fill(at);
        }
    }
    (hosts, slots)
}

fn number(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(NOBODY)
}
