//! How what waits in line is sent, and what becomes of what the stream would not have.
//!
//! In: the line. Out: frames, in their order, and refusals.

use std::time::Instant;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use bytes::Bytes;
use futures_util::FutureExt;

use super::super::super::error::LinkError;
use super::super::frame::Instance;
use super::super::machine::Machine;
use super::super::streams::refusal;
use super::{Broken, Driver, UNDER_WAY};

impl<M: Machine> Driver<M> {
    /// Sends what waits.
    pub(super) async fn send(&mut self) {
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
                if state.line.sent.is_empty() {
                    self.waits = Instant::now();
                }
                let Some(frame) = state.line.next(UNDER_WAY) else { return };
                (state.line.sent.back().map_or(0, |sent| sent.number), frame)
            };
            self.sent = Instant::now();
            self.publish(here, number, frame).await;
        }
    }

    pub(super) async fn publish(&mut self, here: Instance, number: u64, frame: Bytes) {
        // The client may have no room for it, and has none before it is connected again.
        let sending = match self.shared.link.during(async { Ok(self.streams.send(frame).await) }).await {
            Ok(Ok(kept)) => async move { (here, number, kept.await.map(drop)) }.boxed(),
            Ok(Err(error)) => std::future::ready((here, number, Err(error))).boxed(),
            // It is sent again.
            Err(_) => return,
        };
        self.sending.push(sending);
    }

    /// JetStream has said what became of a frame. One that it took comes back by the log.
    pub(super) fn answered(
        &mut self,
        by: Instance,
        number: u64,
        sent: Result<(), PublishError>,
    ) -> Result<(), Broken> {
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
        self.give_up_stuck();
        self.drop_refused();
        Ok(())
    }

    /// Fails what the stream refused, once all before it has come back, and goes on behind it.
    pub(super) fn drop_refused(&mut self) {
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
}
