//! A SockJS endpoint by itself, without tokens or the wire: messages in, messages out.
//!
//! In: a transport. Out: a [`SockJsSocket`] for the application's handler. Both directions are bounded
//! and wait for each other: a handler that does not read slows its client down, and the other way round.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::future::{Fuse, FusedFuture};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokensocket_protocol::Close;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::format::Gathering;
use crate::http::upgrade::Accept;
use crate::transport::{Incoming, Transport};

/// How many messages wait for the handler, and how many control frames for the peer.
const QUEUE: usize = 64;
/// What a message that waits costs beside its bytes.
const OVERHEAD: usize = 64;
/// Beyond how many bytes no further message is gathered into what is written at once.
const PIECE: usize = 64 * 1024;

pub(crate) type Handler = Arc<dyn Fn(SockJsSocket) -> BoxFuture<'static, ()> + Send + Sync>;

/// One SockJS session, in the hands of its handler. The session closes when the handler returns.
pub struct SockJsSocket {
    received: mpsc::Receiver<String>,
    /// The session's task, if it waits for a message to be taken.
    taken: Arc<AtomicWaker>,
    outgoing: mpsc::UnboundedSender<String>,
    room: Arc<Room>,
    close: Arc<Mutex<Close>>,
}

impl SockJsSocket {
    /// The next message; `None` when the session has ended. A handler that goes on for longer than the
    /// server's `close_timeout` after that is dropped.
    pub async fn recv(&mut self) -> Option<String> {
        let message = self.received.recv().await;
        self.taken.wake();
        message
    }

    /// Sends a message. Waits while the client does not read and as many bytes wait for it as the server's
    /// [outbox](crate::ServerBuilder::outbox) may hold; fails when the session has ended.
    pub async fn send(&self, message: impl Into<String>) -> Result<(), SessionEnded> {
        let message = message.into();
        self.room.take(&message).await?;
        self.outgoing.send(message).map_err(|_| SessionEnded)
    }

    /// Closes the session with a code and reason, after what was sent, as soon as the handler returns.
    pub fn close(self, code: u16, reason: impl Into<String>) {
        *self.close.lock() = Close::new(code, reason.into());
    }
}

impl Drop for SockJsSocket {
    fn drop(&mut self) {
        self.received.close();
        self.taken.wake();
    }
}

impl std::fmt::Debug for SockJsSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SockJsSocket")
    }
}

/// The session has ended: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SockJS session has ended")]
pub struct SessionEnded;

/// How many more bytes may wait for the client.
struct Room {
    bytes: Semaphore,
    most: u32,
}

impl Room {
    fn new(bytes: usize) -> Arc<Self> {
        let most = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Arc::new(Self { bytes: Semaphore::new(most as usize), most })
    }

    /// A message that is larger than all the room waits until it is alone.
    fn cost(&self, message: &str) -> u32 {
        u32::try_from(message.len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX).min(self.most)
    }

    async fn take(&self, message: &str) -> Result<(), SessionEnded> {
        let taken = self.bytes.acquire_many(self.cost(message)).await;
        taken.map(SemaphorePermit::forget).map_err(|_| SessionEnded)
    }

    fn give_back(&self, message: &str) {
        self.bytes.add_permits(self.cost(message) as usize);
    }
}

/// Runs a handler on a transport.
pub(crate) struct Service {
    pub(crate) handler: Handler,
    pub(crate) heartbeat: Duration,
    pub(crate) close_timeout: Duration,
    /// How much may wait for the client, in bytes.
    pub(crate) outbox_bytes: usize,
    /// Cancelled when the server begins to end.
    pub(crate) stop: CancellationToken,
}

