//! What the server runs on: a runtime of one thread, of two, or two runtimes of one thread each.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use futures_util::future::BoxFuture;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokensocket_server::{
    Actions, Data, Identity, MemoryTokenStore, RawJson, RpcError, Server, ServerBuilder, Token, TokenStore,
    TokenStoreError,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::bus;
use crate::hold::Hold;

/// The action at the end of a socket's burst of calls.
pub(crate) const LAST: &str = "last";

/// What the server runs on.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// A multi-thread runtime of one thread.
    OneThread,
    /// A multi-thread runtime of two threads.
    TwoThreads,
    /// Two runtimes of one thread each, with a server each, on one port by
    /// `SO_REUSEPORT`, and a broker between them.
    RuntimePerCore,
}

/// A server that serves, in whatever shape.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// One for each runtime.
    pub(crate) nodes: Vec<Node>,
    pub(crate) ends: Arc<Ends>,
    /// Kept, so that its threads go on.
    _runtime: Option<Runtime>,
}

pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) runtime: Handle,
    threads: usize,
}

impl Shape {
    /// Starts the server. Its threads end with the process.
    pub(crate) fn start(self) -> Result<Service, Box<dyn Error>> {
        match self {
            Self::OneThread => multi_thread(1),
            Self::TwoThreads => multi_thread(2),
            Self::RuntimePerCore => runtime_per_core(&cores()?),
        }
    }
}

impl Service {
    /// Holds every thread of the server.
    pub(crate) fn hold(&self) -> Hold {
        Hold::all(self.nodes.iter().map(|node| (&node.runtime, node.threads)))
    }

    /// A token for one client, good on every node.
    pub(crate) fn token(&self) -> Result<Token, Box<dyn Error>> {
        let node = self.nodes.first().ok_or("there is no node")?;
        Ok(node.runtime.block_on(node.server.issue_token(Identity::anonymous()))?)
    }
}

/// As the playground has it: tokens, hooks, JSON, limits.
fn builder(ends: &Arc<Ends>) -> ServerBuilder {
    let ends = Arc::clone(ends);
    let actions = Actions::new()
        .action("echo", |Data(value): Data<RawJson>| async move { Ok::<_, RpcError>(value) })
        .action(LAST, move || {
            ends.note();
            async { Ok::<_, RpcError>(()) }
        });
    Server::builder()
        .authenticate_anyone()
        .actions(actions)
        .on_subscribe(|_, _| async { Ok(()) })
        .on_publish(|_, _, _| async { Ok(()) })
        // Followers read nothing for as long as a measurement takes.
        .heartbeat(Duration::from_hours(1))
}

/// Its threads are where the system puts them: a thread that is pinned counts one core, and a channel would
/// have no parts for others.
fn multi_thread(threads: usize) -> Result<Service, Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let ends = Arc::new(Ends::default());
    let server = builder(&ends).build()?;
    let listener = runtime.block_on(async { listen(0) })?;
    let address = listener.local_addr()?;
    let serving = server.clone();
    runtime.spawn(async move { serving.serve(listener).await });
    let nodes = vec![Node { server, runtime: runtime.handle().clone(), threads }];
    Ok(Service { address, nodes, ends, _runtime: Some(runtime) })
}

fn runtime_per_core(cores: &[usize]) -> Result<Service, Box<dyn Error>> {
    let runtimes: Vec<Runtime> =
        (0..2).map(|_| Builder::new_current_thread().enable_all().build()).collect::<Result<_, _>>()?;
    let handles: Vec<Handle> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    let (ends, tokens) = (Arc::new(Ends::default()), Arc::new(MemoryTokenStore::default()));
    let mut address: Option<SocketAddr> = None;
    let mut nodes = Vec::new();
    for (index, (runtime, seat)) in runtimes.into_iter().zip(bus::seats(&handles)).enumerate() {
        let server = builder(&ends).broker(seat).token_store(Shared(Arc::clone(&tokens))).build()?;
        let listener = runtime.block_on(async { listen(address.map_or(0, |address| address.port())) })?;
        address = Some(listener.local_addr()?);
        nodes.push(Node { server: server.clone(), runtime: runtime.handle().clone(), threads: 1 });
        let cores = cores.to_vec();
        thread::spawn(move || {
            pin(&cores, index);
            runtime.block_on(server.serve(listener))
        });
    }
    let address = address.ok_or("there is no node")?;
    Ok(Service { address, nodes, ends, _runtime: None })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(4096)
}

/// The cores that this process may use.
fn cores() -> Result<Vec<usize>, Box<dyn Error>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect())
}

/// Moves this thread to the `turn`th of `cores`.
fn pin(cores: &[usize], turn: usize) {
    let mut set = CpuSet::new();
    let moved = set.set(cores[turn % cores.len()]).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if let Err(error) = moved {
        eprintln!("a thread is not pinned: {error}");
    }
}

/// The tokens of all nodes, wherever a client's connection arrives.
struct Shared(Arc<MemoryTokenStore>);

impl TokenStore for Shared {
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>> {
        self.0.issue(token, identity, ttl)
    }

    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>> {
        self.0.redeem(token)
    }
}

/// How many sockets have got through all their calls, told once for each.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    missing: AtomicUsize,
    waiting: Mutex<Option<mpsc::Sender<Instant>>>,
}

impl Ends {
    /// Says when as many as `sockets` have come to their end.
    pub(crate) fn expect(&self, sockets: usize) -> mpsc::Receiver<Instant> {
        let (tell, told) = mpsc::channel();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        self.missing.store(sockets, Ordering::Release);
        told
    }

    fn note(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(tell) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Who waited may have given up.
            let _ = tell.send(Instant::now());
        }
    }
}
