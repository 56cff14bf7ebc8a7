//! Follows the log, sends what waits, and tells who waits.
//!
//! ```text
//! connect ──▶ is what was applied still there? ──▶ image, if not ──▶ log up to its end ──▶ what did not come back, again
//!    ▲                                                                                          │
//!    └────────────────────── connection lost, silence, gap ◀── log, line, lease, image ◀────────┘
//! ```
//!
//! In: a line that others fill. Out: the ledger as it grows, outcomes, hints. Ends with the replica.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::super::error::LinkError;
use super::frame::{Entry, Frame, Instance};
use super::ledger::{Image, Ledger, Outcome};
use super::line::Waiting;
use super::machine::{Listener, Machine};
use super::streams::{Applied, Extent, Feed, Found, Streams, refusal};
use super::{LAST, Shared, State};
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
    /// What was applied last, as it came.
    latest: Bytes,
    /// When something was sent last, or came back.
    sent: Instant,
    sending: FuturesUnordered<Sending>,
    /// An image that is being kept.
    keeping: Option<BoxFuture<'static, Result<u64, LinkError>>>,
    /// When an image may be made again, after one that failed.
    rest: Instant,
    /// How many bytes were applied since the last image.
    since: u64,
    /// What was applied is not what the others go on from.
    must_load: bool,
    /// Everything is to be sent again.
    must_send_again: bool,
    was_open: bool,
}

/// What a message of the log asks of its node.
struct Asked<M: Machine> {
    hints: Vec<M::Hint>,
    /// What this instance held when it was ended.
    claims: Option<Vec<M::Command>>,
    must_make_image: bool,
    must_load: bool,
    /// What this holds has been said again.
    is_asserted: bool,
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
            latest: Bytes::new(),
            sent: Instant::now(),
            sending: FuturesUnordered::new(),
            keeping: None,
            rest: Instant::now(),
            since: 0,
            must_load: false,
            must_send_again: false,
            was_open: false,
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

    /// Tells who waits that it is not known what comes of it.
    fn give_up(&self) {
        let given_up = self.shared.state.lock().line.give_up();
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
            if tokio::time::timeout(link.options.timeout, link.returned()).await.is_err() {
                self.give_up();
                link.returned().await;
            }
        }
        let mut standing = link.standing();
        let begun = *standing.borrow_and_update();
        self.streams.make().await?;
        let mut feed = self.resume().await?;
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

    /// Brings the ledger to the end of the log, as it was when this began.
    async fn resume(&mut self) -> Result<Feed, Broken> {
        let mut extent = self.streams.extent().await?;
        let (place, is_first) = {
            let state = self.shared.state.lock();
            (state.ledger.place, !self.was_open)
        };
        let mut stands = if is_first || self.must_load {
            Applied::Passed
        } else {
            self.streams.look(place, &self.latest, extent).await?
        };
        let mut before = None;
        if stands != Applied::There {
            let (ledger, is_lost) = self.load(&mut extent).await?;
            if is_lost {
                stands = Applied::Lost;
            }
            before = Some(self.replace(ledger));
            self.must_load = false;
        }
        let from = self.shared.state.lock().ledger.place + 1;
        let mut feed = self.streams.feed(from).await?;
        while self.shared.state.lock().ledger.place < extent.last {
            let next = tokio::time::timeout(AGAIN, feed.next()).await.map_err(|_| Broken::Silent)?;
            let (place, payload) = next?;
            self.applied(place, payload)?;
        }
        self.opened(stands, before, is_first);
        Ok(feed)
    }

