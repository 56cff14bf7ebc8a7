//! Work in the background that ends with its owner.

use std::future::Future;

use tokio::task::{AbortHandle, JoinHandle};

/// A task; it is ended when this is dropped.
#[derive(Debug)]
pub(in crate::redis) struct Task(JoinHandle<()>);

impl Task {
    /// Begins it on the runtime that this is called on.
    pub(in crate::redis) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Whether it has ended by itself.
    pub(in crate::redis) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Resolves when it has ended by itself.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        AbortHandle::abort(&self.0.abort_handle());
    }
}
