//! A TCP proxy between a client and a server, which breaks connections where a test says.
//!
//! In: a server's address, and faults: on which request, in which direction, after how many bytes. Out: a
//! port that forwards, and what went through it. It looks at nothing but the first line of a request, to
//! tell the token's from the socket's. All of it ends when the [`Proxy`] is dropped.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::node::listen;

/// What a connection was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To ask for a token.
    Token,
    /// For the WebSocket.
    Socket,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both ends see the end of the stream.
    Finish,
    /// Both ends see a reset.
    Reset,
    /// Nothing is forwarded any more, in either direction, and nobody is told.
    Stall,
}

/// A connection breaks once: the first that was opened for `purpose`, when `after` bytes have gone in
/// `direction`.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which connection.
    pub purpose: Purpose,
    /// Which bytes are counted.
    pub direction: Direction,
    /// So many of them are still forwarded.
    pub after: usize,
    /// What happens then.
    pub how: Break,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    faults: Mutex<VecDeque<Fault>>,
    happened: AtomicUsize,
    links: Mutex<Vec<Arc<Link>>>,
}

/// One connection and what is known of it.
#[derive(Debug, Default)]
struct Link {
    purpose: Mutex<Option<Purpose>>,
    up: Mutex<Vec<u8>>,
    down: Mutex<Vec<u8>>,
    stalled: AtomicBool,
    cut: Notify,
}

impl Proxy {
    /// Starts one in front of `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            faults: Mutex::default(),
            happened: AtomicUsize::new(0),
            links: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Sends connections from now on to another server.
    pub fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Plans a fault. Several happen one after the other.
    pub fn plan(&self, fault: Fault) {
        lock(&self.shared.faults).push_back(fault);
    }

    /// How many of the planned faults have happened.
    pub fn happened(&self) -> usize {
        self.shared.happened.load(Ordering::SeqCst)
    }

    /// Cuts every connection there is.
    pub fn cut_all(&self) {
        for link in lock(&self.shared.links).iter() {
            link.cut.notify_one();
        }
    }

    /// Every connection there is forwards nothing any more. New ones do.
    pub fn stall_all(&self) {
        for link in lock(&self.shared.links).iter() {
            link.stalled.store(true, Ordering::SeqCst);
        }
    }

    /// How many connections were opened for `purpose`.
    pub fn opened(&self, purpose: Purpose) -> usize {
        lock(&self.shared.links).iter().filter(|link| *lock(&link.purpose) == Some(purpose)).count()
    }

    /// All bytes that went in a direction on connections of a purpose, one connection after the other.
    pub fn seen(&self, purpose: Purpose, direction: Direction) -> Vec<u8> {
        let links = lock(&self.shared.links);
        let links = links.iter().filter(|link| *lock(&link.purpose) == Some(purpose));
        links.flat_map(|link| lock(link.bytes(direction)).clone()).collect()
    }

    /// How often `text` came from the server over sockets.
    pub fn heard(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.seen(Purpose::Socket, Direction::Down)).matches(text).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    fn bytes(&self, direction: Direction) -> &Mutex<Vec<u8>> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let link = Arc::new(Link::default());
        lock(&shared.links).push(Arc::clone(&link));
        connections.spawn(forward(stream, link, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards until both ends are done or the connection is cut.
async fn forward(mut client: TcpStream, link: Arc<Link>, shared: Arc<Shared>) {
    let target = *lock(&shared.target);
    // Without a server the client sees the end of the stream.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let nodelay = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    nodelay.expect("TCP_NODELAY");
    let how = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let flows = async {
            tokio::try_join!(
                pump(client_read, server_write, Direction::Up, &link, &shared),
                pump(server_read, client_write, Direction::Down, &link, &shared),
            )
        };
        tokio::select! {
            flows = flows => flows.err(),
            () = link.cut.notified() => Some(Break::Reset),
        }
    };
    if how == Some(Break::Reset) {
        for stream in [&client, &server] {
            // A stream that is gone already needs no reset.
            let _ = stream.set_zero_linger();
        }
    }
}

/// Forwards in one direction, until the end or a fault.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    link: &Link,
    shared: &Shared,
) -> Result<(), Break> {
    let mut buffer = vec![0; 16 * 1024];
    let gone = |_: io::Error| Break::Finish;
    loop {
        let read = from.read(&mut buffer).await.map_err(gone)?;
        if link.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if read == 0 {
            return to.shutdown().await.map_err(gone);
        }
        let (forwarded, fault) = shared.admit(link, direction, &buffer[..read]);
        to.write_all(&buffer[..forwarded]).await.map_err(gone)?;
        match fault {
            None => {}
            Some(Break::Stall) => {
                link.stalled.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Some(how) => return Err(how),
        }
    }
}

impl Shared {
    /// Notes bytes that are about to be forwarded. Says how many may be, and what happens then.
    fn admit(&self, link: &Link, direction: Direction, bytes: &[u8]) -> (usize, Option<Break>) {
        let purpose = *lock(&link.purpose).get_or_insert_with(|| {
            if bytes.starts_with(b"GET /sockets/") { Purpose::Socket } else { Purpose::Token }
        });
        let mut seen = lock(link.bytes(direction));
        let mut faults = lock(&self.faults);
        let fault = faults.front().copied().filter(|fault| {
            fault.purpose == purpose
                && fault.direction == direction
                && fault.after <= seen.len() + bytes.len()
        });
        let forwarded = match fault {
            Some(fault) => {
                faults.pop_front();
                self.happened.fetch_add(1, Ordering::SeqCst);
                fault.after.saturating_sub(seen.len())
            }
            None => bytes.len(),
        };
        seen.extend_from_slice(&bytes[..forwarded]);
        (forwarded, fault.map(|fault| fault.how))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
