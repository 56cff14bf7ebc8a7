//! A TCP balancer before several servers, as small as one can be. With one server behind it, a cable to cut.
//!
//! In: servers, which are taken out and put back. Out: an address; each connection goes to the next server that takes
//! it. It counts the WebSockets that are opened. All ends when the [`Balancer`] is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::node::listen;

/// How a request for one of our WebSockets begins.
const SOCKET: &[u8] = b"GET /sockets/";
/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(2);

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    servers: Mutex<Vec<Server>>,
    turn: AtomicUsize,
    /// When WebSockets were opened.
    opened: Mutex<Vec<Instant>>,
    /// Nothing is forwarded.
    is_cut: watch::Sender<bool>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    is_in: bool,
}

impl Balancer {
    /// Starts one before these servers.
    pub async fn start(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let (listener, address) = listen().await;
        let servers = servers.into_iter().map(|address| Server { address, is_in: true }).collect();
        let shared = Arc::new(Shared {
            servers: Mutex::new(servers),
            turn: AtomicUsize::new(0),
            opened: Mutex::default(),
            is_cut: watch::Sender::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// No new connections for this server. Those that there are stay.
    pub fn take_out(&self, server: usize) {
        lock(&self.shared.servers)[server].is_in = false;
    }

    /// New connections for this server again.
    pub fn put_back(&self, server: usize) {
        lock(&self.shared.servers)[server].is_in = true;
    }

    /// Forwards nothing any more, in no direction, and tells nobody.
    pub fn cut(&self) {
        self.shared.is_cut.send_replace(true);
    }

    /// Forwards again, also what waited.
    pub fn heal(&self) {
        self.shared.is_cut.send_replace(false);
    }

    /// When WebSockets were opened, since it was started.
    pub fn opened(&self) -> Vec<Instant> {
        lock(&self.shared.opened).clone()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(forward(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards until both ends are done. Without a server the client sees the end of the stream.
async fn forward(mut client: TcpStream, shared: Arc<Shared>) {
    let mut cut = shared.is_cut.subscribe();
    if cut.wait_for(|is_cut| !is_cut).await.is_err() {
        return;
    }
    let Some(mut server) = shared.connect().await else { return };
    let nodelay = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    if nodelay.is_err() {
        return;
    }
    // A server that speaks first, as NATS does, is not to wait for the client.
    let mut first = vec![0; SOCKET.len()];
    let length = tokio::select! {
        read = client.read(&mut first) => read.unwrap_or(0),
        _ = server.readable() => 0,
    };
    if first.starts_with(SOCKET) {
        lock(&shared.opened).push(Instant::now());
    }
    if server.write_all(&first[..length]).await.is_err() {
        return;
    }
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let up = pump(client_read, server_write, cut.clone());
    // What breaks one direction ends both.
    let _ = tokio::try_join!(up, pump(server_read, client_write, cut));
}

/// Forwards in one direction until its end. Holds what it has while it is cut.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut cut: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        cut.wait_for(|is_cut| !is_cut).await.map_err(io::Error::other)?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

impl Shared {
    /// A connection to the next server that takes one.
    async fn connect(&self) -> Option<TcpStream> {
        let servers: Vec<SocketAddr> =
            lock(&self.servers).iter().filter(|server| server.is_in).map(|server| server.address).collect();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for add in 0..servers.len() {
            let address = servers[(first + add) % servers.len()];
            if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                return Some(stream);
            }
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
