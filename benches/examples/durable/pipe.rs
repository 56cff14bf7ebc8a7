//! One connection for many callers: what they send meanwhile goes out in one write.
//!
//! In: commands. Out: bytes to a server; whoever reads the answers is told apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Gathers commands and writes them.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Vec<u8>>,
    wake: Notify,
    is_broken: AtomicBool,
}

impl Pipe {
    /// Writes to `stream` for as long as it can.
    pub(crate) fn to(stream: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        let pipe = Self::default();
        tokio::spawn(pipe.clone().write(stream));
        pipe
    }

    /// Appends a command while nobody else does, and whatever must happen in the same order.
    pub(crate) fn send(&self, command: impl FnOnce(&mut Vec<u8>)) -> Result<(), &'static str> {
        if self.0.is_broken.load(Ordering::Relaxed) {
            return Err("the connection is broken");
        }
        command(&mut self.0.waiting.lock());
        self.0.wake.notify_one();
        Ok(())
    }

    async fn write(self, mut stream: impl AsyncWrite + Unpin) {
        let mut now = Vec::new();
        loop {
            self.0.wake.notified().await;
            std::mem::swap(&mut *self.0.waiting.lock(), &mut now);
            if stream.write_all(&now).await.is_err() {
                self.0.is_broken.store(true, Ordering::Relaxed);
                return;
            }
            now.clear();
        }
    }
}
