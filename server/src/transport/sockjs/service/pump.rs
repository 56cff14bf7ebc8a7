//! Moves messages between a transport and the two mailboxes of a handler.
//!
//! In: what the transport receives, what the handler sends. Out: the same, to the other side. A handler that does
//! not read, and a client that does not, are each waited for.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokensocket_protocol::Close;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use super::mailbox::Mailbox;
use crate::format::Gathering;
use crate::transport::{Incoming, Transport};

/// How many frames may wait for the peer before it is listened to no further.
const QUEUE: usize = 64;
/// Beyond how many bytes no further message is gathered into what is written at once.
const PIECE: usize = 64 * 1024;

/// How often the handler gets what has come meanwhile before what it said is written: a client may never pause.
const TURNS: usize = 4;

/// Why a session goes on no further.
pub(super) enum Ended {
    /// The peer is gone, or has said that it closes.
    Gone,
    /// The peer broke a rule and deserves this close.
    Rule(Close),
}

/// What a look at the transport came to.
struct Heard {
    /// The peer is listened to: not when it does not read what waits for it.
    listens: bool,
    /// There were messages for the handler.
    messages: bool,
}

/// Moves messages between a transport and a handler.
pub(super) struct Pump<T> {
    transport: T,
    direct: Option<OwnedWriteHalf>,
    /// Frames that are not written yet, the first perhaps in part.
    waiting: VecDeque<Bytes>,
    to_handler: Arc<Mailbox>,
    from_handler: Arc<Mailbox>,
    /// The handler has returned.
    handler_is_done: bool,
    /// The session is being closed.
    is_closing: bool,
    /// How many heartbeats in a row the peer gave no sign of life.
    silent: u32,
    /// What the peer sends after our close cannot be understood, so its own close will not be either.
    broken: bool,
}

impl<T: Transport> Pump<T> {
    pub(super) fn new(mut transport: T, to_handler: Arc<Mailbox>, from_handler: Arc<Mailbox>) -> Self {
        Self {
            direct: transport.take_direct(),
            waiting: transport.greeting().into_iter().collect(),
            transport,
            to_handler,
            from_handler,
            handler_is_done: false,
            is_closing: false,
            silent: 0,
            broken: false,
        }
    }

    /// Runs `handler` until it waits. Ready when it has returned and all it sent is out; an error when the
    /// session is over.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut handler: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<Result<(), Ended>> {
        let mut turns = 0;
        let written = loop {
            self.handler_is_done |= handler(cx).is_ready();
            let heard = self.poll_receive(cx);
            if matches!(heard, Ok(Heard { messages: true, .. })) && !self.handler_is_done && turns < TURNS {
                // What it answers to these is written with the rest: a poll takes nothing that comes later.
                turns += 1;
                continue;
            }
            let written = self.poll_write(cx).map_err(|_| Ended::Gone)?;
            // What was written may have made room, and nothing else would have the stream read again.
            if heard?.listens || self.waiting.len() >= QUEUE {
                break written;
            }
        };
        if self.broken && self.is_closing && written.is_ready() {
            // The end of the stream tells the peer that we are through.
            self.direct = None;
        }
        let done = self.handler_is_done && !self.is_closing;
        if done && written.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(super) fn beat(&mut self) -> Result<(), Ended> {
        if self.silent >= 2 {
            return Err(Ended::Rule(Close::PEER_SILENT));
        }
        self.silent += u32::from(T::ANSWERS_HEARTBEATS);
        self.waiting.push_back(self.transport.heartbeat());
        Ok(())
    }

    pub(super) fn begin_close(&mut self, close: &Close) {
        self.is_closing = true;
        self.to_handler.close();
        self.from_handler.abandon();
        self.waiting.extend(self.transport.closing(close));
    }

    /// Hands over what there is, as far as the handler has room. Then this is woken by the stream, or by the
    /// handler when that takes a message.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Heard, Ended> {
        let mut heard = Heard { listens: true, messages: false };
        loop {
            if self.waiting.len() >= QUEUE {
                heard.listens = false;
                return Ok(heard);
            }
            if !self.has_room(cx) {
                return Ok(heard);
            }
            let Poll::Ready(received) = self.transport.poll_receive(cx) else { return Ok(heard) };
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
                        if !self.is_closing {
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
                        heard.messages = true;
                        self.to_handler.put(message.into_owned());
                    }
                    Ok(Some(Incoming::Answer(frame))) => self.waiting.push_back(frame),
                    Ok(Some(Incoming::Alive | Incoming::Binary(_))) => {}
                    Ok(Some(Incoming::Closing(_, answer))) => {
                        if !self.is_closing {
                            self.waiting.push_back(answer);
                            let _ = self.poll_write(cx);
                        }
                        return Err(Ended::Gone);
                    }
                }
            }
        }
    }

    /// Whether the handler can take another message, or wants none; if not, it wakes this when it can.
    fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        self.to_handler.poll_room(cx).is_ready()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(frame) = self.waiting.front_mut() {
                let written = ready!(match &mut self.direct {
                    Some(direct) => Pin::new(direct).poll_write(cx, frame),
                    None => self.transport.poll_write(frame, cx),
                })?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                frame.advance(written);
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
        let mut gathering = Gathering::new(self.transport.format());
        let mut frames = Vec::new();
        self.from_handler.poll_take_while(cx, |message| {
            gathering.push(&mut frames, message.as_bytes());
            frames.len() < PIECE
        });
        gathering.finish(&mut frames);
        (!frames.is_empty()).then(|| frames.into())
    }
}

impl<T> Drop for Pump<T> {
    fn drop(&mut self) {
        // A handler that waits for a message, or for room, learns that there will be none.
        self.to_handler.close();
        self.from_handler.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncRead, ReadBuf};

    use super::*;
    use crate::transport::websocket::{WebSocket, Wrapped};

    /// A stream that nothing comes from, and that takes nothing. Whoever does not notice is stopped.
    #[derive(Default)]
    struct Closed {
        tried: usize,
    }

    impl AsyncRead for Closed {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.tried += 1;
            assert!(self.tried < 100, "it is tried for ever");
            Poll::Ready(Ok(0))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_more_ends_the_session() {
        let transport = WebSocket::new(Wrapped(Closed::default()), Vec::new(), 100);
        let mailbox = || Arc::new(Mailbox::new(100));
        let mut pump = Pump::new(transport, mailbox(), mailbox());
        assert!(pump.beat().is_ok());
        let mut cx = Context::from_waker(Waker::noop());
        let ended = pump.poll(&mut cx, |_| Poll::Pending);
        assert!(matches!(ended, Poll::Ready(Err(Ended::Gone))));
    }
}
