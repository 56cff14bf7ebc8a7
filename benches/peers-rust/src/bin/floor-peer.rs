//! The floor: what tokio-tungstenite alone does, with 8 KiB read buffers and
//! no JSON, no tokens, no limits.
//!
//! The first byte of a text message says what it asks for: `e` is sent back
//! whole, `s` follows the one channel and is sent back whole, `p` goes whole to
//! every follower. Prints `listening PORT`.

use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::{LocalSet, spawn_local},
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// Messages that may wait for one socket before it misses some.
const QUEUE: usize = 1024;

/// Who follows the channel. An entry goes when its receiver is gone.
type Followers = Rc<RefCell<Vec<mpsc::Sender<Message>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = listen()?;
    println!("listening {}", listener.local_addr()?.port());
    let followers = Followers::default();
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let followers = followers.clone();
                spawn_local(async move {
                    // A socket that fails only ends itself.
                    let _ = serve(stream, followers).await;
                });
            }
        })
        .await
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(4096)
}

async fn serve(stream: TcpStream, followers: Followers) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
    let mut socket = Box::pin(accept_async_with_config(stream, Some(config))).await?;
    let (queue, mut queued) = mpsc::channel(QUEUE);
    loop {
        tokio::select! {
            incoming = socket.next() => {
                let mut next = Some(incoming);
                // What has arrived with it is answered before the flush.
                while let Some(incoming) = next {
                    let Some(message) = incoming else { return Ok(()) };
                    answer(&mut socket, message?, &queue, &followers).await?;
                    next = socket.next().now_or_never();
                }
            }
            Some(message) = queued.recv() => {
                socket.feed(message).await?;
                while let Ok(message) = queued.try_recv() {
                    socket.feed(message).await?;
                }
            }
        }
        socket.flush().await?;
    }
}

async fn answer(
    socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>,
    message: Message,
    queue: &mpsc::Sender<Message>,
    followers: &Followers,
) -> Result<(), tungstenite::Error> {
    let Message::Text(text) = &message else {
        return Ok(());
    };
    match text.as_bytes().first() {
        Some(b'e') => socket.feed(message).await?,
        Some(b's') => {
            followers.borrow_mut().push(queue.clone());
            socket.feed(message).await?;
        }
        Some(b'p') => followers.borrow_mut().retain(|follower| !is_gone(follower.try_send(message.clone()))),
        _ => {}
    }
    Ok(())
}

fn is_gone(sent: Result<(), mpsc::error::TrySendError<Message>>) -> bool {
    matches!(sent, Err(mpsc::error::TrySendError::Closed(_)))
}
