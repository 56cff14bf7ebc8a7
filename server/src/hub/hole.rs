//! What came behind publications that never did, until those are read.
//!
//! In: publications, as they come. Out: the last of them without a hole of their own. Bounded, on one channel and on all
//! together: what is not held can be read, since whatever a broker brings is in its history by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::track::Missed;

/// How many publications, and bytes of them, are held on one channel.
const MOST: usize = 1024;
const MOST_BYTES: usize = 1 << 20;
/// How many bytes are held on all channels of a node.
const MOST_OF_ALL: usize = 64 << 20;

/// How much is held on all channels of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// Something is missing before these.
#[derive(Debug)]
pub(super) struct Hole {
    /// The offset of the last one that came.
    top: u64,
    /// Up to `top`, without a hole.
    held: VecDeque<Missed>,
    bytes: usize,
    room: Room,
}

impl Hole {
    pub(super) fn new(room: Room) -> Self {
        Self { top: 0, held: VecDeque::new(), bytes: 0, room }
    }

    /// The offset of the last one that came.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// Takes one that came, unless it did before.
    pub(super) fn hold(&mut self, publication: Missed) {
        if publication.offset <= self.top {
            return;
        }
        if publication.offset != self.top + 1 {
            self.forget();
        }
        self.top = publication.offset;
        let bytes = publication.message.as_bytes().len();
        if self.room.0.load(Ordering::Relaxed) + bytes > MOST_OF_ALL {
            return self.forget();
        }
        self.weigh(bytes);
        self.held.push_back(publication);
        while self.held.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.held.pop_front() else { return };
            self.lighten(oldest.message.as_bytes().len());
        }
    }

    /// Takes what is held behind an offset, if it begins right behind it; what is held up to there is forgotten.
    pub(super) fn take_behind(&mut self, offset: u64) -> Option<VecDeque<Missed>> {
        while self.held.front().is_some_and(|oldest| oldest.offset <= offset) {
            let Some(oldest) = self.held.pop_front() else { break };
            self.lighten(oldest.message.as_bytes().len());
        }
        if self.held.front()?.offset != offset + 1 {
            return None;
        }
        self.lighten(self.bytes);
        Some(std::mem::take(&mut self.held))
    }

    /// All that is held.
    pub(super) fn into_held(mut self) -> VecDeque<Missed> {
        std::mem::take(&mut self.held)
    }

    fn forget(&mut self) {
        self.held = VecDeque::new();
        self.lighten(self.bytes);
    }

    fn weigh(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.room.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn lighten(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.room.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        self.lighten(self.bytes);
    }
}