    /// The ledger of the latest image, or an empty one, and whether it is not what the log goes on from, so that
    /// something is lost.
    async fn load(&mut self, extent: &mut Extent) -> Result<(Ledger<M>, bool), Broken> {
        let mut is_lost = false;
        for _ in 0..5 {
            let (ledger, revision) = match self.streams.image().await? {
                Some(found) => {
                    let Found { revision, place, era, text } = found;
                    let reading =
                        tokio::task::spawn_blocking(move || serde_json::from_slice::<Image<M::Image>>(&text));
                    let read = reading.await.map_err(|error| Broken::Content(error.to_string()))?;
                    let image = read.map_err(|error| Broken::Content(error.to_string()))?;
                    (Ledger::from_image(image, place, era), revision)
                }
                None => (Ledger::new(), 0),
            };
            *extent = self.streams.extent().await?;
            tracing::debug!(place = ledger.place, ?extent, revision, "loading");
            if ledger.place > extent.last {
                // The log ends before the image does. All nodes must go on from the same place.
                tracing::error!(
                    "the log of what nodes share has lost its end: going on from the latest image"
                );
                self.streams.rebase(revision, extent.last).await?;
                is_lost = true;
            } else if extent.first <= ledger.place + 1 {
                return Ok((ledger, is_lost));
            } else if self.streams.revision().await? == revision {
                tracing::error!(
                    "the log of what nodes share has lost its beginning: going on with what there is"
                );
                let mut empty = Ledger::<M>::new();
                (empty.place, empty.era) = (extent.first - 1, rand::random::<u32>().into());
                let text =
                    serde_json::to_vec(&empty.image()).map_err(|error| Broken::Content(error.to_string()))?;
                self.streams.keep_over(revision, empty.place, empty.era, text.into()).await?;
                is_lost = true;
            }
            // Else another image was kept meanwhile, and then the log purged.
        }
        Err(Broken::Content("the log begins behind the latest image".to_owned()))
    }

    /// Goes on with another ledger. Returns the one before.
    fn replace(&mut self, ledger: Ledger<M>) -> Ledger<M> {
        self.since = 0;
        if self.keeping.take().is_some() {
            self.shared.enter_surely(&Entry::Failed);
        }
        let (before, passed) = {
            let mut state = self.shared.state.lock();
            let taken = ledger.taken(state.line.here).unwrap_or_default();
            state.is_loaded = false;
            let before = std::mem::replace(&mut state.ledger, ledger);
            (before, state.line.passed(taken))
        };
        for waiting in passed {
            match waiting {
                Waiting::Read(read) => read(Ok(&self.shared.state.lock().ledger.machine)),
                // It was done, and nobody here saw what came of it.
                waiting => waiting.fail(&StoreError::Timeout),
            }
        }
        before
    }

    /// The ledger is at the end of the log.
    fn opened(&mut self, stands: Applied, before: Option<Ledger<M>>, is_first: bool) {
        let mut state = self.shared.state.lock();
        let State { ledger, line, is_loaded, refusing, heard } = &mut *state;
        let now = Instant::now();
        heard.clear();
        heard.extend(ledger.instances().map(|(who, _)| (who, now)));
        *is_loaded = true;
        *refusing = None;
        // As whom it was known before, and is no more.
        let over = line.known().filter(|known| ledger.taken(*known).is_none());
        if is_first {
            self.was_open = true;
            let mut first = Vec::new();
            if stands == Applied::Lost {
                first.extend(lost::<M::Command>(ledger.era));
            }
            first.extend(texts((self.opening)(&ledger.machine)));
            line.begin_again(line.here, first);
        } else if let Some(before) = before
            && let Some(known) = if stands == Applied::Lost { line.known() } else { over }
        {
            let mut first = Vec::new();
            if stands == Applied::Lost {
                let end = Entry::<M::Command>::End { who: known, heard: None, now: Timestamp::now() };
                first.extend(serde_json::to_vec(&end).ok());
                first.extend(lost::<M::Command>(ledger.era));
                first.extend(texts((self.opening)(&ledger.machine)));
                tracing::error!(
                    "NATS has lost a part of what nodes share: whoever may miss something is told"
                );
            }
            first.extend(texts(before.machine.claims(known)));
            line.begin_again(rand::random(), first);
        }
        self.must_send_again = true;
        for read in line.idle_reads() {
            if let Waiting::Read(read) = read {
                read(Ok(&ledger.machine));
            }
        }
        drop(state);
        if !is_first {
            self.listener.gap();
        }
    }

