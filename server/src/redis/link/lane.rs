//! A queue of what servers are asked, which keeps its order.
//!
//! ```text
//! submit ─▶ queue ─▶ as much as there is ─▶ dispatcher ─▶ answers ─▶ whoever waits
//!                         ▲                     │
//!                         └── aside: once more ◀┘
//! ```
//!
//! In: work, each for a slot. Out: its outcome. A slot's work is always in one lane, a lane sends nothing before what it
//! sent last was answered, and what has to be sent again holds up what is for its slot, and nothing else: so what is
//! submitted for one slot first is done first. Whatever is submitted meanwhile shares the next round trip.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::item::Item;
use super::task::Task;
use super::work::Work;

/// So many operations share a round trip at most, and so many bytes, about.
pub(super) const MOST_OPERATIONS: usize = 512;
pub(super) const MOST_BYTES: usize = 1 << 20;

/// How long to wait before a server is asked again that could not do it just now, and how much longer for each operation
/// that waits, so that looking at them takes a small part of the time.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_OF_EACH: Duration = Duration::from_micros(1);

/// One lane; it ends when this is dropped, and what waits in it is not done.
pub(super) struct Lane {
    queue: Arc<Queue>,
    _task: Task,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Item>>,
    wake: Notify,
}

/// What was tried and is to be tried again, and what stands behind it for the same slots, in its order.
struct Aside {
    items: Vec<Item>,
    slots: HashSet<usize>,
    due: Instant,
}

impl Lane {
    pub(super) fn begin(dispatcher: Arc<Dispatcher>) -> Self {
        let queue = Arc::new(Queue::default());
        let task = Task::spawn(run(Arc::clone(&queue), dispatcher));
        Self { queue, _task: task }
    }

    /// Puts work behind what is there, or says at once that it will not be done.
    pub(super) fn submit(&self, dispatcher: &Dispatcher, slot: usize, work: Box<dyn Work>) {
        match dispatcher.admit_work(slot, work.as_ref()) {
            Ok((shares, waits)) => {
                let is_held = work.is_admitted() || shares.len() > 1;
                self.queue.waiting.lock().push_back(Item::new(work, slot, shares, waits, is_held));
                self.queue.wake.notify_one();
            }
            Err(error) => work.done(Err(error)),
        }
    }
}

async fn run(queue: Arc<Queue>, dispatcher: Arc<Dispatcher>) {
    let mut aside = Aside { items: Vec::new(), slots: HashSet::new(), due: Instant::now() };
    loop {
        let fresh = if aside.items.is_empty() {
            queue.take().await
        } else {
            tokio::select! {
                biased;
                fresh = queue.take() => fresh,
                () = tokio::time::sleep_until(aside.due) => Vec::new(),
            }
        };
        let free = aside.hold_up(fresh);
        if Instant::now() < aside.due {
            let tried = dispatcher.attempt(free).await;
            aside.add(tried.again.into_iter().chain(tried.left));
        } else {
            let mut items = std::mem::take(&mut aside.items);
            items.extend(free);
            let tried = dispatcher.attempt(items).await;
            aside.slots.clear();
            let is_through = tried.left.is_empty();
            aside.add(tried.again.into_iter().chain(tried.left));
            aside.due = Instant::now();
            if is_through {
                let count = u32::try_from(aside.items.len()).unwrap_or(u32::MAX);
                aside.due += PAUSE + PAUSE_OF_EACH * count;
            }
        }
    }
}

impl Aside {
    /// Keeps what stands behind something that is to be tried again; returns what does not.
    fn hold_up(&mut self, fresh: Vec<Item>) -> Vec<Item> {
        let (behind, free) = fresh.into_iter().partition(|item| self.slots.contains(&item.slot));
        self.items.extend::<Vec<_>>(behind);
        free
    }

    fn add(&mut self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            self.slots.insert(item.slot);
            self.items.push(item);
        }
    }
}

impl Queue {
    async fn take(&self) -> Vec<Item> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                let mut bytes = 0;
                let count = waiting
                    .iter()
                    .take(MOST_OPERATIONS)
                    .take_while(|item| {
                        let fits = bytes < MOST_BYTES;
                        bytes += item.work.bytes();
                        fits
                    })
                    .count();
                if count > 0 {
                    return waiting.drain(..count).collect();
                }
            }
            self.wake.notified().await;
        }
    }
}
