//! What happens in a world: drawn by the seed, done step by step, brought to rest, and judged.
//!
//! In: a seed. Out: a [`Verdict`]. First everything is done to everybody at random times; then the network is calm and
//! the server up, and what was promised must come true within a stated time.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::Channel;
use tokensocket_server::{History, Presence, QueueLimits, Server};
use tokio::time::{Instant, sleep};

use crate::client::{Client, Owner, Wish};
use crate::host;
use crate::ledger::{Promises, keeps};
use crate::network::{Fault, Network, Weather};
use crate::node::{Keeping, Process};
use crate::run::Options;
use crate::store::{Care, Disk, Sabotage};
use crate::trace::Trace;
use crate::world::World;

/// Within which time everybody is back and every request resolved, once nothing goes wrong any more.
const REST: Duration = Duration::from_mins(2);
/// How long it takes a client that is ready to be back on its channels.
const RETURN: Duration = Duration::from_secs(1);
/// How long what was said last takes to be heard by all.
const HEARING: Duration = Duration::from_secs(5);

/// What came of a world.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// What was broken; empty when all was kept.
    pub violations: Vec<String>,
    /// The same for two runs of one seed.
    pub hash: u64,
    /// How many facts were noted.
    pub facts: u64,
    /// How long it lasted, in its own time.
    pub lasted: Duration,
    /// How many bytes were in use at most, and how many were left when it was over.
    pub bytes: (u64, i64),
}

impl Verdict {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, violations: Vec::new(), hash: 0, facts: 0, lasted: Duration::ZERO, bytes: (0, 0) }
    }
}

/// A world, while things happen in it.
struct Story {
    world: Arc<World>,
    random: fastrand::Rng,
    keeping: Keeping,
    clients: Vec<Client>,
    server: Option<Process>,
}

/// Tells the story of a seed. To be run on a thread of its own, within a runtime whose time is paused.
pub(crate) async fn tell(seed: u64, options: &Options) -> Verdict {
    host::begin();
    let mut random = fastrand::Rng::with_seed(seed);
    let trace = Arc::new(Trace::new(options.aloud));
    let network = Network::new(random.fork(), weather(&mut random), Arc::clone(&trace));
    let (keeping, promises) = keeping(&mut random, options.sabotage, &trace);
    let plain = (0..random.usize(1..3)).map(|at| format!("plain.{at}"));
    let kept = (0..random.usize(1..3)).map(|at| format!("kept.{at}"));
    let channels = plain.chain(kept).filter_map(|name| Channel::new(name).ok()).collect();
    let world = World::new(Arc::clone(&trace), network, channels, promises);
    let mut story = Story { world: Arc::clone(&world), random, keeping, clients: Vec::new(), server: None };
    story.begin();
    let steps = story.random.usize(20..150);
    for _ in 0..steps {
        story.step().await;
        if !world.ledger.lock().violations().is_empty() {
            break;
        }
    }
    if world.ledger.lock().violations().is_empty() {
        story.come_to_rest().await;
        story.judge().await;
        story.end().await;
    }
    let violations = world.ledger.lock().violations().to_vec();
    let (hash, facts, lasted) = (trace.hash(), trace.facts(), host::elapsed());
    Verdict { violations, hash, facts, lasted, ..Verdict::new(seed) }
}

/// Most worlds have some faults, some none, a few are terrible.
fn weather(random: &mut fastrand::Rng) -> Weather {
    let fault = [0.0, 0.1, 0.3, 0.7][random.usize(0..4)];
    Weather {
        latency: [500, 5_000, 80_000][random.usize(0..3)],
        jitter: [0, 1_000, 60_000][random.usize(0..3)],
        window: [256, 4_096, 1 << 16][random.usize(0..3)],
        fault,
        within: [300, 2_000, 20_000][random.usize(0..3)],
        fragments: [0.0, 0.05, 0.5][random.usize(0..3)],
    }
}

/// Where and how much is kept, and what may be expected of it.
fn keeping(
    random: &mut fastrand::Rng,
    sabotage: Option<Sabotage>,
    trace: &Arc<Trace>,
) -> (Keeping, Promises) {
    let durable = sabotage.is_some() || random.u8(0..4) > 0;
    let hangs = [0.0, 0.0, 0.02][random.usize(0..3)];
    let care = Care { sync: [0, 5, 200][random.usize(0..3)], hangs };
    let disk = durable.then(|| Disk::new(random.fork(), care, sabotage, Arc::clone(trace)));
    let count = [3, 20, 1_000, 1_000][random.usize(0..4)];
    let age = Duration::from_secs([2, 60, 3_600, 3_600][random.usize(0..4)]);
    let device_ttl = Duration::from_secs([2, 60, 3_600][random.usize(0..3)]);
    let limits = QueueLimits {
        count: [4, 1_000, 1_000][random.usize(0..3)],
        bytes: [100, 1 << 20, 1 << 20][random.usize(0..3)],
        age: Duration::from_secs([5, 3_600, 3_600][random.usize(0..3)]),
        ..QueueLimits::default()
    };
    let promises =
        Promises { recovers: count == 1_000 && age.as_secs() == 3_600 && hangs == 0.0, device_ttl, durable };
    let per_user = random.bool();
    let presence = Presence::new().announce();
    let presence = if per_user { presence.per_user() } else { presence };
    let history = History::new(count, age).bytes(1 << 16);
    trace.note(format_args!("{promises:?} {limits:?} {history:?} {presence:?}"));
    (Keeping { disk, history, presence, per_user, limits, device_ttl }, promises)
}

