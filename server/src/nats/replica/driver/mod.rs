//! Follows the log, sends what waits, and tells who waits.
//!
//! ```text
//! connect ──▶ is what was applied still there? ──▶ image, if not ──▶ log up to its end ──▶ what did not come back, again
//!    ▲                                                                                          │
//!    └────────────────────── connection lost, silence, gap ◀── log, line, lease, image ◀────────┘
//! ```
//!
//! In: a line that others fill. Out: the ledger as it grows, outcomes, hints. Ends with the replica.

mod applying;
mod keeping;
mod resuming;
mod sending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::PublishError;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::super::error::LinkError;
use super::frame::{Entry, Instance};
use super::ledger::Ledger;
use super::machine::{Listener, Machine};
use super::streams::Streams;
use super::{LAST, Shared};
use crate::engine::Outage;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// So many frames are under way at once.
const UNDER_WAY: usize = 8;
/// How long a frame may take to come back before it is sent again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often is looked what the time asks for, at most.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait before a try, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Says what is to be done first.
type Opening<M> = Box<dyn Fn(&M) -> Vec<<M as Machine>::Command> + Send + Sync>;
/// What became of a frame that was sent as this instance, by its number.
type Sending = BoxFuture<'static, (Instance, u64, Result<(), PublishError>)>;

/// Why the log is not followed any more.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("a part of the log was not heard")]
    Gap,
    #[error("the log is silent")]
    Silent,
    #[error("the image or the log cannot be used: {0}")]
    Content(String),
    #[error("another node goes on from what NATS has not lost")]
    Era,
}

pub(super) struct Driver<M: Machine> {
    shared: Arc<Shared<M>>,
    streams: Streams,
    listener: Arc<dyn Listener<M>>,
    opening: Opening<M>,
    end: CancellationToken,
    /// What was applied last, as it came; nothing behind an image.
    latest: Option<Bytes>,
    /// When something was sent last, or came back.
    sent: Instant,
    /// Since when nothing has come back of what is under way.
    waits: Instant,
    /// The connection by which the log was followed last.
    connects: u64,
    sending: FuturesUnordered<Sending>,
    /// An image that is being kept.
    keeping: Option<BoxFuture<'static, Result<u64, LinkError>>>,
    /// When an image may be made again, after one that failed.
    rest: Instant,
    /// How many bytes were applied since the last image.
    since: u64,
    /// What was applied is not what the others go on from.
    must_load: bool,
    untold: Untold<M>,
    /// Everything is to be sent again.
    must_send_again: bool,
    was_open: bool,
    /// Since when the log cannot be used, though NATS is there.
    unusable: Option<Instant>,
}

/// What is said once the log is followed again, however many tries that takes.
struct Untold<M: Machine> {
    /// The ledger that was gone on with before another was loaded.
    before: Option<Ledger<M>>,
    is_lost: bool,
}

impl<M: Machine> Driver<M> {
    pub(super) fn new(
        shared: Arc<Shared<M>>,
        streams: Streams,
        listener: Arc<dyn Listener<M>>,
        opening: Opening<M>,
        end: CancellationToken,
    ) -> Self {
        Self {
            shared,
            streams,
            listener,
            opening,
            end,
            latest: None,
            sent: Instant::now(),
            waits: Instant::now(),
            connects: 0,
            sending: FuturesUnordered::new(),
            keeping: None,
            rest: Instant::now(),
            since: 0,
            must_load: false,
            untold: Untold { before: None, is_lost: false },
            must_send_again: false,
            was_open: false,
            unusable: None,
        }
    }

