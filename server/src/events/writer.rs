//! From the records of an event client's outbox to frames on its stream.
//!
//! In: records, and what the connection has to say itself. Out: bytes, in that order, and what they acknowledge once
//! they are out. At most one piece of the outbox is framed ahead of the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokensocket_protocol::message::Acknowledge;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use crate::format::Format;
use crate::format::record::{self, Note};
use crate::session::outbox::Outbox;
use crate::transport::Transport;

/// Beyond how many bytes of what was framed the peer is listened to no further.
const FULL: usize = 64 * 1024;

pub(super) struct Writer {
    /// The stream, where it can be written to without the transport.
    direct: Option<OwnedWriteHalf>,
    /// Frames that are not written yet, the first perhaps in part.
    framed: BytesMut,
    /// The last delivery and the last resync among them.
    noted: Noted,
    /// What is to be said when the outbox is empty, and nothing behind it.
    last: Vec<Bytes>,
    /// What was written.
    written: Noted,
}

#[derive(Default)]
struct Noted {
    delivered: Option<u64>,
    resynced: Option<u64>,
}

impl Noted {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::None => {}
            Note::Delivery(seq) | Note::Batch(seq) => self.delivered = Some(seq),
            Note::Resync(number) => self.resynced = Some(number),
        }
    }
}

impl Writer {
    pub(super) fn new(direct: Option<OwnedWriteHalf>, greeting: Option<&Bytes>) -> Self {
        Self {
            direct,
            framed: greeting.into_iter().flatten().collect(),
            noted: Noted::default(),
            last: Vec::new(),
            written: Noted::default(),
        }
    }

    /// Sends a frame of the connection's own: before what still waits in the outbox.
    pub(super) fn push(&mut self, frame: &Bytes) {
        self.framed.extend_from_slice(frame);
    }

    /// Sends frames behind all that waits.
    pub(super) fn push_last(&mut self, frames: Vec<Bytes>) {
        self.last = frames;
    }

    /// Whether so much waits that the peer should be read from no further.
    pub(super) fn is_full(&self) -> bool {
        self.framed.len() >= FULL
    }

    /// What was written since this was last asked, as the device's acknowledgement: in order, so that the last of a
    /// kind stands for those before it.
    pub(super) fn take_written(&mut self) -> impl Iterator<Item = Acknowledge> + use<> {
        let Noted { delivered, resynced } = self.written.take();
        resynced.map(Acknowledge::Resync).into_iter().chain(delivered.map(Acknowledge::Batch))
    }

    /// Ends the stream's writing half, where it is here.
    pub(super) fn finish(&mut self) {
        self.direct = None;
    }

    /// Writes what waits; ready when nothing does.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &Outbox,
        transport: &mut impl Transport,
    ) -> Poll<io::Result<()>> {
        ready!(outbox.poll_flush(cx, |piece, cx| {
            if self.is_full() {
                ready!(self.poll_framed(cx, transport))?;
            }
            self.frame(piece);
            Poll::Ready(Ok(piece.len()))
        }))?;
        for frame in std::mem::take(&mut self.last) {
            self.framed.extend_from_slice(&frame);
        }
        ready!(self.poll_framed(cx, transport))?;
        transport.poll_flush(cx)
    }

    fn frame(&mut self, piece: &[u8]) {
        let mut frames = Vec::with_capacity(piece.len());
        for record in record::records(piece) {
            Format::Raw.push(&mut frames, record.text);
            self.noted.note(record.note);
        }
        self.framed.extend_from_slice(&frames);
    }

    fn poll_framed(&mut self, cx: &mut Context<'_>, transport: &mut impl Transport) -> Poll<io::Result<()>> {
        while !self.framed.is_empty() {
            let written = ready!(match &mut self.direct {
                Some(direct) => Pin::new(direct).poll_write(cx, &self.framed),
                None => transport.poll_write(&self.framed, cx),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.framed.advance(written);
        }
        // An idle connection keeps no room.
        self.framed = BytesMut::new();
        let Noted { delivered, resynced } = self.noted.take();
        self.written.delivered = delivered.or(self.written.delivered);
        self.written.resynced = resynced.or(self.written.resynced);
        Poll::Ready(Ok(()))
    }
}
