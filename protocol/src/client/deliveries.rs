//! What was delivered to this device, and how far the user is with it.
//!
//! In: what the server sends, which may come again on another connection; what the user is done with. Out: what the
//! user was not told yet, and when to acknowledge what.
//!
//! The server sends a queue's entries in the order of their numbers, so that one number tells what was told already;
//! resyncs may overtake each other.
//! Only what was sent on this connection is acknowledged on it: an acknowledgement names no queue, and what an
//! earlier one did not reach comes again.

use std::time::Duration;

use super::event::DeliveryId;
use crate::message::Acknowledge;

/// After how long an acknowledgement that the server could not take is sent again.
const RETRY: Duration = Duration::from_secs(1);
/// How many resyncs that the user is done with are known by their numbers. The server sends one again only until
/// its acknowledgement arrives.
const MAX_HANDLED_RESYNCS: usize = 1024;

/// What the user may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Entry(u64),
    Resync(u64),
}

/// How something came on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    NotYet,
    Alone,
    InBatch(u64),
}

#[derive(Debug)]
struct Open {
    what: What,
    came: Came,
}

#[derive(Debug)]
struct Batch {
    last: u64,
    /// How many of it the user is not done with.
    waiting: usize,
    /// What he is done with, in order.
    done: Vec<u64>,
    /// He gave some of it back, so that it cannot be acknowledged as a whole.
    is_broken: bool,
}

#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The device and the epoch whose numbers these are.
    queue: Option<(String, String)>,
    /// The server greeted us on this connection.
    is_greeted: bool,
    /// The last entry that the user was told.
    last: u64,
    last_id: u64,
    /// In the order of their names.
    open: Vec<(DeliveryId, Open)>,
    /// The entries that the user gave back: they count as not told.
    returned: Vec<u64>,
    /// The one of this connection, until it is acknowledged.
    batch: Option<Batch>,
    /// The resyncs that the user is done with.
    handled_resyncs: Vec<u64>,
    /// The resyncs of this connection that are not acknowledged, in the order in which they came, and whether the
    /// user is done. An acknowledgement covers all that came before.
    resyncs: Vec<(u64, bool)>,
    retries: Vec<Acknowledge>,
    /// What to tell the server now.
    due: Vec<Acknowledge>,
    retry_at: Option<Duration>,
}

/// What to do with something that the server sent.
#[derive(Clone, Copy)]
enum Admission {
    /// Tell the user.
    Tell(DeliveryId),
    /// The user was told, and is not done.
    Wait,
    /// The user is done with it.
    Done,
}

impl Admission {
    fn told(self) -> Option<DeliveryId> {
        match self {
            Self::Tell(id) => Some(id),
            Self::Wait | Self::Done => None,
        }
    }
}

impl Batch {
    fn add_done(&mut self, entry: u64) {
        let index = self.done.partition_point(|other| *other < entry);
        self.done.insert(index, entry);
    }
}

impl Deliveries {
    /// The connection is gone: everything that is not acknowledged comes again.
    pub(super) fn disconnected(&mut self) {
        self.is_greeted = false;
        for (_, open) in &mut self.open {
            open.came = Came::NotYet;
        }
        self.batch = None;
        self.resyncs.clear();
        self.retries.clear();
        self.due.clear();
        self.retry_at = None;
    }

