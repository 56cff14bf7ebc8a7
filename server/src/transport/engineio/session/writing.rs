//! What a session says, to whatever carries it by then.
//!
//! In: packets that wait. Out: the body of a poll's response, or frames on a WebSocket.

use std::io;
use std::task::{Context, Poll};

use tokensocket_protocol::engineio::{Kind, Outgoing, Payload, encode_payload, encode_payload_as_bytes};
use tokio::time::Instant;

use super::waiting::AHEAD;
use super::{Carrier, End, Session};
use crate::transport::engineio::Link;
use crate::transport::engineio::probe::Probe;

impl Session {
    /// Writes what is queued, as far as the carrier takes it. Ready when nothing waits; an error when the session is
    /// over.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match self.carrier {
            Carrier::Polling => self.flush_poll(),
            Carrier::WebSocket(_) => self.flush_link(cx),
        }
    }

    fn flush_poll(&mut self) -> Poll<Result<(), End>> {
        if self.closing {
            // Whoever polls now, or comes for it, is told the rest.
            return Poll::Ready(Err(End::Closed));
        }
        let Some(base64) = self.exchange.poll_waits() else {
            return if self.waiting.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        if self.waiting.is_empty() {
            if self.probe.as_ref().is_some_and(Probe::is_probed) {
                // The client stops polling for the WebSocket that it probed, once its last poll is answered.
                let noop = [Outgoing::bare(Kind::Noop)];
                self.exchange.answer(self.payload(base64, &noop));
            }
            return Poll::Ready(Ok(()));
        }
        let waiting = std::mem::take(&mut self.waiting);
        let packets: Vec<_> = waiting.outgoing().collect();
        self.exchange.answer(self.payload(base64, &packets));
        self.greeted_at.get_or_insert_with(Instant::now);
        Poll::Ready(Ok(()))
    }

    /// The body of a poll's response, in the form that its client reads.
    pub(super) fn payload(&self, base64: bool, packets: &[Outgoing<'_>]) -> Payload {
        let is_ascii = |packet: &Outgoing<'_>| matches!(packet, Outgoing::Text(_, text) if text.is_ascii());
        if self.reads_bytes && !base64 && !packets.iter().all(is_ascii) {
            return encode_payload_as_bytes(packets);
        }
        encode_payload(self.terms.version, base64, packets)
    }

    fn flush_link(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Carrier::WebSocket(link) = &mut self.carrier else { return Poll::Ready(Ok(())) };
        loop {
            match write(link.as_mut(), &mut self.writing, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Left)),
                Poll::Pending => return Poll::Pending,
            }
            if self.waiting.is_empty() {
                return match link.poll_flush(cx) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(End::Left)),
                    Poll::Pending => Poll::Pending,
                };
            }
            self.greeted_at.get_or_insert_with(Instant::now);
            while self.writing.0.len() < AHEAD
                && let Some(packet) = self.waiting.pop()
            {
                packet.push_frame(&self.terms, &mut self.writing.0);
            }
        }
    }
}

/// Writes bytes, and forgets them when all are written.
pub(super) fn write(
    link: &mut dyn Link,
    writing: &mut (Vec<u8>, usize),
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let (bytes, written) = writing;
    while *written < bytes.len() {
        match link.poll_write(&bytes[*written..], cx) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(count)) => *written += count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    *writing = (Vec::new(), 0);
    Poll::Ready(Ok(()))
}
