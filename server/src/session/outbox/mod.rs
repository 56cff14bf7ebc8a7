//! The way out of one connection: straight to its stream, or through a bounded queue.
//!
//! In: frames from anywhere, at any time. Out: bytes on the stream, in the order they were pushed. Where
//! the stream can be written to directly and takes all, a push is one system call and nobody is woken.
//! What it does not take waits in the queue for the connection's own task. Nobody waits to push. A queue
//! that is full ends its connection with 4409, unless the oldest droppable frames make room.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokensocket_protocol::Close;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use crate::socket::Waiting;

/// How many frames go into one vectored write.
const SLICES: usize = 32;

/// The way out of one connection. Pushing never blocks and costs one short lock.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limits: Limits,
}

#[cfg(test)]
thread_local! {
    /// How many direct writes this thread has made, each one system call, or a part of one.
    pub(crate) static WRITES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
struct Queue {
    direct: Option<OwnedWriteHalf>,
    frames: VecDeque<Frame>,
    bytes: usize,
    messages: usize,
    /// How much of it may be dropped.
    droppable: Weight,
    /// Large and rare.
    signal: Option<Box<Signal>>,
    /// The connection's task.
    writer: Option<Waker>,
    /// The task has nothing to do, so that what it must write has to wake it.
    parked: bool,
    door: Door,
}

/// Whose frames are still taken.
#[derive(Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    /// The connection's own task may still send what it has answered already.
    Answers,
    Shut,
}

struct Frame {
    bytes: Bytes,
    messages: usize,
    droppable: bool,
}

/// How much something weighs against the limits.
#[derive(Default)]
struct Weight {
    messages: usize,
    bytes: usize,
}

/// What the connection's task is told beside frames. A later one never softens an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Look again at the times.
    Wake,
    /// Finish what runs, at the latest after this long, then close with 1012.
    Drain {
        /// How long calls in flight may take.
        within: Duration,
        /// When the client should come back.
        reconnect_after: Duration,
    },
    /// Send what is queued, then close.
    Close(Close),
    /// End now.
    Kill,
}

impl Signal {
    fn rank(&self) -> u8 {
        match self {
            Self::Wake => 0,
            Self::Drain { .. } => 1,
            Self::Close(_) => 2,
            Self::Kill => 3,
        }
    }
}

/// An outbox held by somebody who writes to its stream himself. Nothing waits in it.
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) struct Held<'a> {
    queue: parking_lot::MutexGuard<'a, Queue>,
    stream: std::os::fd::RawFd,
    limits: Limits,
}

