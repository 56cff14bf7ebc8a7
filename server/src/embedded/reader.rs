//! The one thread that reads while others serve.
//!
//! In: things to do. Out: that they were done, one after the other. A bounded number waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use crate::store::StoreError;

type Task = Box<dyn FnOnce() + Send>;

/// So many things may wait.
const MOST: usize = 16_384;

/// A handle to the thread, which ends with the last of them, when all that waits is done.
#[derive(Clone)]
pub(super) struct Reader {
    tasks: Sender<Task>,
    waiting: Arc<AtomicUsize>,
}

impl Reader {
    pub(super) fn start() -> std::io::Result<Self> {
        let (tasks, todo) = mpsc::channel::<Task>();
        let waiting = Arc::new(AtomicUsize::new(0));
        thread::Builder::new().name("tokensocket-read".to_owned()).spawn({
            let waiting = Arc::clone(&waiting);
            move || {
                while let Ok(task) = todo.recv() {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    task();
                }
            }
        })?;
        Ok(Self { tasks, waiting })
    }

    /// Does it later, or refuses.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Overloaded);
        }
        self.tasks.send(Box::new(task)).map_err(|_| StoreError::Closed)
    }
}
