//! What waits to be sent, and what was sent and has not come back.
//!
//! ```text
//! push ──▶ open ──▶ full ──number──▶ sent ──its frame came back──▶ told
//!            ▲                         │
//!            └── again, renumbered ◀───┘  under another instance
//! ```
//!
//! In: entries, reads. Out: batches in their order, each with who waits for it. Knows no stream. Entries of one batch
//! share one message of the log; reads stand between them and are not sent.

use std::collections::VecDeque;

use bytes::Bytes;

use super::FRAME;
use super::frame::{self, Instance};
use super::ledger::Outcome;
use super::machine::Machine;
use crate::store::StoreError;

/// Waits for what comes of an entry.
pub(super) type Tell<M> = Box<dyn FnOnce(Result<Outcome<M>, StoreError>) + Send>;
/// Looks at the machine.
pub(super) type Read<M> = Box<dyn FnOnce(Result<&M, StoreError>) + Send>;

/// Who waits for a place in a batch.
pub(super) enum Waiting<M: Machine> {
    Entry(Tell<M>),
    /// As the one before, and rather waits for ever than not to know.
    Patient(Tell<M>),
    /// Was told that it will not be known.
    Nobody,
    Read(Read<M>),
}

impl<M: Machine> Waiting<M> {
    /// It will not be known.
    pub(super) fn fail(self, error: &StoreError) {
        match self {
            Self::Entry(tell) | Self::Patient(tell) => tell(Err(error.clone())),
            Self::Nobody => {}
            Self::Read(read) => read(Err(error.clone())),
        }
    }
}

/// Entries that are sent together.
pub(super) struct Batch<M: Machine> {
    entries: Vec<u8>,
    pub(super) waiting: VecDeque<Waiting<M>>,
    /// To be sent, though there may be nothing in it.
    is_due: bool,
}

impl<M: Machine> Batch<M> {
    fn new() -> Self {
        Self { entries: Vec::new(), waiting: VecDeque::new(), is_due: false }
    }

    fn push(&mut self, entry: &[u8], waiting: Waiting<M>) {
        if !self.entries.is_empty() {
            self.entries.push(b',');
        }
        self.entries.extend_from_slice(entry);
        self.waiting.push_back(waiting);
        self.is_due = true;
    }
}

/// A batch under way.
pub(super) struct Sent<M: Machine> {
    pub(super) number: u64,
    pub(super) batch: Batch<M>,
    /// How often it was sent.
    times: u32,
    /// The stream would not have it.
    refused: Option<StoreError>,
}

pub(super) struct Line<M: Machine> {
    /// This instance.
    pub(super) here: Instance,
    /// As whom the ledger knows it: itself, or before its first frame was taken one that it follows upon, if any.
    known: Option<Instance>,
    /// Whom it follows upon.
    succeeds: Option<Instance>,
    /// The number of the frame behind which it has said what it holds.
    asserted: u64,
    next: u64,
    open: Batch<M>,
    full: VecDeque<Batch<M>>,
    pub(super) sent: VecDeque<Sent<M>>,
    calls: usize,
    bytes: usize,
    /// The stream would not have a frame that it may have: nothing behind it is sent before it is known.
    is_stuck: bool,
}

impl<M: Machine> Line<M> {
    pub(super) fn new(here: Instance) -> Self {
        Self {
            here,
            known: None,
            succeeds: None,
            asserted: 0,
            next: 1,
            open: Batch::new(),
            full: VecDeque::new(),
            sent: VecDeque::new(),
            calls: 0,
            bytes: 0,
            is_stuck: false,
        }
    }