    /// The server says whose entries follow. Those of another queue have nothing to do with what came before.
    pub(super) fn greeted(&mut self, device: &str, epoch: &str) {
        self.is_greeted = true;
        let is_same = self.queue.as_ref().is_some_and(|queue| queue.0 == device && queue.1 == epoch);
        if !is_same {
            self.disconnected();
            self.queue = Some((device.to_owned(), epoch.to_owned()));
            self.is_greeted = true;
            self.last = 0;
            self.open.clear();
            self.returned.clear();
            self.handled_resyncs.clear();
        }
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// What to tell the server now. Ask after everything else. While one waits that the server could not take, so do
    /// those behind it: acknowledged out of order they would look like a loss.
    pub(super) fn take_due(&mut self) -> Vec<Acknowledge> {
        if self.retry_at.is_some() {
            self.retries.append(&mut self.due);
        }
        std::mem::take(&mut self.due)
    }

    /// Something was sent by itself. Gives its name if the user is to be told.
    pub(super) fn admit(&mut self, what: What) -> Option<DeliveryId> {
        let admission = self.admit_as(what, Came::Alone);
        if let Admission::Done = admission {
            match what {
                What::Entry(entry) => self.acknowledge(entry),
                What::Resync(_) => self.acknowledge_resyncs(),
            }
        }
        admission.told()
    }

    /// A batch was sent. [`admit_in_batch`](Self::admit_in_batch) follows for each entry, then
    /// [`batch_is_read`](Self::batch_is_read).
    pub(super) fn begin_batch(&mut self, last: u64) {
        self.batch = Some(Batch { last, waiting: 0, done: Vec::new(), is_broken: false });
    }

    /// An entry of the batch that came last. Gives its name if the user is to be told.
    pub(super) fn admit_in_batch(&mut self, last: u64, entry: u64) -> Option<DeliveryId> {
        let admission = self.admit_as(What::Entry(entry), Came::InBatch(last));
        if let Some(batch) = &mut self.batch {
            match admission {
                Admission::Done => batch.add_done(entry),
                Admission::Tell(_) | Admission::Wait => batch.waiting += 1,
            }
        }
        admission.told()
    }

    pub(super) fn batch_is_read(&mut self, last: u64) {
        // All that was kept is in the batch: what is not will never come again.
        self.returned.retain(|entry| *entry > last);
        self.acknowledge_batch();
    }

    fn admit_as(&mut self, what: What, came: Came) -> Admission {
        let (is_open, is_done) = match what {
            What::Resync(number) => {
                let is_done = self.handled_resyncs.contains(&number);
                self.resyncs.push((number, is_done));
                (!is_done && self.reopen(what, came), is_done)
            }
            What::Entry(entry) if entry > self.last => {
                self.last = entry;
                (false, false)
            }
            What::Entry(entry) => {
                let is_open = self.reopen(what, came);
                let returned = self.returned.iter().position(|returned| *returned == entry);
                if let Some(index) = returned {
                    self.returned.swap_remove(index);
                }
                (is_open, returned.is_none())
            }
        };
        if is_open {
            return Admission::Wait;
        }
        if is_done {
            return Admission::Done;
        }
        self.last_id += 1;
        let id = DeliveryId(self.last_id);
        self.open.push((id, Open { what, came }));
        Admission::Tell(id)
    }

    /// Notes how something came again that the user is not done with. Says whether there is such a thing.
    fn reopen(&mut self, what: What, came: Came) -> bool {
        let open = self.open.iter_mut().find(|(_, open)| open.what == what);
        open.map(|(_, open)| open.came = came).is_some()
    }

    /// The user is done with it, or gives it back.
    pub(super) fn settle(&mut self, id: DeliveryId, is_done: bool) {
        let Ok(index) = self.open.binary_search_by_key(&id, |(id, _)| *id) else { return };
        let (_, Open { what, came }) = self.open.remove(index);
        match what {
            What::Entry(entry) if !is_done => self.returned.push(entry),
            What::Resync(number) if is_done => self.handle_resync(number),
            _ => {}
        }
        match (what, came) {
            (What::Resync(_), Came::Alone) => self.acknowledge_resyncs(),
            (What::Entry(entry), Came::Alone) if is_done => self.acknowledge(entry),
            (What::Entry(entry), Came::InBatch(last)) => {
                if let Some(batch) = self.batch.as_mut().filter(|batch| batch.last == last) {
                    batch.waiting = batch.waiting.saturating_sub(1);
                    if is_done {
                        batch.add_done(entry);
                    } else {
                        batch.is_broken = true;
                    }
                }
                self.acknowledge_batch();
            }
            _ => {}
        }
    }

    /// What the user is done with in a batch goes first: behind a later one of its event it would look like a loss.
    fn acknowledge(&mut self, entry: u64) {
        self.acknowledge_singly();
        self.due.push(Acknowledge::One(entry));
    }

    fn acknowledge_singly(&mut self) {
        if let Some(batch) = &mut self.batch {
            self.due.extend(batch.done.drain(..).map(Acknowledge::One));
        }
    }

    /// Of the batch, if the user is done with it.
    fn acknowledge_batch(&mut self) {
        if let Some(Batch { last, waiting: 0, is_broken, .. }) = self.batch {
            if is_broken {
                self.acknowledge_singly();
            } else {
                self.due.push(Acknowledge::Batch(last));
            }
            self.batch = None;
        }
    }

    fn handle_resync(&mut self, number: u64) {
        if self.handled_resyncs.len() >= MAX_HANDLED_RESYNCS {
            self.handled_resyncs.remove(0);
        }
        self.handled_resyncs.push(number);
        for (other, is_done) in &mut self.resyncs {
            *is_done |= *other == number;
        }
    }

    /// Of the last of the resyncs that the user is done with, if he is done with all that came before it.
    fn acknowledge_resyncs(&mut self) {
        let mut last = None;
        while let Some((number, true)) = self.resyncs.first().copied() {
            self.resyncs.remove(0);
            last = Some(Acknowledge::Resync(number));
        }
        if let Some(last) = last {
            self.due.push(last);
        }
    }

    /// The server could not take it now.
    pub(super) fn retry(&mut self, now: Duration, what: Acknowledge) {
        self.retries.push(what);
        self.pause(now);
    }

    /// The server could not do something now, which is tried again later.
    pub(super) fn pause(&mut self, now: Duration) {
        self.retry_at.get_or_insert(now.saturating_add(RETRY));
    }

    pub(super) fn next_retry(&self) -> Option<Duration> {
        self.retry_at
    }

    /// Whether it is time to try again.
    pub(super) fn retry_due(&mut self, now: Duration) -> bool {
        let is_due = self.retry_at.is_some_and(|at| at <= now);
        if is_due {
            self.retry_at = None;
            self.due.append(&mut self.retries);
        }
        is_due
    }
}