    /// Until the replica is dropped.
    pub(super) async fn run(mut self) {
        let end = self.end.clone();
        let mut pause = PAUSE.0;
        while !end.is_cancelled() {
            let begun = Instant::now();
            let broken = tokio::select! {
                biased;
                () = end.cancelled() => break,
                broken = self.follow() => broken,
            };
            self.refuse(&broken);
            self.give_up_unusable();
            if begun.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            let wait = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            tokio::select! {
                () = end.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
        self.finish().await;
    }

    /// Nothing can be done until the log is followed again.
    fn refuse(&self, broken: &Broken) {
        tracing::warn!(error = %broken, "the shared state of nodes is not followed");
        let why = match broken {
            Broken::Content(_) => broken.to_string(),
            broken => format!("NATS: {broken}"),
        };
        self.shared.state.lock().refusing = Some(StoreError::Unavailable(why));
    }

    /// Tells who waits that it is not known what comes of it; who calls rather waits, if calls are held.
    fn give_up(&self) {
        let holds = matches!(self.shared.outage, Outage::Buffer { .. });
        let given_up = self.shared.state.lock().line.give_up(holds);
        for waiting in given_up {
            waiting.fail(&StoreError::Timeout);
        }
    }

    /// The same, whether calls are held or not, where NATS has been there for as long as an answer may take, and its log could
    /// not be followed: without a quorum, or because of what stands in it. Calls are held for a NATS that is away, and for
    /// nothing else.
    fn give_up_unusable(&mut self) {
        let link = &self.shared.link;
        if !link.is_there() {
            self.unusable = None;
            return;
        }
        if self.unusable.get_or_insert_with(Instant::now).elapsed() < link.options.timeout {
            return;
        }
        let given_up = self.shared.state.lock().line.give_up(false);
        for waiting in given_up {
            waiting.fail(&StoreError::Timeout);
        }
    }

    /// The same where the log is followed and will not have what waits, or nothing of it has come back for as long.
    fn give_up_stuck(&self) {
        let is_late = self.waits.elapsed() >= self.shared.link.options.timeout;
        let given_up = {
            let line = &mut self.shared.state.lock().line;
            if line.is_stuck() || (is_late && !line.sent.is_empty()) {
                line.give_up(false)
            } else {
                Vec::new()
            }
        };
        for waiting in given_up {
            waiting.fail(&StoreError::Timeout);
        }
    }

    /// Says that this instance is over, and lets go whoever waits.
    async fn finish(mut self) {
        let (last, waiting) = {
            let mut state = self.shared.state.lock();
            state.refusing = Some(StoreError::Closed);
            let entry = Entry::<M::Command>::End { who: state.line.here, heard: None, now: Timestamp::now() };
            let last = serde_json::to_vec(&entry).ok().and_then(|entry| state.line.last(&entry));
            (last, state.line.fail_all())
        };
        for waiting in waiting {
            waiting.fail(&StoreError::Closed);
        }
        self.sending.clear();
        let Some(last) = last else { return };
        let saying = async {
            if let Ok(kept) = self.streams.send(last).await {
                let _ = kept.await;
            }
        };
        let _ = tokio::time::timeout(LAST, saying).await;
    }

    async fn follow(&mut self) -> Broken {
        match self.follow_until_broken().await {
            Err(broken) => broken,
            Ok(never) => match never {},
        }
    }

    async fn follow_until_broken(&mut self) -> Result<std::convert::Infallible, Broken> {
        let link = Arc::clone(&self.shared.link);
        if !link.is_there() {
            self.refuse(&LinkError::Away.into());
            while tokio::time::timeout(link.options.timeout, link.returned()).await.is_err() {
                // Each time, since what is asked now waits behind what was under way.
                self.give_up();
            }
        }
        let mut standing = link.standing();
        let begun = *standing.borrow_and_update();
        if std::mem::replace(&mut self.connects, begun.connects) != begun.connects {
            self.waits = Instant::now();
        }
        self.streams.make().await?;
        let mut feed = self.resume().await?;
        self.unusable = None;
        let lease = self.shared.options.lease;
        let mut tick = tokio::time::interval(TICK.min(lease / 6));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.send().await;
            tokio::select! {
                _ = standing.wait_for(|now| now.connects != begun.connects || !now.is_there) => {
                    return Err(LinkError::Unknown.into());
                }
                message = feed.next() => {
                    let (place, payload) = message?;
                    self.applied(place, payload)?;
                }
                Some((instance, number, sent)) = self.sending.next() => self.answered(instance, number, sent)?,
                kept = async { match &mut self.keeping { Some(keeping) => keeping.await, None => std::future::pending().await } } => {
                    self.keeping = None;
                    self.kept(kept);
                }
                () = self.shared.wake.notified() => {}
                _ = tick.tick() => {
                    if feed.is_silent() {
                        return Err(Broken::Silent);
                    }
                    self.tick();
                }
            }
        }
    }
}

fn texts<C: serde::Serialize>(commands: Vec<C>) -> Vec<Vec<u8>> {
    commands.into_iter().filter_map(|command| serde_json::to_vec(&Entry::Do(command)).ok()).collect()
}
