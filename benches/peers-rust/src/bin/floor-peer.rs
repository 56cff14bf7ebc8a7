//! The floor: what tokio-tungstenite alone does, with 8 KiB read buffers and
//! no JSON, no tokens, no limits.
//!
//! The first byte of a text message says what it asks for: `e` is sent back
//! whole, `s` follows the one channel and is sent back whole, `p` goes whole to
//! every follower. Prints `listening PORT`.
//!
//! With the files of a certificate and its key (PEM) as arguments it speaks
//! TLS by tokio-rustls.

use std::{
    cell::RefCell,
    env, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    sync::Arc,
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    task::{LocalSet, spawn_local},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// Messages that may wait for one socket before it misses some.
const QUEUE: usize = 1024;

/// Who follows the channel. An entry goes when its receiver is gone.
type Followers = Rc<RefCell<Vec<mpsc::Sender<Message>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let files: Vec<_> = env::args_os().skip(1).collect();
    let tls = match &files[..] {
        [] => None,
        [certificate, key] => Some(tls(certificate.as_ref(), key.as_ref()).map_err(io::Error::other)?),
        _ => return Err(io::Error::other("give a certificate and its key, or nothing")),
    };
    let listener = listen()?;
    println!("listening {}", listener.local_addr()?.port());
    let followers = Followers::default();
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let (followers, tls) = (followers.clone(), tls.clone());
                // A socket that fails only ends itself.
                match tls {
                    None => drop(spawn_local(async move {
                        stream.set_nodelay(true)?;
                        serve(stream, followers).await
                    })),
                    Some(tls) => drop(spawn_local(async move {
                        stream.set_nodelay(true)?;
                        serve(Box::pin(tls.accept(stream)).await?, followers).await
                    })),
                }
            }
        })
        .await
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(4096)
}

/// TLS with the files of a certificate and its key.
fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(Arc::new(config).into())
}

async fn serve<S>(stream: S, followers: Followers) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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

async fn answer<S>(
    socket: &mut WebSocketStream<S>,
    message: Message,
    queue: &mpsc::Sender<Message>,
    followers: &Followers,
) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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
