//! A way to a NATS server on which single messages are lost or late.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// What becomes of a message from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never comes to the server, and nobody is told.
    Lost,
    /// It comes to the server, and its answer never to the client.
    Unanswered,
    /// It waits until [`NatsWay::release`], while what comes behind it goes on.
    Held,
}

/// A way to one server. It ends, with all connections over it, when this is dropped.
#[derive(Debug)]
pub struct NatsWay {
    /// Where it begins.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Where a connection's messages go on.
type Up = mpsc::UnboundedSender<Vec<u8>>;

#[derive(Debug, Default)]
struct Shared {
    plans: Mutex<VecDeque<(String, Fate, usize)>>,
    held: Mutex<Vec<(Up, Vec<u8>)>>,
    connections: Mutex<Vec<AbortHandle>>,
    stalled: watch::Sender<usize>,
    happened: watch::Sender<usize>,
}

impl NatsWay {
    /// Makes one. What goes over it must not be encrypted.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// What becomes of the next `times` messages on subjects that have this in them. What was planned first counts first.
    pub fn plan(&self, subject: &str, fate: Fate, times: usize) {
        lock(&self.shared.plans).push_back((subject.to_owned(), fate, times));
    }

    /// Nothing is planned any more.
    pub fn clear(&self) {
        lock(&self.shared.plans).clear();
    }

    /// Waits until something planned has happened to so many messages, since the beginning.
    pub async fn happened(&self, times: usize) {
        let mut happened = self.shared.happened.subscribe();
        let waiting = async { happened.wait_for(|happened| *happened >= times).await.map(|_| ()) };
        crate::limit::within("a message on its way", waiting).await.expect("the way is there");
    }

    /// What was held goes on.
    pub fn release(&self) {
        for (to, message) in lock(&self.shared.held).drain(..) {
            // Its connection may be gone.
            let _ = to.send(message);
        }
    }

    /// The connections that there are take nothing from their clients any more. Later ones do.
    pub fn stall(&self) {
        let count = lock(&self.shared.connections).len();
        self.shared.stalled.send_replace(count);
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        for connection in lock(&self.shared.connections).iter() {
            connection.abort();
        }
    }
}

impl Drop for NatsWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = lock(&shared.connections).len();
        let forwarding = forward(client, server, number, Arc::clone(&shared));
        let connection = connections.spawn(forwarding);
        lock(&shared.connections).push(connection);
    }
}

async fn forward(client: TcpStream, server: SocketAddr, number: usize, shared: Arc<Shared>) {
    // Without a server the client sees the end of the stream.
    let Ok(server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).expect("TCP_NODELAY");
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let (up, ups) = mpsc::unbounded_channel();
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        () = read(from_client, number, up, &shared) => {}
        () = write(to_server, ups) => {}
    }
}

async fn write(mut to: OwnedWriteHalf, mut messages: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Takes what the client says, one after the other.
async fn read(mut from: OwnedReadHalf, number: usize, up: Up, shared: &Shared) {
    let mut stalled = shared.stalled.subscribe();
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = first(&bytes) {
            let rest = bytes.split_off(length);
            let message = std::mem::replace(&mut bytes, rest);
            if let Some(message) = shared.decide(message, &up) {
                let _ = up.send(message);
            }
        }
        let is_stalled = async {
            // The sender lives as long as this.
            let _ = stalled.wait_for(|stalled| *stalled > number).await;
        };
        let read = tokio::select! {
            biased;
            () = is_stalled => return std::future::pending().await,
            read = from.read_buf(&mut bytes) => read,
        };
        if !read.is_ok_and(|count| count > 0) {
            return;
        }
    }
}

/// How long the first of these is, if it is there as a whole: a line, and what a publication has behind it.
fn first(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let line = String::from_utf8_lossy(&bytes[..end]);
    let is_publication = ["PUB ", "HPUB "].iter().any(|verb| line.starts_with(verb));
    let payload = match line.split_whitespace().last() {
        Some(size) if is_publication => size.parse::<usize>().expect("a size") + 2,
        _ => 0,
    };
    (bytes.len() >= end + payload).then_some(end + payload)
}

impl Shared {
    /// What becomes of the next message on this subject, if anything is planned.
    fn planned(&self, subject: &str) -> Option<Fate> {
        let mut plans = lock(&self.plans);
        let place = plans.iter().position(|(part, ..)| subject.contains(part))?;
        let (_, fate, times) = &mut plans[place];
        let fate = *fate;
        *times -= 1;
        if *times == 0 {
            plans.remove(place);
        }
        Some(fate)
    }

    /// The message as it goes on now, if it does.
    fn decide(&self, mut message: Vec<u8>, up: &Up) -> Option<Vec<u8>> {
        let end = message.windows(2).position(|two| two == b"\r\n").unwrap_or(message.len());
        let line = String::from_utf8_lossy(&message[..end]).into_owned();
        let mut words = line.split(' ');
        if !matches!(words.next(), Some("PUB" | "HPUB")) {
            return Some(message);
        }
        let subject = words.next().unwrap_or_default();
        let Some(fate) = self.planned(subject) else { return Some(message) };
        let going = match fate {
            Fate::Lost => None,
            Fate::Held => {
                lock(&self.held).push((up.clone(), message));
                None
            }
            Fate::Unanswered => {
                // Another place for the answer, where nobody waits for it.
                let reply = words.next().filter(|word| word.contains('.'));
                if let Some(place) = reply.and_then(|reply| line.find(reply).map(|at| at + reply.len() - 1)) {
                    message[place] = b'~';
                }
                Some(message)
            }
        };
        self.happened.send_modify(|happened| *happened += 1);
        going
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
