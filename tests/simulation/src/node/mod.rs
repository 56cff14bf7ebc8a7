//! The server's process: the real server on hyper, over simulated connections.
//!
//! In: connections that the network brings, what the application wants. Out: what the real server does, and facts for
//! the ledger. To crash it is to lose all that was only in its memory: nothing that is left of it can reach the
//! network, a store or the ledger any more.

mod actions;
mod broker;
mod devices;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokensocket_server::{
    ChannelOptions, History, MemoryBroker, MemoryDeviceStore, Presence, QueueLimits, Server, Timestamp,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tower_service::Service;

use self::broker::Hearing;
use crate::network::{Fault, Stream};
use crate::store::{Disk, DiskBroker, DiskDevices};
use crate::world::World;

/// Where and how much a server keeps.
#[derive(Clone)]
pub(crate) struct Keeping {
    /// `None`: in the process's memory.
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) history: History,
    pub(crate) presence: Presence,
    /// The presence counts users.
    pub(crate) per_user: bool,
    pub(crate) limits: QueueLimits,
    pub(crate) device_ttl: Duration,
}

/// Whether a process is there. What belongs to it asks before it tells anybody anything.
#[derive(Clone)]
pub(crate) struct Life(Arc<AtomicBool>);

impl Life {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn is_over(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A running server.
pub(crate) struct Process {
    pub(crate) server: Server,
    pub(crate) hearing: Hearing,
    life: Life,
    disk: Option<Arc<Disk>>,
    /// The accept loop, and what the application does beside it.
    tasks: JoinSet<()>,
}

impl Process {
    /// Starts a server, which accepts connections from now on.
    pub(crate) fn start(world: &Arc<World>, keeping: &Keeping, random: &mut fastrand::Rng) -> Self {
        let life = Life::new();
        let builder = Server::builder().authenticate_anyone();
        let (builder, hearing) = match &keeping.disk {
            None => {
                let broker = broker::Watched::new(MemoryBroker::default(), world, &life);
                let queues = MemoryDeviceStore::new(keeping.limits.clone());
                let hearing = broker.hearing();
                let queues = devices::Watched::new(queues, world, &life);
                (builder.broker(broker).device_store(queues), hearing)
            }
            Some(disk) => {
                world.ledger.lock().opened();
                let (kept, published) = DiskBroker::open(disk.mount(&life), random.fork());
                for (channel, messages) in published {
                    world.ledger.lock().kept(channel.as_str(), &messages);
                }
                let mount = disk.mount(&life);
                let queues =
                    DiskDevices::open(mount, keeping.limits.clone(), random.u64(..), Timestamp::now());
                let broker = broker::Watched::new(kept, world, &life);
                let hearing = broker.hearing();
                let queues = devices::Watched::new(queues, world, &life);
                (builder.broker(broker).device_store(queues), hearing)
            }
        };
        let history = ChannelOptions::new().history(keeping.history.clone());
        let builder = builder
            .channels("kept.>", history.presence(keeping.presence.clone()))
            .device_ttl(keeping.device_ttl)
            .actions(actions::actions(world, &life))
            .auth_timeout(Some(Duration::from_secs(random.u64(1..6))))
            .heartbeat(Duration::from_secs(random.u64(1..8)))
            .close_timeout(Duration::from_secs(random.u64(1..4)))
            .shutdown_timeout(Duration::from_secs(random.u64(1..6)))
            .reconnect_spread(Duration::from_millis(random.u64(0..3000)))
            .rpc_timeout(Duration::from_secs(random.u64(1..10)))
            .outbox(random.usize(64..2048), random.usize(1 << 17..1 << 18));
        let server = match builder.build() {
            Ok(server) => server,
            Err(error) => panic!("the server cannot be built: {error}"),
        };
        let (listener, accepted) = unbounded_channel();
        world.network.listen(listener);
        world.serve(Some(server.clone()));
        world.trace.note(format_args!("a server starts"));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(server.clone(), accepted));
        Self { server, hearing, life, disk: keeping.disk.clone(), tasks }
    }

    /// Does something in the application's name, until the process ends.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends it as it is meant to be ended.
    pub(crate) async fn shut_down(mut self, world: &World) {
        world.trace.note(format_args!("the server shuts down"));
        world.network.close();
        self.server.shutdown().await;
        self.tasks.shutdown().await;
        self.life.end();
        if let Some(disk) = &self.disk {
            disk.close();
        }
        world.serve(None);
        world.ledger.lock().server_is_gone();
        world.trace.note(format_args!("the server has shut down"));
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn crash(mut self, world: &World) {
        world.trace.note(format_args!("the server crashes"));
        self.life.end();
        world.network.close();
        world.network.strike_all(Fault::Crash);
        self.tasks.abort_all();
        if let Some(disk) = &self.disk {
            disk.crash();
        }
        world.serve(None);
        world.ledger.lock().server_is_gone();
        // What is left of it ends by itself, unseen: its connections are gone.
        let server = self.server;
        tokio::spawn(async move { server.shutdown().await });
    }
}

async fn accept(server: Server, mut accepted: UnboundedReceiver<Stream>) {
    let service = server.into_service();
    while let Some(stream) = accepted.recv().await {
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| service.clone().call(request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // One that ends early is the network's doing.
            let _ = connection.await;
        });
    }
}
