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
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::dispatcher::{Dispatcher, Tried};
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
        let attempt = move |items| {
            let dispatcher = Arc::clone(&dispatcher);
            async move { dispatcher.attempt(items).await }
        };
        let task = Task::spawn(run(Arc::clone(&queue), attempt));
        Self { queue, _task: task }
    }

    /// Puts work behind what is there, or says at once that it will not be done.
    pub(super) fn submit(&self, dispatcher: &Dispatcher, slot: usize, work: Box<dyn Work>) {
        match dispatcher.admit_work(slot, work) {
            Ok(item) => {
                self.queue.waiting.lock().push_back(item);
                self.queue.wake.notify_one();
            }
            Err((work, error)) => work.done(Err(error)),
        }
    }
}

/// Attempts what is there, each time as much as goes at once, until all of it was tried or stands behind what was.
async fn run<A>(queue: Arc<Queue>, attempt: impl Fn(Vec<Item>) -> A)
where
    A: Future<Output = Tried>,
{
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
        let is_due = Instant::now() >= aside.due;
        let mut next = if is_due { aside.take() } else { Vec::new() };
        next.extend(aside.hold_up(fresh));
        while !next.is_empty() {
            let tried = attempt(next).await;
            aside.add(tried.again);
            next = aside.hold_up(tried.left);
        }
        if is_due {
            let count = u32::try_from(aside.items.len()).unwrap_or(u32::MAX);
            aside.due = Instant::now() + PAUSE + PAUSE_OF_EACH * count;
        }
    }
}

impl Aside {
    /// Keeps what stands behind something that is to be tried again; returns what does not.
    fn hold_up(&mut self, items: Vec<Item>) -> Vec<Item> {
        let (behind, free): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| self.slots.contains(&item.slot));
        let now = Instant::now();
        self.items.extend(behind.into_iter().map(|mut item| {
            item.is_held_up(now);
            item
        }));
        free
    }

    fn take(&mut self) -> Vec<Item> {
        self.slots.clear();
        std::mem::take(&mut self.items)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use ::redis::{Value, cmd};
    use tokio::sync::oneshot;

    use super::*;
    use crate::redis::error::LinkError;
    use crate::redis::link::work::{Again, Call};

    /// The slot that its server cannot do just now, and one that it can.
    const MOVING: usize = 1;
    const WELL: usize = 2;
    const LIMIT: Duration = Duration::from_secs(5);

    /// A server that takes so many operations at once, and which ones it was sent each time.
    #[derive(Default)]
    struct Fake {
        sent: Mutex<Vec<Vec<usize>>>,
        is_moved: AtomicBool,
    }

    impl Fake {
        async fn attempt(self: Arc<Self>, mut items: Vec<Item>) -> Tried {
            let left = items.split_off(items.len().min(MOST_OPERATIONS));
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = Instant::now();
            self.sent.lock().push(items.iter().map(|item| item.work.bytes()).collect());
            let is_moved = self.is_moved.load(Ordering::Relaxed);
            let mut again = Vec::new();
            for mut item in items {
                item.is_tried(now);
                if item.slot == WELL || is_moved {
                    item.end(Ok(Value::Okay));
                } else {
                    item.fail(LinkError::Away("TRYAGAIN".to_owned()));
                    again.extend(item.unless_late(now.checked_sub(LIMIT)));
                }
            }
            Tried { again, left }
        }

        fn passes(&self) -> usize {
            self.sent.lock().len()
        }
    }

    struct Bench {
        queue: Arc<Queue>,
        server: Arc<Fake>,
        _task: Task,
    }

    impl Bench {
        fn start() -> Self {
            let (queue, server) = (Arc::<Queue>::default(), Arc::<Fake>::default());
            let of = Arc::clone(&server);
            let task = Task::spawn(run(Arc::clone(&queue), move |items| Arc::clone(&of).attempt(items)));
            Self { queue, server, _task: task }
        }

        /// Submits the operation of this number.
        fn submit(&self, slot: usize, number: usize) -> oneshot::Receiver<Result<Value, LinkError>> {
            let (told, outcome) = oneshot::channel();
            let work = Call { command: cmd("PING"), bytes: number, again: Again::Safe, waits: false, told };
            let item = Item::new(Box::new(work), slot, None, false, false);
            self.queue.waiting.lock().push_back(item);
            self.queue.wake.notify_one();
            outcome
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_slot_that_cannot_be_done_holds_up_no_other() {
        let bench = Bench::start();
        let moving: Vec<_> = (0..1_500).map(|number| bench.submit(MOVING, number)).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        assert_eq!(bench.submit(WELL, 0).await, Ok(Ok(Value::Okay)));
        assert!(begun.elapsed() < PAUSE, "it waits for nothing: {:?}", begun.elapsed());
        drop(moving);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_left_alone_between_tries() {
        let bench = Bench::start();
        let moving: Vec<_> = (0..1_500).map(|number| bench.submit(MOVING, number)).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let passes = bench.server.passes();
        assert!((10..60).contains(&passes), "once each 20 ms at most: {passes}");
        drop(moving);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_behind_ends_in_time_as_well() {
        let bench = Bench::start();
        let begun = Instant::now();
        for outcome in (0..1_500).map(|number| bench.submit(MOVING, number)).collect::<Vec<_>>() {
            assert!(matches!(outcome.await, Ok(Err(LinkError::Away(_)))));
        }
        assert!(begun.elapsed() < LIMIT + Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_within_a_slot_stays() {
        let bench = Bench::start();
        let mut outcomes: Vec<_> = (0..1_500).map(|number| bench.submit(MOVING, number)).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        outcomes.extend((1_500..1_600).map(|number| bench.submit(MOVING, number)));
        bench.server.is_moved.store(true, Ordering::Relaxed);
        let from = bench.server.passes();
        for outcome in outcomes {
            assert_eq!(outcome.await, Ok(Ok(Value::Okay)));
        }
        let done = bench.server.sent.lock().iter().skip(from).flatten().copied().collect::<Vec<_>>();
        assert_eq!(done, (0..1_600).collect::<Vec<_>>());
    }
}
