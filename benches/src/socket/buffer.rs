//! The one read buffer of a thread.
//!
//! In: a stream that may have bytes. Out: those bytes, until the next read of
//! the thread. It keeps nothing between reads.

use std::{
    cell::{Ref, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::Stream;

const READ_BYTES: usize = 256 * 1024;

thread_local! {
    static READ: ReadBuffer =
        ReadBuffer(Rc::new(RefCell::new(vec![0; READ_BYTES].into_boxed_slice())));
}

/// One read buffer for every connection of the thread: it is empty again
/// before the next connection reads. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ReadBuffer(Rc<RefCell<Box<[u8]>>>);

impl ReadBuffer {
    /// This thread's.
    pub(crate) fn of_thread() -> Self {
        READ.with(Self::clone)
    }

    /// Waits for bytes of `stream` and says how many came; none at its end.
    /// Until the caller awaits again they are its own. When cancelled, nothing
    /// is read.
    ///
    /// `poll_read` takes a read that did not fill the buffer for the last,
    /// where `try_read` would ask the system again.
    pub(crate) async fn fill(&self, stream: &mut Stream) -> io::Result<usize> {
        poll_fn(|context| {
            let mut buffer = self.0.borrow_mut();
            let mut free = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut free))?;
            Poll::Ready(Ok(free.filled().len()))
        })
        .await
    }

    /// The first `length` bytes, as the last [`fill`](Self::fill) left them.
    pub(crate) fn filled(&self, length: usize) -> Ref<'_, [u8]> {
        Ref::map(self.0.borrow(), |buffer| &buffer[..length])
    }
}
