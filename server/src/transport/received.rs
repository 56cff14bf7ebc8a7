//! Bytes that came in and were not understood yet.
//!
//! In: a stream. Out: a slice to decode in place. Most reads go into one buffer for each thread; only the
//! rest of a frame that has not come whole is kept with its connection, and only while there is one.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The size of each thread's buffer, in bytes.
const SHARED: usize = 64 * 1024;
/// How much more is read at once into the rest of a frame, in bytes.
const STEP: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What one read brought, in front of it what an earlier one left.
pub(crate) struct Received {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    shared: bool,
}

impl Received {
    /// Nothing new: what was decoded before comes first.
    pub(crate) fn nothing() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, shared: false }
    }

    /// Forgets the rest.
    pub(crate) fn clear(&mut self) {
        self.start = self.end;
    }

    /// What was not decoded yet.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Takes `count` bytes from the front.
    pub(crate) fn take(&mut self, count: usize) -> &mut [u8] {
        let start = self.start;
        self.start = (start + count).min(self.end);
        &mut self.bytes[start..self.start]
    }
}

/// A connection's own part: what is left of earlier reads.
#[derive(Default)]
pub(crate) struct Leftover {
    bytes: Vec<u8>,
    /// What is left may hold whole frames, so it is looked at before anything is read.
    whole: bool,
}

impl Leftover {
    /// Bytes that were read before the connection was ours.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let whole = !bytes.is_empty();
        Self { bytes, whole }
    }

    /// Reads what is there; `None` at the stream's end.
    pub(crate) fn poll_receive(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Received>>> {
        if std::mem::take(&mut self.whole) {
            let bytes = std::mem::take(&mut self.bytes);
            let end = bytes.len();
            return Poll::Ready(Ok(Some(Received { bytes, start: 0, end, shared: false })));
        }
        if self.bytes.is_empty() {
            let mut bytes = BUFFER.take();
            // Its length stays what it is, so that it is zeroed once for each thread.
            bytes.resize(SHARED, 0);
            let mut into = ReadBuf::new(&mut bytes);
            let read = Pin::new(stream).poll_read(cx, &mut into);
            let count = into.filled().len();
            if !matches!(read, Poll::Ready(Ok(()))) || count == 0 {
                BUFFER.set(bytes);
                ready!(read)?;
                return Poll::Ready(Ok(None));
            }
            return Poll::Ready(Ok(Some(Received { bytes, start: 0, end: count, shared: true })));
        }
        let before = self.bytes.len();
        self.bytes.resize(before + STEP.min(before.max(512)), 0);
        let mut into = ReadBuf::new(&mut self.bytes[before..]);
        let read = Pin::new(stream).poll_read(cx, &mut into);
        let count = into.filled().len();
        self.bytes.truncate(before + count);
        ready!(read)?;
        if count == 0 {
            return Poll::Ready(Ok(None));
        }
        let bytes = std::mem::take(&mut self.bytes);
        let end = bytes.len();
        Poll::Ready(Ok(Some(Received { bytes, start: 0, end, shared: false })))
    }

    /// Takes back what was not decoded. `whole` says that it may hold whole frames.
    pub(crate) fn put_back(&mut self, received: Received, whole: bool) {
        let Received { mut bytes, start, end, shared } = received;
        if start < end {
            self.whole = whole;
            if shared {
                self.bytes = bytes[start..end].to_vec();
            } else {
                bytes.drain(..start);
                self.bytes = std::mem::take(&mut bytes);
            }
        }
        if shared {
            BUFFER.set(bytes);
        }
    }
}