impl Accept for Service {
    async fn run<T: Transport>(self, mut transport: T) {
        let (to_handler, received) = mpsc::channel(QUEUE);
        let (outgoing, from_handler) = mpsc::unbounded_channel();
        let taken = Arc::new(AtomicWaker::new());
        let room = Room::new(self.outbox_bytes);
        let close = Arc::new(Mutex::new(Close::NORMAL));
        let socket = SockJsSocket {
            received,
            taken: Arc::clone(&taken),
            outgoing,
            room: Arc::clone(&room),
            close: Arc::clone(&close),
        };
        let mut handler = pin!(handle(Arc::clone(&self.handler), socket).fuse());
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        // After a pause of the whole process a peer still gets its time to answer.
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut pump = Pump {
            direct: transport.take_direct(),
            waiting: transport.greeting().into_iter().collect(),
            transport,
            to_handler: Some(to_handler),
            taken,
            from_handler: Some(from_handler),
            room,
            silent: 0,
            broken: false,
        };
        let ended = poll_fn(|cx| {
            if pump.to_handler.is_some() && handler.as_mut().poll(cx).is_ready() {
                pump.to_handler = None;
            }
            while heartbeat.poll_tick(cx).is_ready() {
                pump.beat()?;
            }
            pump.poll(cx)
        });
        let close = match self.stop.run_until_cancelled(ended).await {
            Some(Ok(())) => close.lock().clone(),
            Some(Err(Ended::Rule(close))) => close,
            Some(Err(Ended::Gone)) => {
                drop(pump);
                return self.leave(handler).await;
            }
            None => Close::RESTART,
        };
        pump.begin_close(&close);
        // A peer that does not answer the close in time is gone either way.
        let _ = tokio::time::timeout(self.close_timeout, poll_fn(|cx| pump.poll(cx))).await;
        drop(pump);
        self.leave(handler).await;
    }
}

impl Service {
    /// Lets the handler come to its end: there is nothing left to receive.
    async fn leave(self, mut handler: Pin<&mut Fuse<impl Future<Output = ()>>>) {
        if !handler.is_terminated()
            && tokio::time::timeout(self.close_timeout, handler.as_mut()).await.is_err()
        {
            tracing::warn!("the handler of a SockJS session went on after its end and was dropped");
        }
    }
}

async fn handle(handler: Handler, socket: SockJsSocket) {
    let run = AssertUnwindSafe(async move { handler(socket).await });
    if run.catch_unwind().await.is_err() {
        tracing::error!("the handler of a SockJS session panicked");
    }
}

/// Why a session goes on no further.
enum Ended {
    /// The peer is gone, or has said that it closes.
    Gone,
    /// The peer broke a rule and deserves this close.
    Rule(Close),
}

/// Moves messages between a transport and a handler.
struct Pump<T> {
    transport: T,
    direct: Option<OwnedWriteHalf>,
    /// Frames that are not written yet, the first perhaps in part.
    waiting: VecDeque<Bytes>,
    /// `None` when the handler has returned.
    to_handler: Option<mpsc::Sender<String>>,
    /// Wakes this when the handler has taken a message.
    taken: Arc<AtomicWaker>,
    /// `None` when the session is being closed.
    from_handler: Option<mpsc::UnboundedReceiver<String>>,
    /// What bounds it.
    room: Arc<Room>,
    /// How many heartbeats in a row the peer gave no sign of life.
    silent: u32,
    /// What the peer sends after our close cannot be understood, so its own close will not be either.
    broken: bool,
}