    /// A message of the log has come.
    fn applied(&mut self, place: u64, payload: Bytes) -> Result<(), Broken> {
        let frame =
            Frame::<M::Command>::read(&payload).map_err(|error| Broken::Content(error.to_string()))?;
        let mut asked = Asked::<M> {
            hints: Vec::new(),
            claims: None,
            must_make_image: false,
            must_load: false,
            is_asserted: false,
        };
        let mut image = None;
        let is_own;
        {
            let mut state = self.shared.state.lock();
            if place <= state.ledger.place {
                return Ok(());
            }
            if place != state.ledger.place + 1 {
                return Err(Broken::Gap);
            }
            state.heard.insert(frame.instance, Instant::now());
            is_own = frame.instance == state.line.here;
            if is_own {
                self.sent = Instant::now();
            }
            apply(&mut state, frame, place, &mut asked);
            if state.heard.len() > 1024 {
                let State { ledger, heard, .. } = &mut *state;
                heard.retain(|who, _| ledger.taken(*who).is_some());
            }
            if asked.must_make_image && self.keeping.is_none() {
                image = Some(state.ledger.image());
            }
            if let Some(claims) = asked.claims.take() {
                tracing::warn!("this node was taken for dead: it says again what it holds");
                state.line.begin_again(rand::random(), texts(claims));
                self.must_send_again = true;
                // Another node may make an image now.
                self.keeping = None;
            }
        }
        self.since += payload.len() as u64;
        self.latest = payload;
        if is_own {
            self.drop_refused();
        }
        if let Some(image) = image {
            self.keep(image);
        }
        if !asked.hints.is_empty() {
            self.listener.hear(asked.hints);
        }
        if asked.is_asserted {
            // Nothing was told of what happened since it was over.
            self.listener.gap();
        }
        if asked.must_load {
            self.must_load = true;
            return Err(Broken::Era);
        }
        Ok(())
    }

    /// Sends what waits.
    async fn send(&mut self) {
        let again = if std::mem::take(&mut self.must_send_again) {
            self.sent = Instant::now();
            let mut state = self.shared.state.lock();
            let first = state.line.sent.front().map_or(1, |sent| sent.number);
            (first..).zip(state.line.again()).collect()
        } else {
            Vec::new()
        };
        let here = self.shared.state.lock().line.here;
        for (number, frame) in again {
            self.publish(here, number, frame).await;
        }
        loop {
            let (number, frame) = {
                let mut state = self.shared.state.lock();
                if !state.is_loaded {
                    return;
                }
                let Some(frame) = state.line.next(UNDER_WAY) else { return };
                (state.line.sent.back().map_or(0, |sent| sent.number), frame)
            };
            self.sent = Instant::now();
            self.publish(here, number, frame).await;
        }
    }

    async fn publish(&mut self, here: Instance, number: u64, frame: Bytes) {
        let sending = match self.streams.send(frame).await {
            Ok(kept) => async move { (here, number, kept.await.map(drop)) }.boxed(),
            Err(error) => std::future::ready((here, number, Err(error))).boxed(),
        };
        self.sending.push(sending);
    }

    /// JetStream has said what became of a frame. One that it took comes back by the log.
    fn answered(&mut self, by: Instance, number: u64, sent: Result<(), PublishError>) -> Result<(), Broken> {
        let Err(error) = sent else { return Ok(()) };
        if error.kind() == PublishErrorKind::StreamNotFound {
            return Err(LinkError::Nobody.into());
        }
        tracing::debug!(%error, "a frame was not taken");
        let refusal = refusal(&error).filter(|refusal| !refusal.passes());
        if let Some(refusal) = refusal {
            let mut state = self.shared.state.lock();
            if by == state.line.here {
                state.line.refuse(number, refusal.into());
            }
        }
        self.drop_refused();
        Ok(())
    }

    /// Fails what the stream refused, once all before it has come back, and goes on behind it.
    fn drop_refused(&mut self) {
        let mut state = self.shared.state.lock();
        let refused = state.line.refused();
        if refused.is_empty() {
            return;
        }
        state.line.succeed(rand::random());
        drop(state);
        // Another node may make an image once this instance is followed upon.
        self.keeping = None;
        for (batch, error) in refused {
            for waiting in batch {
                waiting.fail(&error);
            }
        }
        self.shared.wake.notify_one();
    }

