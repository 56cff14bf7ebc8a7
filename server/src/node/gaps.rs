//! Publications that may not have come to this node, on channels with history: who reads them, and when.
//!
//! In: gaps of which the broker told, holes that the hub found. Out: reads of the broker's history, some at a time,
//! and what they found to the hub. What a channel's followers are given is `hub/mending.rs`.
//!
//! A hole holds up its channel, so it goes first; and what cannot be read within the `store_timeout` counts as lost.
//! A gap that is not known to be a hole holds up nothing: it is looked into for longer. Some of the channels may be kept by
//! a server that is away while the others' are there: so places are kept for holes, which no pause holds up.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokensocket_protocol::Channel;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Node;
use crate::broker::{BrokerError, Gap};
use crate::history::HistoryQuery;

/// How many channels are read at a time; so many of them only with holes.
const AT_ONCE: usize = 32;
const OF_HOLES: usize = 8;
/// How often a channel is read in vain before what is missing counts as lost.
const IN_VAIN: usize = 4;
/// How long a broker that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a channel with a hole is left alone whose history could not be read.
const PAUSE_OF_HOLE: Duration = Duration::from_millis(200);
/// For how long a channel without a hole is tried before its followers are told that something may be missing.
const PATIENCE: Duration = Duration::from_mins(1);

/// The channels of this node of which something may be missing.
#[derive(Default)]
pub(super) struct Gaps {
    /// Where the node runs.
    runtime: OnceLock<Handle>,
    waiting: Mutex<Waiting>,
    /// Told when another waits.
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Who is read next. One that is not in `since` is read already.
    order: VecDeque<Channel>,
    /// Those who wait, and since when something is missing there.
    since: HashMap<Channel, Instant>,
    /// Since when publications are held. What stands elsewhere of another time is of a hole that is mended.
    holes: HashMap<Channel, Instant>,
    /// The same, oldest first.
    oldest: VecDeque<Hole>,
    /// Those that are to be read.
    unread: VecDeque<Hole>,
    /// Those that could not be read, and when they are to be read again.
    again: VecDeque<(Instant, Hole)>,
    /// A task sees to them.
    is_driven: bool,
}

/// A channel on which publications are held, and since when.
#[derive(Clone)]
struct Hole {
    channel: Channel,
    since: Instant,
}

impl Waiting {
    fn add(&mut self, channel: Channel, since: Instant) {
        if let Entry::Vacant(entry) = self.since.entry(channel.clone()) {
            entry.insert(since);
            self.order.push_back(channel);
        }
    }

    fn add_hole(&mut self, channel: Channel, since: Instant) {
        self.holes.insert(channel.clone(), since);
        let hole = Hole { channel, since };
        self.oldest.push_back(hole.clone());
        self.unread.push_back(hole);
    }

    fn take(&mut self) -> Option<(Channel, Instant)> {
        loop {
            let channel = self.order.pop_front()?;
            if let Some(since) = self.since.remove(&channel) {
                return Some((channel, since));
            }
        }
    }

    fn take_hole(&mut self, now: Instant) -> Option<Hole> {
        while self.next_again().is_some_and(|at| at <= now) {
            self.unread.extend(self.again.pop_front().map(|(_, hole)| hole));
        }
        loop {
            let hole = self.unread.pop_front()?;
            if self.is_open(&hole) {
                // That is all that is to be read there.
                self.since.remove(&hole.channel);
                return Some(hole);
            }
        }
    }

    fn is_open(&self, hole: &Hole) -> bool {
        self.holes.get(&hole.channel) == Some(&hole.since)
    }

    /// When a hole that could not be read is to be read again.
    fn next_again(&self) -> Option<Instant> {
        self.again.front().map(|(at, _)| *at)
    }

    /// When the oldest hole began.
    fn oldest_hole(&mut self) -> Option<Instant> {
        loop {
            let oldest = self.oldest.front()?;
            if self.is_open(oldest) {
                return Some(oldest.since);
            }
            self.oldest.pop_front();
        }
    }

    /// Whether nobody needs to see to them any more, from now on.
    fn is_done(&mut self) -> bool {
        let is_done = self.since.is_empty() && self.holes.is_empty();
        if is_done {
            *self = Self::default();
        }
        is_done
    }
}

/// A channel whose history could not be read.
struct Failed {
    what: Reading,
    error: BrokerError,
}

/// A channel whose history is read.
enum Reading {
    /// Something may be missing since then.
    Gap(Channel, Instant),
    Hole(Hole),
}

impl Reading {
    fn channel(&self) -> &Channel {
        let (Self::Gap(channel, _) | Self::Hole(Hole { channel, .. })) = self;
        channel
    }
}

impl Gaps {
    /// Where the node runs, once it does.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }
}

impl Node {
    /// Notes where the node runs: a broker may tell of a gap from anywhere.
    pub(super) fn can_mend(&self) {
        if let Ok(runtime) = Handle::try_current() {
            // The first one is as good as any.
            let _ = self.gaps.runtime.set(runtime);
        }
    }

    /// Publications may not have come.
    pub(super) fn look_into(&self, gap: Gap) {
        self.tell_misses(&gap);
        let channels = match gap {
            Gap::All => self.hub.kept_channels(),
            Gap::Channels(channels) => {
                channels.into_iter().filter(|channel| self.hub.mending(channel).is_some()).collect()
            }
        };
        tracing::info!(
            channels = channels.len(),
            "the broker may have lost publications: reading what is missing"
        );
        let now = Instant::now();
        self.see_to(|waiting| channels.into_iter().for_each(|channel| waiting.add(channel, now)));
    }