impl<T: Transport> Pump<T> {
    /// Ready when the handler has returned and all it sent is out; an error when the session is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let written = loop {
            let listens = self.poll_receive(cx);
            let written = self.poll_write(cx).map_err(|_| Ended::Gone)?;
            // What was written may have made room, and nothing else would have the stream read again.
            if listens? || self.waiting.len() >= QUEUE {
                break written;
            }
        };
        if self.broken && self.from_handler.is_none() && written.is_ready() {
            // The end of the stream tells the peer that we are through.
            self.direct = None;
        }
        let done = self.to_handler.is_none() && self.from_handler.is_some();
        if done && written.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn beat(&mut self) -> Result<(), Ended> {
        if self.silent >= 2 {
            return Err(Ended::Rule(Close::PEER_SILENT));
        }
        self.silent += u32::from(T::ANSWERS_HEARTBEATS);
        self.waiting.push_back(self.transport.heartbeat());
        Ok(())
    }

    fn begin_close(&mut self, close: &Close) {
        self.to_handler = None;
        self.from_handler = None;
        self.room.bytes.close();
        self.waiting.extend(self.transport.closing(close));
    }

    /// `false` when it stopped for what waits to be written: a peer that does not read is not listened to.
    /// Else it is woken by the stream, or by the handler when that takes a message.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        loop {
            if self.waiting.len() >= QUEUE {
                return Ok(false);
            }
            if !self.has_room(cx) {
                return Ok(true);
            }
            let Poll::Ready(received) = self.transport.poll_receive(cx) else { return Ok(true) };
            let Ok(Some(mut received)) = received else { return Err(Ended::Gone) };
            self.silent = 0;
            if self.broken {
                received.clear();
            }
            loop {
                if !self.has_room(cx) {
                    self.transport.put_back(received, true);
                    break;
                }
                match self.transport.decode(&mut received) {
                    Err(close) => {
                        received.clear();
                        self.transport.put_back(received, false);
                        if self.from_handler.is_some() {
                            return Err(Ended::Rule(close));
                        }
                        // The rest is read all the same: to end on unread bytes would reset the connection,
                        // and the peer might never see why (RFC 6455, section 7.1.1).
                        self.broken = true;
                        break;
                    }
                    Ok(None) => {
                        self.transport.put_back(received, false);
                        break;
                    }
                    Ok(Some(Incoming::Message(message))) => {
                        if let Some(to_handler) = &mut self.to_handler {
                            // There is room, or the handler no longer listens.
                            let _ = to_handler.try_send(message.into_owned());
                        }
                    }
                    Ok(Some(Incoming::Answer(frame))) => self.waiting.push_back(frame),
                    Ok(Some(Incoming::Alive)) => {}
                    Ok(Some(Incoming::Closing(_, answer))) => {
                        if self.from_handler.is_some() {
                            self.waiting.push_back(answer);
                            let _ = self.poll_write(cx);
                        }
                        return Err(Ended::Gone);
                    }
                }
            }
        }
    }

    /// Whether the handler can take another message; if not, its task wakes this one when it can.
    fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        let has_room = |to_handler: &mpsc::Sender<_>| to_handler.capacity() > 0 || to_handler.is_closed();
        let Some(to_handler) = self.to_handler.as_ref().filter(|to_handler| !has_room(to_handler)) else {
            return true;
        };
        self.taken.register(cx.waker());
        // One may have been taken just before.
        has_room(to_handler)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(frame) = self.waiting.front_mut() {
                let written = match &mut self.direct {
                    Some(direct) => Pin::new(direct).poll_write(cx, frame),
                    None => self.transport.poll_write(frame, cx),
                };
                frame.advance(ready!(written)?);
                if frame.is_empty() {
                    self.waiting.pop_front();
                }
            }
            match self.poll_gather(cx) {
                Some(frames) => self.waiting.push_back(frames),
                None => return self.transport.poll_flush(cx),
            }
        }
    }

    /// What the handler has sent meanwhile, to be written in one piece.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let from_handler = self.from_handler.as_mut()?;
        let mut gathering = Gathering::new(self.transport.format());
        let mut frames = Vec::new();
        while frames.len() < PIECE {
            // Polling ends after as many messages as tokio lets a task take at once, which makes small frames.
            let taken = from_handler.try_recv().ok();
            let Some(message) = taken.or_else(|| match from_handler.poll_recv(cx) {
                Poll::Ready(message) => message,
                Poll::Pending => None,
            }) else {
                break;
            };
            self.room.give_back(&message);
            gathering.push(&mut frames, message.as_bytes());
        }
        gathering.finish(&mut frames);
        (!frames.is_empty()).then(|| frames.into())
    }
}

impl<T> Drop for Pump<T> {
    fn drop(&mut self) {
        // A handler that waits for room learns that there will be none.
        self.room.bytes.close();
    }
}
