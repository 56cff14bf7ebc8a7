//! A network that is far away: a TCP proxy on which everything takes its time, and nothing is lost.
//!
//! In: a server's address, and how long bytes are on their way. Out: a port that forwards like that. A connection takes one
//! way there and back until it carries anything, as a real one does. All of it ends when the [`SlowLink`] is dropped.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::node::listen;

/// How many pieces may be on their way in one direction.
const ON_THE_WAY: usize = 1024;

/// A running proxy.
#[derive(Debug)]
pub struct SlowLink {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl SlowLink {
    /// Starts one in front of `target`. `one_way`: how long bytes are on their way.
    pub async fn start(target: SocketAddr, one_way: Duration) -> Self {
        let (listener, address) = listen().await;
        Self { address, task: tokio::spawn(accept(listener, target, one_way)) }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, one_way: Duration) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(forward(stream, target, one_way));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, one_way: Duration) -> io::Result<()> {
    sleep(one_way * 2).await;
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let (up, down) = (carry(client_read, server_write, one_way), carry(server_read, client_write, one_way));
    tokio::try_join!(up, down).map(drop)
}

/// Carries one direction: each piece arrives so long after it was sent.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    one_way: Duration,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let leaves = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            let piece = (Instant::now() + one_way, buffer[..read].to_vec());
            if sender.send(piece).await.is_err() || read == 0 {
                return Ok(());
            }
        }
    };
    let arrives = async {
        while let Some((at, piece)) = pieces.recv().await {
            sleep_until(at).await;
            if piece.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::try_join!(leaves, arrives).map(drop)
}
