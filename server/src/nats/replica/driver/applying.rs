//! How a message of the log is applied, and who is told.
//!
//! In: messages, in the log's order. Out: the ledger behind them, outcomes, hints.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::super::State;
use super::super::frame::{Entry, Frame, FrameError};
use super::super::ledger::Outcome;
use super::super::line::Waiting;
use super::super::machine::Machine;
use super::{Broken, Driver, texts};
use crate::store::StoreError;

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
    /// A message of the log has come.
    pub(super) fn applied(&mut self, place: u64, payload: Bytes) -> Result<(), Broken> {
        let frame = match Frame::<M::Command>::read(&payload) {
            Ok(frame) => frame,
            Err(FrameError::Foreign) => return self.passed_over(place, payload),
            Err(error) => return Err(Broken::Content(error.to_string())),
        };
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
                (self.sent, self.waits) = (Instant::now(), Instant::now());
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
        self.latest = Some(payload);
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

    /// Something that nobody of ours has written stands in the log. It says nothing, to all nodes alike.
    fn passed_over(&mut self, place: u64, payload: Bytes) -> Result<(), Broken> {
        {
            let mut state = self.shared.state.lock();
            if place <= state.ledger.place {
                return Ok(());
            }
            if place != state.ledger.place + 1 {
                return Err(Broken::Gap);
            }
            state.ledger.place = place;
        }
        tracing::error!(
            place,
            "something that is no frame stands in the log of what nodes share: passed over"
        );
        self.since += payload.len() as u64;
        self.latest = Some(payload);
        Ok(())
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
