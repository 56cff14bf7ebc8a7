//! Publications that may not have come to this node, on channels with history: who reads them, and when.
//!
//! In: gaps of which the broker told, holes that the hub found. Out: reads of the broker's history, some at a time,
//! and what they found to the hub. What a channel's followers are given is `hub/mending.rs`.
//!
//! A hole holds up its channel, so it goes first; and what cannot be read within the `store_timeout` counts as lost.
//! A gap that is not known to be a hole holds up nothing: it is looked into for longer.

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

/// How many channels are read at a time.
const AT_ONCE: usize = 32;
/// How often a channel is read in vain before what is missing counts as lost.
const IN_VAIN: usize = 4;
/// How long a broker that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
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
    /// Since when publications are held.
    holes: HashMap<Channel, Instant>,
    /// The same, oldest first. One that is not in `holes` is mended.
    oldest: VecDeque<(Instant, Channel)>,
    /// A task sees to them.
    is_driven: bool,
}

impl Waiting {
    fn add(&mut self, channel: Channel, since: Instant) {
        if let Entry::Vacant(entry) = self.since.entry(channel.clone()) {
            entry.insert(since);
            self.order.push_back(channel);
        }
    }

    fn add_hole(&mut self, channel: Channel, now: Instant) {
        self.holes.insert(channel.clone(), now);
        self.oldest.push_back((now, channel.clone()));
        // It may stand further behind as well: it is read once.
        self.since.entry(channel.clone()).or_insert(now);
        self.order.push_front(channel);
    }

    fn take(&mut self) -> Option<(Channel, Instant)> {
        loop {
            let channel = self.order.pop_front()?;
            if let Some(since) = self.since.remove(&channel) {
                return Some((channel, since));
            }
        }
    }

    /// When the oldest hole began.
    fn oldest_hole(&mut self) -> Option<Instant> {
        loop {
            let (since, channel) = self.oldest.front()?;
            if self.holes.get(channel) == Some(since) {
                return Some(*since);
            }
            self.oldest.pop_front();
        }
    }

    /// Whether nobody needs to see to them any more, from now on.
    fn is_done(&mut self) -> bool {
        self.is_driven = !(self.since.is_empty() && self.holes.is_empty());
        if !self.is_driven {
            self.order.clear();
            self.oldest.clear();
        }
        !self.is_driven
    }
}

/// A channel whose history could not be read.
struct Failed {
    channel: Channel,
    since: Instant,
    error: BrokerError,
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
        if waiting.is_driven || waiting.since.is_empty() {
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

    async fn mend(&self, channel: Channel, since: Instant) -> Result<(), Failed> {
        // Histories in memory are read at once: others get their turn.
        tokio::task::yield_now().await;
        match self.read_missing(&channel).await {
            Ok(()) => {
                self.mended(&channel);
                Ok(())
            }
            Err(error) => Err(Failed { channel, since, error }),
        }
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
                let Some((_, channel)) = waiting.oldest.pop_front() else { return };
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

    /// A channel could not be read. Says whether it is to be read again.
    fn failed(&self, Failed { channel, since, error }: Failed) -> bool {
        tracing::warn!(%channel, %error, "what did not come on a channel could not be read");
        if since.elapsed() < PATIENCE {
            self.gaps.waiting.lock().add(channel, since);
            return true;
        }
        self.lose(&channel);
        self.mended(&channel);
        false
    }
}

/// Sees to all that wait, then ends.
async fn drive(node: Arc<Node>) {
    let gaps = &node.gaps;
    let mut reading = FuturesUnordered::new();
    let mut pause = PAUSE.0;
    let mut rests_until = None;
    loop {
        while rests_until.is_none() && reading.len() < AT_ONCE {
            let Some((channel, since)) = gaps.waiting.lock().take() else { break };
            reading.push(node.mend(channel, since));
        }
        let oldest = {
            let mut waiting = gaps.waiting.lock();
            if reading.is_empty() && waiting.is_done() {
                return;
            }
            waiting.oldest_hole()
        };
        let until = |at: Option<Instant>| async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(read) = reading.next() => match read {
                Ok(()) => pause = PAUSE.0,
                Err(failed) => {
                    if node.failed(failed) {
                        rests_until = Some(Instant::now() + pause);
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
            },
            () = until(oldest.map(|since| since + node.config.store_timeout)) => node.lose_old_holes(),
            () = until(rests_until) => rests_until = None,
            () = gaps.more.notified() => {}
        }
    }
}
