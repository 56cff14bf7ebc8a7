//! The one thread that hands publications on, once they are kept.
//!
//! In: publications, in the order in which they were kept. Out: the same to the [`BrokerHandler`], as many at a time
//! as there are, and then to whoever waits for each. Knows neither disk nor history.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use tokio::sync::oneshot;

use crate::broker::{BrokerHandler, Publication};
use crate::store::StoreError;

/// So many may be between their acceptance and the handler.
const MOST: usize = 65_536;
/// So many are handed over at a time.
const BATCH: usize = 1024;

type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// A handle to the thread, which ends with it.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    ready: Sender<(Publication, Waiter, Counted)>,
}

#[derive(Default)]
struct Shared {
    handler: OnceLock<Weak<dyn BrokerHandler>>,
    /// The runtime in which the handler lives, if it does.
    runtime: OnceLock<tokio::runtime::Handle>,
    waiting: AtomicUsize,
}

/// Counts a publication for as long as it is on its way.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of one publication on its way.
pub(super) struct Handing {
    counted: Counted,
    ready: Sender<(Publication, Waiter, Counted)>,
}

impl Handing {
    /// Hands it to the thread, behind those before it.
    pub(super) fn publish(self, publication: Publication, told: Waiter) {
        // A publisher that is gone has nobody to tell.
        let _ = self.ready.send((publication, told, self.counted));
    }
}

impl Publisher {
    pub(super) fn new() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ready, kept) = mpsc::channel();
        thread::Builder::new().name("tokensocket-publish".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &kept)
        })?;
        Ok(Self { shared, ready })
    }

    /// Whom to hand publications to. Once.
    pub(super) fn start(&self, handler: Weak<dyn BrokerHandler>) -> Result<(), ()> {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let _ = self.shared.runtime.set(runtime);
        }
        self.shared.handler.set(handler).map_err(|_| ())
    }

    pub(super) fn handler(&self) -> Option<Arc<dyn BrokerHandler>> {
        self.shared.handler.get().and_then(Weak::upgrade)
    }

    pub(super) fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) < MOST
    }

    pub(super) fn reserve(&self) -> Handing {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        Handing { counted: Counted(Arc::clone(&self.shared)), ready: self.ready.clone() }
    }
}

fn run(shared: &Shared, kept: &Receiver<(Publication, Waiter, Counted)>) {
    let mut publications = Vec::new();
    let mut waiting = Vec::new();
    while let Ok(first) = kept.recv() {
        for (publication, told, counted) in std::iter::once(first).chain(kept.try_iter().take(BATCH)) {
            publications.push(publication);
            waiting.push((told, counted));
        }
        let _runtime = shared.runtime.get().map(tokio::runtime::Handle::enter);
        if let Some(handler) = shared.handler.get().and_then(Weak::upgrade) {
            handler.handle_publications(&publications);
        }
        publications.clear();
        for (told, counted) in waiting.drain(..) {
            let _ = told.send(Ok(()));
            drop(counted);
        }
    }
}
