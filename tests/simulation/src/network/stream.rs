//! One end of a connection.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::link::{Arrival, Fault, Link, Way, wake};

/// One end of a connection. To drop it is to close it.
pub(crate) struct Stream {
    link: Arc<Link>,
    writes: Way,
    /// When what is under way arrives.
    arrival: Option<Pin<Box<Sleep>>>,
}

/// Both ends: of who opened it, and of who accepted it.
pub(super) fn pair(link: &Arc<Link>) -> (Stream, Stream) {
    let end = |writes| Stream { link: Arc::clone(link), writes, arrival: None };
    (end(Way::There), end(Way::Back))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let way = this.writes.other();
        loop {
            match this.link.read(way, into.remaining()) {
                Arrival::Bytes(bytes) => {
                    into.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Arrival::End => return Poll::Ready(Ok(())),
                Arrival::Broken => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                Arrival::Nothing => {
                    this.link.lock().direction(way).reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Arrival::At(time) => {
                    let sleep = this.arrival.get_or_insert_with(|| Box::pin(sleep_until(time)));
                    if sleep.deadline() != time {
                        sleep.as_mut().reset(time);
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        // A cut may take it away before it arrives.
                        this.link.lock().direction(way).reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        {
            let mut state = self.link.lock();
            let cut = matches!(state.fault, Some(Fault::Cut | Fault::Crash));
            let direction = state.direction(self.writes);
            if cut || direction.deaf {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
        }
        if let Some(count) = self.link.write(self.writes, bytes) {
            return Poll::Ready(Ok(count));
        }
        self.link.lock().direction(self.writes).writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.link.lock();
        let direction = state.direction(self.writes);
        direction.finished = true;
        wake(&mut direction.reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        let outgoing = state.direction(self.writes);
        outgoing.finished = true;
        wake(&mut outgoing.reader);
        let incoming = state.direction(self.writes.other());
        incoming.deaf = true;
        wake(&mut incoming.writer);
    }
}