    /// Publications are held on a channel, since some before them did not come.
    pub(super) fn hole(&self, channel: &Channel) {
        tracing::debug!(%channel, "publications did not come: reading them");
        self.see_to(|waiting| waiting.add_hole(channel.clone(), Instant::now()));
    }

    fn see_to(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.gaps.waiting.lock();
        add(&mut waiting);
        if waiting.is_driven || waiting.since.is_empty() && waiting.holes.is_empty() {
            drop(waiting);
            return self.gaps.more.notify_one();
        }
        // Nobody follows anything before there is a runtime.
        if let (Some(runtime), Some(node)) = (self.gaps.runtime.get(), self.me.upgrade()) {
            waiting.is_driven = true;
            drop(waiting);
            self.finish_on(runtime, drive(node).boxed());
        }
    }

    async fn mend(&self, what: Reading) -> (bool, Result<(), Failed>) {
        // Histories in memory are read at once: others get their turn.
        tokio::task::yield_now().await;
        let is_hole = matches!(what, Reading::Hole(_));
        let mended = match self.read_missing(what.channel()).await {
            Ok(()) => {
                self.mended(what.channel());
                Ok(())
            }
            Err(error) => Err(Failed { what, error }),
        };
        (is_hole, mended)
    }

    /// Reads what is missing on a channel, and hands it out, until nothing is.
    async fn read_missing(&self, channel: &Channel) -> Result<(), BrokerError> {
        let Some(history) = self.config.channels.history(channel) else { return Ok(()) };
        let mut in_vain = 0;
        loop {
            let Some(mending) = self.hub.mending(channel) else { return Ok(()) };
            let since = mending.seen();
            let limit = since.is_none().then_some(0);
            let page =
                self.read(channel, history, HistoryQuery { since: since.clone(), limit, reverse: false });
            let page = page.await?;
            if !mending.mend(&page, since.as_ref(), &self.access) {
                return Ok(());
            }
            in_vain += usize::from(mending.seen() == since);
            if in_vain == IN_VAIN {
                mending.lose(&self.access);
                return Ok(());
            }
        }
    }

    /// What was missing is there, or lost.
    fn mended(&self, channel: &Channel) {
        let mut waiting = self.gaps.waiting.lock();
        // Looked at while another hole cannot be noted.
        if !self.hub.mending(channel).is_some_and(|mending| mending.has_hole()) {
            waiting.holes.remove(channel);
        }
    }

    /// What could not be read in time is lost to the followers: they are told, and what is held goes on.
    fn lose_old_holes(&self) {
        let now = Instant::now();
        loop {
            let channel = {
                let mut waiting = self.gaps.waiting.lock();
                let Some(since) = waiting.oldest_hole() else { return };
                if now < since + self.config.store_timeout {
                    return;
                }
                let Some(Hole { channel, .. }) = waiting.oldest.pop_front() else { return };
                waiting.holes.remove(&channel);
                channel
            };
            if let Some(mending) = self.hub.mending(&channel) {
                mending.lose_hole(&self.access);
            }
        }
    }

    fn lose(&self, channel: &Channel) {
        if let Some(mending) = self.hub.mending(channel) {
            mending.lose(&self.access);
        }
    }

    /// A channel could not be read. Says whether the broker is to be left alone.
    fn failed(&self, Failed { what, error }: Failed) -> bool {
        tracing::warn!(channel = %what.channel(), %error, "what did not come on a channel could not be read");
        match what {
            Reading::Hole(hole) => {
                // It is lost in time, if it cannot be read by then.
                self.gaps.waiting.lock().again.push_back((Instant::now() + PAUSE_OF_HOLE, hole));
                false
            }
            Reading::Gap(channel, since) if since.elapsed() < PATIENCE => {
                self.gaps.waiting.lock().add(channel, since);
                true
            }
            Reading::Gap(channel, _) => {
                self.lose(&channel);
                self.mended(&channel);
                false
            }
        }
    }
}

/// Sees to all that wait, then ends.
async fn drive(node: Arc<Node>) {
    let gaps = &node.gaps;
    let mut reading = FuturesUnordered::new();
    // Of those that are read.
    let mut holes = 0;
    let mut pause = PAUSE.0;
    let mut rests_until = None;
    loop {
        let (oldest, again) = {
            let mut waiting = gaps.waiting.lock();
            while reading.len() < AT_ONCE
                && let Some(hole) = waiting.take_hole(Instant::now())
            {
                holes += 1;
                reading.push(node.mend(Reading::Hole(hole)));
            }
            while rests_until.is_none()
                && reading.len() < AT_ONCE
                && reading.len() - holes < AT_ONCE - OF_HOLES
                && let Some((channel, since)) = waiting.take()
            {
                reading.push(node.mend(Reading::Gap(channel, since)));
            }
            if reading.is_empty() && waiting.is_done() {
                return;
            }
            (waiting.oldest_hole(), waiting.next_again().filter(|_| reading.len() < AT_ONCE))
        };
        let until = |at: Option<Instant>| async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((is_hole, mended)) = reading.next() => {
                holes -= usize::from(is_hole);
                match mended {
                    Ok(()) if is_hole => {}
                    Ok(()) => pause = PAUSE.0,
                    // Those that fail together are one failure.
                    Err(failed) => if node.failed(failed) && rests_until.is_none() {
                        rests_until = Some(Instant::now() + pause);
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
            }
            () = until(oldest.map(|since| since + node.config.store_timeout)) => node.lose_old_holes(),
            () = until(again) => {}
            () = until(rests_until) => rests_until = None,
            () = gaps.more.notified() => {}
        }
    }
}