impl Story {
    fn begin(&mut self) {
        self.server = Some(Process::start(&self.world, &self.keeping, &mut self.random));
        let (clients, users) = (self.random.usize(1..6), self.random.usize(1..4));
        for client in 0..clients {
            let user = client % users;
            let device = (self.random.u8(0..6) > 0).then(|| format!("device.{client}"));
            let rooms = vec![format!("room.{}", user % 2)];
            self.start_client(Owner { user: format!("user.{user}"), rooms, device });
        }
    }

    fn start_client(&mut self, owner: Owner) {
        let random = self.random.fork();
        self.clients.push(Client::start(&self.world, owner, random));
    }

    fn start_server(&mut self) {
        if self.server.is_none() {
            self.server = Some(Process::start(&self.world, &self.keeping, &mut self.random));
        }
    }

    /// Nothing goes wrong any more: everybody comes back, and every request resolves.
    async fn come_to_rest(&mut self) {
        self.world.trace.note(format_args!("nothing goes wrong any more"));
        self.world.calm();
        if let Some(disk) = &self.keeping.disk {
            disk.calm();
        }
        self.start_server();
        if let Some(server) = &self.server {
            server.hearing.find_all();
        }
        // What was given back comes again on another connection.
        self.world.network.strike_all(Fault::Cut);
        for client in &self.clients {
            client.wish(Wish::Stall(Duration::ZERO));
        }
        let until = Instant::now() + REST;
        loop {
            let (unready, open) = {
                let ledger = self.world.ledger.lock();
                (ledger.unready(), ledger.open_requests() + ledger.open_deliveries())
            };
            let silent = self.world.network.silent();
            let busy = self.keeping.disk.as_ref().is_some_and(|disk| disk.is_busy());
            if unready.is_empty() && open == 0 && silent == 0 && !busy {
                return;
            }
            if Instant::now() > until {
                let what = format!(
                    "after {REST:?} of rest the clients {unready:?} are not ready, {open} requests are open, and \
                     {silent} dead connections are held"
                );
                let ledger = &mut *self.world.ledger.lock();
                ledger.judge_deliveries();
                return ledger.violated(what);
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Everybody who follows a channel must hear what is said now, and have heard what was said before.
    async fn judge(&mut self) {
        let Some(server) = self.server.as_ref().map(|process| process.server.clone()) else { return };
        sleep(RETURN).await;
        for channel in &self.world.channels {
            let number = self.world.next_number();
            match server.publish(channel, number).await {
                Ok(_) => self.world.ledger.lock().published(channel.as_str(), number),
                Err(error) => self.world.ledger.lock().violated(format!("a publish at rest failed: {error}")),
            }
        }
        sleep(HEARING).await;
        self.world.ledger.lock().judge_deliveries();
        let mut followed: BTreeMap<Channel, Vec<u64>> = BTreeMap::new();
        for client in &self.clients {
            for channel in client.channels().await {
                self.world.ledger.lock().heard_all(client.name, channel.as_str());
                followed.entry(channel).or_default().push(client.name);
            }
        }
        for channel in &self.world.channels {
            let mut here: Vec<u64> = server
                .channel_sockets(channel)
                .iter()
                .filter_map(|socket| socket.identity().parse().ok())
                .collect();
            here.sort_unstable();
            let mut wanted = followed.remove(channel).unwrap_or_default();
            wanted.sort_unstable();
            if here != wanted {
                let what = format!("{channel} is followed by {wanted:?}, and the server has {here:?}");
                self.world.ledger.lock().violated(what);
            }
            if keeps(channel.as_str()) {
                self.judge_presence(&server, channel, &here).await;
            }
        }
    }

    /// Who is on a channel must be who follows it.
    async fn judge_presence(&self, server: &Server, channel: &Channel, here: &[u64]) {
        let (members, counts) = match (server.presence(channel).await, server.presence_counts(channel).await)
        {
            (Ok(members), Ok(counts)) => (members, counts),
            outcome => {
                let what = format!("who is on {channel} is not known: {outcome:?}");
                return self.world.ledger.lock().violated(what);
            }
        };
        let users: BTreeSet<&str> = self
            .clients
            .iter()
            .filter(|client| here.contains(&client.name))
            .map(|client| client.owner.user.as_str())
            .collect();
        let mut clients: Vec<u64> = members.iter().filter_map(|member| member.info.parse().ok()).collect();
        clients.sort_unstable();
        let named: BTreeSet<&str> = members.iter().filter_map(|member| member.user.as_deref()).collect();
        let as_it_is = if self.keeping.per_user { members.len() == users.len() } else { clients == here };
        if !as_it_is || named != users || (counts.clients, counts.users) != (here.len(), users.len()) {
            let what =
                format!("{channel} is followed by {here:?}, and its presence says {members:?}, {counts:?}");
            self.world.ledger.lock().violated(what);
        }
    }

    /// All leave, and nothing is left.
    async fn end(&mut self) {
        for client in &mut self.clients {
            client.wish(Wish::End);
            client.ended().await;
        }
        sleep(HEARING).await;
        if let Some(process) = self.server.take() {
            let (sockets, channels) = (process.server.sockets().len(), process.server.channels());
            if sockets != 0 || !channels.is_empty() {
                let what = format!("all clients left, and the server has {sockets} sockets and {channels:?}");
                self.world.ledger.lock().violated(what);
            }
            process.shut_down(&self.world).await;
        }
    }
}
