//! How a driver comes to the end of the log: from what it has applied, or from the latest image.
//!
//! In: what was applied last. Out: a ledger at the log's end, and a feed of what comes behind it.

use std::time::Instant;

use super::super::State;
use super::super::feed::Feed;
use super::super::frame::Entry;
use super::super::ledger::{Image, Ledger};
use super::super::line::Waiting;
use super::super::machine::Machine;
use super::super::streams::{Applied, Extent, Found};
use super::{AGAIN, Broken, Driver, texts};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

impl<M: Machine> Driver<M> {
    /// Brings the ledger to the end of the log, as it was when this began.
    pub(super) async fn resume(&mut self) -> Result<Feed, Broken> {
        let (place, is_first) = {
            let state = self.shared.state.lock();
            (state.ledger.place, !self.was_open)
        };
        let mut extent = self.streams.extent_to(place).await?;
        let stands = match &self.latest {
            Some(latest) if !is_first && !self.must_load => self.streams.look(place, latest, extent).await?,
            _ => Applied::Passed,
        };
        self.untold.is_lost |= stands == Applied::Lost;
        let mut revision = None;
        if stands != Applied::There {
            let (ledger, of) = self.load(&mut extent).await?;
            revision = Some(of);
            let before = self.replace(ledger);
            self.untold.before.get_or_insert(before);
            self.must_load = false;
        }
        let from = self.shared.state.lock().ledger.place + 1;
        let mut feed = self.streams.feed(from).await?;
        while self.shared.state.lock().ledger.place < extent.last {
            let applied = match tokio::time::timeout(AGAIN, feed.next()).await {
                Ok(next) => {
                    let (place, payload) = next?;
                    self.applied(place, payload)
                }
                Err(_) => Err(Broken::Silent),
            };
            if let Err(Broken::Gap | Broken::Silent) = applied {
                self.look_for_hole(revision, extent).await?;
            }
            applied?;
        }
        self.opened(is_first);
        Ok(feed)
    }

    /// Where the log has nothing at the next place, all nodes are to go on behind that hole, with what was before it. That is
    /// decided only by a node that began with the latest image, which has this revision.
    async fn look_for_hole(&mut self, revision: Option<u64>, extent: Extent) -> Result<(), Broken> {
        let missing = self.shared.state.lock().ledger.place + 1;
        let place = match self.streams.next_place(missing).await? {
            Some(next) if next == missing => return Ok(()),
            Some(next) => next - 1,
            // A server that has just begun to lead may not know the end of the log yet.
            None if self.streams.extent_to(extent.last).await?.last < extent.last => return Ok(()),
            None if self.streams.next_place(missing).await?.is_some() => return Ok(()),
            None => extent.last,
        };
        // There may be a later image.
        self.must_load = true;
        let Some(revision) = revision else { return Ok(()) };
        if self.streams.revision().await? != revision {
            // There is: what is missing was forgotten because of it.
            return Ok(());
        }
        let image = self.shared.state.lock().ledger.image();
        tracing::error!(missing, place, "the log of what nodes share has a hole: going on behind it");
        let writing = tokio::task::spawn_blocking(move || serde_json::to_vec(&image));
        let written = writing.await.map_err(|error| Broken::Content(error.to_string()))?;
        let text = written.map_err(|error| Broken::Content(error.to_string()))?;
        self.streams.keep_over(revision, place, rand::random::<u32>().into(), text.into()).await?;
        self.untold.is_lost = true;
        Ok(())
    }

    /// The ledger of the latest image, or an empty one. Where it is not what the log goes on from, something is lost.
    /// With it the revision of the image.
    pub(super) async fn load(&mut self, extent: &mut Extent) -> Result<(Ledger<M>, u64), Broken> {
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
            *extent = self.streams.extent_to(ledger.place).await?;
            tracing::debug!(place = ledger.place, ?extent, revision, "loading");
            if ledger.place > extent.last {
                // The log ends before the image does. All nodes must go on from the same place.
                tracing::error!(
                    "the log of what nodes share has lost its end: going on from the latest image"
                );
                self.streams.rebase(revision, extent.last).await?;
                self.untold.is_lost = true;
            } else if extent.first <= ledger.place + 1 {
                return Ok((ledger, revision));
            } else if self.streams.revision().await? == revision {
                tracing::error!(
                    "the log of what nodes share has lost its beginning: going on with what there is"
                );
                let mut empty = Ledger::<M>::new();
                (empty.place, empty.era) = (extent.first - 1, rand::random::<u32>().into());
                let text =
                    serde_json::to_vec(&empty.image()).map_err(|error| Broken::Content(error.to_string()))?;
                self.streams.keep_over(revision, empty.place, empty.era, text.into()).await?;
                self.untold.is_lost = true;
            }
            // Else another image was kept meanwhile, and then the log purged.
        }
        Err(Broken::Content("the log begins behind the latest image".to_owned()))
    }

    /// Goes on with another ledger. Returns the one before.
    pub(super) fn replace(&mut self, ledger: Ledger<M>) -> Ledger<M> {
        self.since = 0;
        // What stands at its place has not come.
        self.latest = None;
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
    pub(super) fn opened(&mut self, is_first: bool) {
        let before = self.untold.before.take();
        let mut state = self.shared.state.lock();
        let State { ledger, line, is_loaded, refusing, heard } = &mut *state;
        // Another node may have found it, and had the log forget where it was to be seen.
        let is_lost = std::mem::take(&mut self.untold.is_lost)
            || before.as_ref().is_some_and(|before| ledger.has_lost(before));
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
            if is_lost {
                first.extend(lost::<M::Command>(ledger.era));
            }
            first.extend(texts((self.opening)(&ledger.machine)));
            line.begin_again(line.here, first);
        } else if let Some(before) = before
            && let Some(known) = if is_lost { line.known() } else { over }
        {
            let mut first = Vec::new();
            if is_lost {
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
}

fn lost<C: serde::Serialize>(era: u64) -> Option<Vec<u8>> {
    serde_json::to_vec(&Entry::<C>::Lost { seed: rand::random(), era }).ok()
}