/// The queue was full: the connection is being closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    /// `direct` is the way to write without the connection's task, where there is one.
    pub(crate) fn new(limits: Limits, direct: Option<OwnedWriteHalf>) -> Self {
        Self { queue: Mutex::new(Queue { direct, ..Queue::default() }), limits }
    }

    /// Sends a frame, or as many as `messages` in one piece. For a connection that has ended it is dropped.
    // Called instead, it costs each delivery 22 instructions of some 400.
    #[inline]
    pub(crate) fn push(&self, bytes: &Bytes, messages: usize, droppable: bool) -> Result<(), Overflow> {
        let mut queue = self.queue.lock();
        if queue.door != Door::Open {
            return Ok(());
        }
        let written = queue.write_now(bytes);
        if written == bytes.len() {
            return Ok(());
        }
        // The rest of a frame whose beginning is out must follow.
        let droppable = droppable && written == 0;
        queue.enqueue(Frame { bytes: bytes.slice(written..), messages, droppable }, self.limits)
    }

    /// Holds the outbox for a direct write; `None` if somebody holds it, something waits in it, or there is
    /// no way to write directly. Never blocks: who holds several would wait for another who does.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(crate) fn hold(&self) -> Option<Held<'_>> {
        let queue = self.queue.try_lock()?;
        if queue.door != Door::Open || !queue.frames.is_empty() {
            return None;
        }
        #[cfg(test)]
        WRITES.set(WRITES.get() + 1);
        let stream = std::os::fd::AsRawFd::as_raw_fd(queue.direct.as_ref()?.as_ref());
        Some(Held { queue, stream, limits: self.limits })
    }

    /// The same for bytes that only the connection's own task holds. They are copied if they must wait,
    /// and `bytes` is empty afterwards.
    pub(crate) fn push_own(&self, bytes: &mut Vec<u8>, messages: usize) -> Result<(), Overflow> {
        let mut queue = self.queue.lock();
        let written = if queue.door == Door::Shut { bytes.len() } else { queue.write_now(bytes) };
        let outcome = if written == bytes.len() {
            Ok(())
        } else {
            let bytes = Bytes::copy_from_slice(&bytes[written..]);
            queue.enqueue(Frame { bytes, messages, droppable: false }, self.limits)
        };
        bytes.clear();
        outcome
    }

    /// Sends the frames of a close. After it, nothing more goes out.
    pub(crate) fn push_last(&self, frames: Vec<Bytes>) {
        let mut queue = self.queue.lock();
        queue.door = Door::Shut;
        for bytes in frames {
            let written = queue.write_now(&bytes);
            if written < bytes.len() {
                queue.bytes += bytes.len() - written;
                queue.frames.push_back(Frame {
                    bytes: bytes.slice(written..),
                    messages: 0,
                    droppable: false,
                });
            }
        }
    }

    /// Closes the connection after what is queued and answered. Nothing else may be pushed from now on.
    pub(crate) fn close(&self, close: Close) {
        let mut queue = self.queue.lock();
        if queue.door == Door::Open {
            queue.door = Door::Answers;
            queue.signal(Signal::Close(close));
        }
    }

    /// Tells the connection's task something.
    pub(crate) fn signal(&self, signal: Signal) {
        self.queue.lock().signal(signal);
    }

    /// What the connection's task was told, once.
    pub(crate) fn take_signal(&self) -> Option<Signal> {
        self.queue.lock().signal.take().map(|signal| *signal)
    }

    /// Writes what waits, as far as the stream takes it; ready when nothing waits. `write` is for streams
    /// that only the task itself can write to.
    pub(crate) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&[u8], &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let mut queue = self.queue.lock();
        while !queue.frames.is_empty() {
            let written = ready!(queue.poll_write(cx, &mut write))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            queue.advance(written);
        }
        if queue.frames.capacity() > 0 {
            queue.frames = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Has the task woken by the next signal, and by the next frame that it must write itself. `blocked`:
    /// it waits for the stream already. `false` when there is something to do at once.
    pub(crate) fn park(&self, writer: &Waker, blocked: bool) -> bool {
        let mut queue = self.queue.lock();
        if queue.signal.is_some() || !(blocked || queue.frames.is_empty()) {
            return false;
        }
        if queue.writer.as_ref().is_none_or(|known| !known.will_wake(writer)) {
            queue.writer = Some(writer.clone());
        }
        queue.parked = !blocked;
        true
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().frames.is_empty()
    }

    /// Whether so much waits that the peer should be read from no further. What may be dropped does not
    /// count: it would keep a peer that lags from ever being heard.
    pub(crate) fn is_half_full(&self) -> bool {
        let queue = self.queue.lock();
        queue.bytes - queue.droppable.bytes > self.limits.bytes / 2
            || queue.messages - queue.droppable.messages > self.limits.messages / 2
    }

    /// Whether the task may answer more beside so many bytes that it holds back. Together they are not more than
    /// half of what may wait, so that the largest answer, a page of history, has its place behind them.
    pub(crate) fn has_room(&self, held_back: usize) -> bool {
        let queue = self.queue.lock();
        queue.door != Door::Shut
            && queue.bytes - queue.droppable.bytes + held_back <= self.limits.bytes / 2
            && queue.messages - queue.droppable.messages <= self.limits.messages / 2
    }

    /// What waits to be written.
    pub(crate) fn waiting(&self) -> Waiting {
        let queue = self.queue.lock();
        Waiting { messages: queue.messages, bytes: queue.bytes }
    }

    /// Ends the stream's writing half, where it is here. Nothing waits to be written.
    pub(crate) fn finish(&self) {
        let direct = self.queue.lock().direct.take();
        drop(direct);
    }

    /// Forgets everything, the stream too: the connection is gone.
    pub(crate) fn end(&self) {
        let forgotten = {
            let mut queue = self.queue.lock();
            std::mem::replace(&mut *queue, Queue { door: Door::Shut, ..Queue::default() })
        };
        drop(forgotten);
    }
}