    /// Does what the time asks for.
    fn tick(&mut self) {
        self.drop_refused();
        let options = &self.shared.options;
        let silent = self.sent.elapsed();
        let mut state = self.shared.state.lock();
        if !state.line.sent.is_empty() {
            if silent >= AGAIN {
                self.must_send_again = true;
            }
        } else if silent >= options.lease / 3 {
            state.line.renew();
        }
        let behind = state.ledger.place.saturating_sub(state.ledger.kept);
        let is_long = behind >= options.image_every || (self.since >= options.image_bytes && behind > 0);
        if is_long && !state.ledger.is_claimed() && self.keeping.is_none() && Instant::now() >= self.rest {
            // Not again before it is known who does it.
            self.rest = Instant::now() + AGAIN;
            drop(state);
            self.shared.enter(&Entry::Claim, Waiting::Nobody);
        }
    }

    fn keep(&mut self, image: Image<M::Image>) {
        let streams = self.streams.clone();
        let (place, era) = {
            let state = self.shared.state.lock();
            (state.ledger.place, state.ledger.era)
        };
        self.keeping = Some(
            async move {
                let writing = tokio::task::spawn_blocking(move || serde_json::to_vec(&image));
                let written = writing.await.map_err(|error| LinkError::Answer(error.to_string()))?;
                let text = written.map_err(|error| LinkError::Answer(error.to_string()))?;
                let bytes = text.len();
                streams.keep(place, era, text.into()).await?;
                tracing::debug!(place, bytes, "an image of what nodes share is kept");
                Ok(place)
            }
            .boxed(),
        );
        self.since = 0;
    }

    fn kept(&mut self, kept: Result<u64, LinkError>) {
        let entry: Entry<M::Command> = match kept {
            Ok(place) => Entry::Kept { place },
            Err(error) => {
                tracing::warn!(%error, "no image of what nodes share was kept: trying again later");
                self.rest = Instant::now() + Duration::from_secs(30);
                Entry::Failed
            }
        };
        self.shared.enter_surely(&entry);
    }
}

/// Does what a frame says, and tells who waits for it.
fn apply<M: Machine>(state: &mut State<M>, frame: Frame<M::Command>, place: u64, asked: &mut Asked<M>) {
    let State { ledger, line, .. } = state;
    let Frame { instance, succeeds, number, entries } = frame;
    if !ledger.take(instance, number, succeeds, place) {
        return;
    }
    let mut waiting = VecDeque::new();
    if instance == line.here {
        waiting = line.came_back(number);
        asked.is_asserted = line.taken(number);
    }
    // Until its first frame is taken, what this holds is held by the one before.
    let here = line.known().unwrap_or(line.here);
    for entry in entries {
        while let Some(Waiting::Read(_)) = waiting.front() {
            read_front(&mut waiting, &ledger.machine);
        }
        let claims = match &entry {
            Entry::End { who, .. } if *who == here && ledger.taken(here).is_some() => {
                Some(ledger.machine.claims(here))
            }
            _ => None,
        };
        if let Entry::Lost { era, .. } = &entry
            && *era != ledger.era
        {
            asked.must_load = true;
        }
        let outcome = ledger.apply(instance, entry, here, &mut asked.hints);
        if let (Outcome::Ended(Some(_)), Some(claims)) = (&outcome, claims) {
            asked.claims = Some(claims);
        }
        if matches!(outcome, Outcome::Claimed(true)) && instance == here {
            asked.must_make_image = true;
        }
        if let Some(Waiting::Entry(tell) | Waiting::Patient(tell)) = waiting.pop_front() {
            tell(Ok(outcome));
        }
    }
    while !waiting.is_empty() {
        read_front(&mut waiting, &ledger.machine);
    }
}

fn read_front<M: Machine>(waiting: &mut VecDeque<Waiting<M>>, machine: &M) {
    match waiting.pop_front() {
        Some(Waiting::Read(read)) => read(Ok(machine)),
        // More waited than the frame holds.
        Some(waiting) => waiting.fail(&StoreError::Timeout),
        None => {}
    }
}

fn lost<C: serde::Serialize>(era: u64) -> Option<Vec<u8>> {
    serde_json::to_vec(&Entry::<C>::Lost { seed: rand::random(), era }).ok()
}

fn texts<C: serde::Serialize>(commands: Vec<C>) -> Vec<Vec<u8>> {
    commands.into_iter().filter_map(|command| serde_json::to_vec(&Entry::Do(command)).ok()).collect()
}
