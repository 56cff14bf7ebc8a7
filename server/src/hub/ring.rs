//! Many followers, one system call: a batch of sends by `io_uring`, where the kernel allows it.
//!
//! In: followers, the bytes for each. Out: bytes on their streams, the rest in their outboxes. Every send
//! of a batch has ended before the batch gives back the outboxes it holds. Must not know: channels.

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use bytes::Bytes;
use io_uring::{IoUring, opcode, types};

use super::part::Followers;
use crate::session::outbox::Held;
use crate::socket::Socket;

/// The most sends in one system call. Their outboxes are held meanwhile, some microseconds for each.
const BATCH: usize = 64;

/// Below this many followers, plain writes cost no more.
const FEWEST: usize = 8;

thread_local! {
    static RING: RefCell<Option<IoUring>> = RefCell::new(ring());
}

#[cfg(test)]
thread_local! {
    /// How many system calls this thread has submitted batches with.
    static SUBMISSIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A thread's ring; `None` where there is no `io_uring`, or where it is forbidden.
fn ring() -> Option<IoUring> {
    let ring = IoUring::new(u32::try_from(BATCH).ok()?)
        .inspect_err(|error| tracing::debug!(%error, "no io_uring here: plain writes"))
        .ok()?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe).ok()?;
    probe.is_supported(opcode::Send::CODE).then_some(ring)
}

/// Sends to all followers; `false` when nothing was done, since there is no ring.
pub(super) fn deliver<'a>(
    followers: &Followers,
    bytes: impl Fn(&Socket) -> &'a Bytes,
    messages: usize,
    droppable: bool,
) -> bool {
    if followers.len() < FEWEST {
        return false;
    }
    RING.with(|cell| {
        let Ok(mut cell) = cell.try_borrow_mut() else { return false };
        if cell.is_none() {
            return false;
        }
        let mut batch = Vec::with_capacity(BATCH.min(followers.len()));
        // Each is in at most one batch for this publication, so that going last keeps its own order.
        let mut others = Vec::new();
        for socket in followers.values() {
            match (socket.outbox().hold(), cell.is_some()) {
                (Some(outbox), true) => batch.push(Send { socket, outbox, bytes: bytes(socket), sent: None }),
                _ => others.push(socket),
            }
            if batch.len() == BATCH {
                send(&mut cell, &mut batch, messages, droppable);
            }
        }
        send(&mut cell, &mut batch, messages, droppable);
        for socket in others {
            socket.hand(bytes(socket), messages, droppable);
        }
        true
    })
}

struct Send<'a> {
    socket: &'a Socket,
    outbox: Held<'a>,
    bytes: &'a Bytes,
    /// How much the stream took, once that is known.
    sent: Option<usize>,
}

/// Sends a batch and gives its outboxes back. A ring that fails is given up.
fn send(cell: &mut Option<IoUring>, batch: &mut Vec<Send<'_>>, messages: usize, droppable: bool) {
    let Some(ring) = cell else { return };
    if batch.is_empty() {
        return;
    }
    if let Err(error) = submit(ring, batch) {
        tracing::warn!(%error, "io_uring failed: plain writes from here on");
        *cell = None;
    }
    for Send { socket, mut outbox, bytes, sent } in batch.drain(..) {
        match sent {
            Some(sent) if sent == bytes.len() => {}
            Some(sent) => {
                if outbox.enqueue(bytes, sent, messages, droppable).is_err() {
                    tracing::debug!(socket = %socket.id(), "disconnecting a slow consumer");
                }
            }
            None => {
                // Nobody knows how much went out, or whether the kernel still reads the bytes.
                std::mem::forget(bytes.clone());
                outbox.kill();
            }
        }
    }
}

/// Sends a batch and notes how much each stream took. After an error that is still not known of those whose
/// sends have begun and not ended.
fn submit(ring: &mut IoUring, batch: &mut [Send<'_>]) -> std::io::Result<()> {
    let mut open = 0;
    for (at, send) in (0..).zip(&mut *batch) {
        let fd = types::Fd(send.outbox.stream());
        let length = u32::try_from(send.bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(fd, send.bytes.as_ptr(), length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .user_data(at);
        // SAFETY: the kernel reads the bytes until the send has ended. That is before this function
        // returns, while `batch` borrows them; of sends that have not ended then, after an error, its caller
        // leaks the bytes.
        // The descriptor is the stream's, which `outbox` keeps open until the kernel has looked it up.
        match unsafe { ring.submission().push(&entry) } {
            Ok(()) => open += 1,
            Err(_) => send.sent = Some(0),
        }
    }
    while open > 0 {
        #[cfg(test)]
        SUBMISSIONS.set(SUBMISSIONS.get() + 1);
        let failure = ring
            .submit_and_wait(open)
            .err()
            .filter(|error| !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)));
        for done in ring.completion() {
            open -= 1;
            if let Some(send) = usize::try_from(done.user_data()).ok().and_then(|at| batch.get_mut(at)) {
                // A broken stream is found by the task that reads it.
                send.sent = Some(usize::try_from(done.result()).unwrap_or(0));
            }
        }
        if let Some(failure) = failure {
            // The kernel takes sends in their order. Those it has not taken it never will: nobody asks again.
            let untouched = ring.submission().len();
            batch.iter_mut().rev().filter(|send| send.sent.is_none()).take(untouched).for_each(|send| {
                send.sent = Some(0);
            });
            return Err(failure);
        }
    }
    Ok(())
}