#[cfg(all(feature = "io-uring", target_os = "linux"))]
impl Held<'_> {
    /// The stream's descriptor, open as long as the outbox is held.
    pub(crate) fn stream(&self) -> std::os::fd::RawFd {
        self.stream
    }

    /// Queues what the stream did not take of a frame.
    pub(crate) fn enqueue(
        &mut self,
        bytes: &Bytes,
        written: usize,
        messages: usize,
        droppable: bool,
    ) -> Result<(), Overflow> {
        // The rest of a frame whose beginning is out must follow.
        let droppable = droppable && written == 0;
        self.queue.enqueue(Frame { bytes: bytes.slice(written..), messages, droppable }, self.limits)
    }

    /// Ends the connection now.
    pub(crate) fn kill(&mut self) {
        self.queue.door = Door::Shut;
        self.queue.signal(Signal::Kill);
    }
}

impl Queue {
    /// Writes to the stream directly if nothing waits before. Returns how much it took. A broken stream
    /// is found by the task that reads it.
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        match &self.direct {
            Some(direct) if self.frames.is_empty() => {
                #[cfg(test)]
                WRITES.set(WRITES.get() + 1);
                direct.try_write(bytes).unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn enqueue(&mut self, frame: Frame, limits: Limits) -> Result<(), Overflow> {
        while self.messages + frame.messages > limits.messages
            || self.bytes + frame.bytes.len() > limits.bytes
        {
            if !self.drop_oldest() {
                self.forget_whole_frames();
                self.door = Door::Shut;
                self.signal(Signal::Close(Close::SLOW_CONSUMER));
                return Err(Overflow);
            }
        }
        self.bytes += frame.bytes.len();
        self.messages += frame.messages;
        if frame.droppable {
            self.droppable.bytes += frame.bytes.len();
            self.droppable.messages += frame.messages;
        }
        self.frames.push_back(frame);
        if std::mem::take(&mut self.parked)
            && let Some(writer) = &self.writer
        {
            writer.wake_by_ref();
        }
        Ok(())
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: &mut impl FnMut(&[u8], &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.direct {
            Some(direct) => {
                let mut slices = [io::IoSlice::new(&[]); SLICES];
                let count = self.frames.len().min(SLICES);
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = io::IoSlice::new(&frame.bytes);
                }
                Pin::new(direct).poll_write_vectored(cx, &slices[..count])
            }
            None => match self.frames.front() {
                Some(frame) => write(&frame.bytes, cx),
                None => Poll::Ready(Ok(0)),
            },
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0
            && let Some(frame) = self.frames.front_mut()
        {
            if std::mem::take(&mut frame.droppable) {
                // The rest of a frame whose beginning is out must follow.
                self.droppable.bytes -= frame.bytes.len();
                self.droppable.messages -= frame.messages;
            }
            if written < frame.bytes.len() {
                frame.bytes.advance(written);
                return;
            }
            written -= frame.bytes.len();
            self.messages -= frame.messages;
            self.frames.pop_front();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(at) = self.frames.iter().position(|frame| frame.droppable) else { return false };
        if let Some(frame) = self.frames.remove(at) {
            self.bytes -= frame.bytes.len();
            self.messages -= frame.messages;
            self.droppable.bytes -= frame.bytes.len();
            self.droppable.messages -= frame.messages;
        }
        true
    }

    /// Keeps only the front, whose beginning may be out already: the close must stand at a frame's border.
    fn forget_whole_frames(&mut self) {
        self.frames.truncate(1);
        self.droppable = Weight::default();
        if let Some(front) = self.frames.front_mut() {
            front.droppable = false;
        }
        self.bytes = self.frames.front().map_or(0, |frame| frame.bytes.len());
        self.messages = self.frames.front().map_or(0, |frame| frame.messages);
    }

    fn signal(&mut self, signal: Signal) {
        if self.signal.as_ref().is_none_or(|earlier| earlier.rank() < signal.rank()) {
            self.signal = Some(Box::new(signal));
        }
        self.parked = false;
        if let Some(writer) = &self.writer {
            writer.wake_by_ref();
        }
    }
}
