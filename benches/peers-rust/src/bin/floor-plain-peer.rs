//! The floor as most would write it: the same as `floor-peer`, but on the
//! multi-thread runtime (one worker), a queue and a task of its own for what
//! goes out of each socket, which flushes what has gathered there, and each
//! message of a client answered before the next is looked for.
//!
//! The first byte of a text message says what it asks for: `e` is sent back
//! whole, `s` follows the one channel and is sent back whole, `p` goes whole to
//! every follower. Prints `listening PORT`.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// Messages that may wait for one socket before it misses some.
const QUEUE: usize = 1024;

/// Who follows the channel. An entry goes when its receiver is gone.
type Followers = Arc<Mutex<Vec<mpsc::Sender<Message>>>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> io::Result<()> {
    let listener = listen()?;
    println!("listening {}", listener.local_addr()?.port());
    // The main thread would be a second one.
    tokio::spawn(accept(listener)).await?
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(4096)
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let followers = Followers::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let followers = Arc::clone(&followers);
        tokio::spawn(async move {
            // A socket that fails only ends itself.
            let _ = serve(stream, followers).await;
        });
    }
}

async fn serve(stream: TcpStream, followers: Followers) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
    let socket = Box::pin(accept_async_with_config(stream, Some(config))).await?;
    let (mut sink, mut incoming) = socket.split();
    let (queue, mut queued) = mpsc::channel::<Message>(QUEUE);
    let writer = tokio::spawn(async move {
        while let Some(message) = queued.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = queued.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, tungstenite::Error>(())
    });
    while let Some(message) = incoming.next().await {
        let message = message?;
        let Message::Text(text) = &message else { continue };
        match text.as_bytes().first() {
            // The writer has ended: so does the reader, by itself.
            Some(b'e') => drop(queue.send(message).await),
            Some(b's') => {
                followers.lock().unwrap_or_else(PoisonError::into_inner).push(queue.clone());
                drop(queue.send(message).await);
            }
            Some(b'p') => followers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|follower| !is_gone(follower.try_send(message.clone()))),
            _ => {}
        }
    }
    writer.abort();
    Ok(())
}

fn is_gone(sent: Result<(), mpsc::error::TrySendError<Message>>) -> bool {
    matches!(sent, Err(mpsc::error::TrySendError::Closed(_)))
}