    /// Whether it is not to be known soon what becomes of what is in line, though the stream answers.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// How many wait, be it in line or for what was sent.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// How many bytes of entries there are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.full.is_empty() && self.open.waiting.is_empty() && !self.open.is_due
    }

    /// As whom the ledger knows this, if it does.
    pub(super) fn known(&self) -> Option<Instance> {
        self.known
    }

    /// The ledger has taken the own frame of this number. Says whether all that it holds is asserted with that.
    pub(super) fn taken(&mut self, number: u64) -> bool {
        self.known = Some(self.here);
        let is_asserted = number == self.asserted;
        if is_asserted {
            self.asserted = 0;
        }
        is_asserted
    }

    pub(super) fn push(&mut self, entry: &[u8], waiting: Waiting<M>) {
        self.calls += 1;
        self.bytes += entry.len();
        if !self.open.entries.is_empty() && self.open.entries.len() + entry.len() > FRAME {
            self.full.push_back(std::mem::replace(&mut self.open, Batch::new()));
        }
        self.open.push(entry, waiting);
    }

    pub(super) fn push_read(&mut self, read: Read<M>) {
        self.calls += 1;
        let nothing_open = self.open.waiting.is_empty();
        let batch = match (self.full.back_mut(), self.sent.back_mut()) {
            (Some(full), _) if nothing_open => full,
            (None, Some(sent)) if nothing_open => &mut sent.batch,
            _ => &mut self.open,
        };
        batch.waiting.push_back(Waiting::Read(read));
    }

    /// Has something sent, even if there is nothing to say.
    pub(super) fn renew(&mut self) {
        self.open.is_due = true;
    }

    /// The next batch as it is to be sent, if `most` are not under way already.
    pub(super) fn next(&mut self, most: usize) -> Option<Bytes> {
        if self.sent.len() >= most || self.is_stuck {
            return None;
        }
        let batch = match self.full.pop_front() {
            Some(batch) => batch,
            None if self.open.is_due => std::mem::replace(&mut self.open, Batch::new()),
            None => return None,
        };
        let number = self.next;
        self.next += 1;
        self.sent.push_back(Sent { number, batch, times: 1, refused: None });
        self.sent.back().map(|sent| self.text(sent))
    }

    /// What was sent and has not come back, to be sent again: up to the first that the stream would not have, so that
    /// it will not have that for certain.
    pub(super) fn again(&mut self) -> Vec<Bytes> {
        let count = self.sent.iter().take_while(|sent| sent.refused.is_none()).count();
        for sent in self.sent.iter_mut().take(count) {
            sent.times += 1;
        }
        self.sent.iter().take(count).map(|sent| self.text(sent)).collect()
    }

    fn text(&self, sent: &Sent<M>) -> Bytes {
        let succeeds = self.succeeds.filter(|_| sent.number == 1);
        frame::write(self.here, succeeds, sent.number, &sent.batch.entries)
    }

    /// The own frame of this number was taken: who waits for its entries.
    pub(super) fn came_back(&mut self, number: u64) -> VecDeque<Waiting<M>> {
        match self.sent.front() {
            Some(sent) if sent.number == number => {}
            _ => return VecDeque::new(),
        }
        let Some(sent) = self.sent.pop_front() else { return VecDeque::new() };
        self.is_stuck = false;
        self.count_out(&sent.batch);
        sent.batch.waiting
    }

    /// Those whose frames were taken where this node did not see it.
    pub(super) fn passed(&mut self, taken: u64) -> Vec<Waiting<M>> {
        let mut waiting = Vec::new();
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.number <= taken) {
            self.is_stuck = false;
            self.count_out(&sent.batch);
            waiting.extend(sent.batch.waiting);
        }
        waiting
    }

    /// Reads for which nothing has to be sent.
    pub(super) fn idle_reads(&mut self) -> VecDeque<Waiting<M>> {
        if !self.sent.is_empty() || !self.full.is_empty() || self.open.is_due {
            return VecDeque::new();
        }
        let reads = std::mem::take(&mut self.open.waiting);
        self.calls -= reads.len();
        reads
    }

    /// Takes those out that the stream would not have, if all before them have come back.
    pub(super) fn refused(&mut self) -> Vec<(VecDeque<Waiting<M>>, StoreError)> {
        let mut refused = Vec::new();
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.refused.is_some()) {
            self.count_out(&sent.batch);
            refused.push((sent.batch.waiting, sent.refused.unwrap_or(StoreError::Overloaded)));
        }
        refused
    }

    /// Is another instance from now on, which holds what this one does, and says again what did not come back.
    pub(super) fn succeed(&mut self, here: Instance) {
        let known = self.known;
        self.begin_again(here, Vec::new());
        (self.known, self.succeeds) = (known, known);
    }

    /// Is another instance from now on, which says `first` before all else, and then again what did not come back. It
    /// holds nothing but what it asserts by that.
    pub(super) fn begin_again(&mut self, here: Instance, first: Vec<Vec<u8>>) {
        (self.here, self.known, self.succeeds, self.next) = (here, None, None, 1);
        self.is_stuck = false;
        for sent in std::mem::take(&mut self.sent).into_iter().rev() {
            self.full.push_front(sent.batch);
        }
        let mut batches: Vec<Batch<M>> = Vec::new();
        for entry in first {
            self.calls += 1;
            self.bytes += entry.len();
            if let Some(batch) = batches.last_mut().filter(|batch| batch.entries.len() + entry.len() <= FRAME)
            {
                batch.push(&entry, Waiting::Nobody);
            } else {
                let mut batch = Batch::new();
                batch.push(&entry, Waiting::Nobody);
                batches.push(batch);
            }
        }
        self.asserted = batches.len() as u64;
        for batch in batches.into_iter().rev() {
            self.full.push_front(batch);
        }
    }

    /// Notes that the stream would not have a frame. What asserts what this holds is sent until it has it; and of one that
    /// was sent twice the other may stand in the stream: with such a one the line is stuck.
    pub(super) fn refuse(&mut self, number: u64, error: StoreError) {
        let asserted = self.asserted;
        match self.sent.iter_mut().find(|sent| sent.number == number) {
            Some(sent) if number > asserted && sent.times == 1 => sent.refused = Some(error),
            Some(_) => self.is_stuck = true,
            None => {}
        }
    }

    /// This as the last frame of this instance; `None` if nobody knows it.
    pub(super) fn last(&self, entry: &[u8]) -> Option<Bytes> {
        let succeeds = self.succeeds.filter(|_| self.next == 1);
        (self.next > 1 || succeeds.is_some()).then(|| frame::write(self.here, succeeds, self.next, entry))
    }

    /// It has taken too long: who waits without patience is to be told that it is not known; who only reads, if calls are
    /// held. What is in line stays there.
    pub(super) fn give_up(&mut self, holds: bool) -> Vec<Waiting<M>> {
        let sent = self.sent.iter_mut().map(|sent| &mut sent.batch);
        let mut given_up = Vec::new();
        for batch in sent.chain(&mut self.full).chain([&mut self.open]) {
            for waiting in std::mem::take(&mut batch.waiting) {
                match waiting {
                    Waiting::Entry(_) if !holds => {
                        given_up.push(waiting);
                        batch.waiting.push_back(Waiting::Nobody);
                    }
                    Waiting::Read(_) => {
                        self.calls = self.calls.saturating_sub(1);
                        given_up.push(waiting);
                    }
                    waiting => batch.waiting.push_back(waiting),
                }
            }
        }
        given_up
    }

    /// Nobody will answer any more.
    pub(super) fn fail_all(&mut self) -> Vec<Waiting<M>> {
        let mut waiting = Vec::new();
        for sent in std::mem::take(&mut self.sent) {
            waiting.extend(sent.batch.waiting);
        }
        for batch in std::mem::take(&mut self.full) {
            waiting.extend(batch.waiting);
        }
        waiting.extend(std::mem::replace(&mut self.open, Batch::new()).waiting);
        (self.calls, self.bytes) = (0, 0);
        waiting
    }

    fn count_out(&mut self, batch: &Batch<M>) {
        self.calls = self.calls.saturating_sub(batch.waiting.len());
        // Commas are not counted.
        let entries = batch.waiting.iter().filter(|waiting| !matches!(waiting, Waiting::Read(_))).count();
        let bytes = batch.entries.len() - entries.saturating_sub(1).min(batch.entries.len());
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
