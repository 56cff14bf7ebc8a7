//! What the time asks for: frames again, a lease, an image that lets the log forget what is before it.
//!
//! In: the clock, the ledger. Out: claims, images.

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::super::super::error::LinkError;
use super::super::frame::Entry;
use super::super::ledger::Image;
use super::super::line::Waiting;
use super::super::machine::Machine;
use super::{AGAIN, Driver};

impl<M: Machine> Driver<M> {
    /// Does what the time asks for.
    pub(super) fn tick(&mut self) {
        self.drop_refused();
        self.give_up_stuck();
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

    pub(super) fn keep(&mut self, image: Image<M::Image>) {
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

    pub(super) fn kept(&mut self, kept: Result<u64, LinkError>) {
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
