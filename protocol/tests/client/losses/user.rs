//! What the user is told, and what he expects by it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::{CallId, DeliveryId, Event};

use super::server::Server;

/// What comes next on a channel.
#[derive(Debug, Clone, Copy)]
enum Expects {
    /// Whatever it is: he does not follow.
    Anything,
    /// This publication.
    Next(u64),
    /// Something is lost behind the first of these. Up to the second, whatever still comes comes in order; then
    /// nothing is missing.
    After(u64, u64),
}

#[derive(Default)]
pub(super) struct User {
    calls: BTreeMap<CallId, String>,
    wanted: BTreeSet<String>,
    expects: BTreeMap<String, Expects>,
    /// The number of the last publication before the frame that is being read.
    frame: u64,
    /// The deliveries that he has; a resync has no number.
    open: Vec<(DeliveryId, Option<u64>)>,
    pub(super) handled: BTreeSet<u64>,
    returned: BTreeSet<u64>,
    last_delivery: u64,
    resyncs: u64,
}

impl User {
    pub(super) fn subscribe(&mut self, call: CallId, channel: &str) {
        self.calls.insert(call, channel.to_owned());
        self.wanted.insert(channel.to_owned());
    }

    pub(super) fn unsubscribe(&mut self, channel: &str) {
        self.wanted.remove(channel);
        self.expects.remove(channel);
        // What he asked before counts no more.
        self.calls.retain(|_, other| other != channel);
    }

    pub(super) fn hears(&mut self, message: &Value) {
        if let Some(number) = message["data"]["number"].as_u64() {
            self.frame = number;
        }
    }

    pub(super) fn resolved(&mut self, call: CallId, is_ok: bool) {
        let Some(channel) = self.calls.remove(&call) else { return };
        if is_ok {
            self.expects.entry(channel).or_insert(Expects::Next(self.frame + 1));
        } else if !self.expects.contains_key(&channel) && !self.calls.values().any(|other| *other == channel)
        {
            self.wanted.remove(&channel);
        }
    }

    pub(super) fn told(&mut self, event: Event<RawJson>) {
        match event {
            Event::Message { channel, message } => self.publication(&channel, &message),
            Event::Recovered { channel, publications } => {
                for message in &publications {
                    self.publication(&channel, message);
                }
            }
            Event::Unrecovered { channel } => {
                let frame = self.frame;
                if let Some(expects) = self.expects.get_mut(&channel) {
                    let last = match *expects {
                        Expects::Next(next) => next - 1,
                        Expects::After(last, _) => last,
                        Expects::Anything => 0,
                    };
                    *expects = Expects::After(last, frame);
                }
            }
            Event::SubscriptionLost { channel, .. } => {
                self.wanted.remove(&channel);
                self.expects.remove(&channel);
            }
            Event::Delivery { id, args, .. } => self.delivery(id, args.parse::<(u64,)>().unwrap().0),
            Event::Resync { id, .. } => {
                self.resyncs += 1;
                self.open.push((id, None));
            }
            _ => {}
        }
    }

    fn publication(&mut self, channel: &str, message: &RawJson) {
        let number: u64 = message.parse().unwrap();
        let expects = self.expects.entry(channel.to_owned()).or_insert(Expects::Anything);
        match *expects {
            Expects::Anything => {
                self.expects.remove(channel);
                return;
            }
            Expects::Next(next) => assert_eq!(number, next, "{channel}: lost, or told twice"),
            Expects::After(last, frame) if number <= frame => {
                assert!(number > last, "{channel}: {number} after {last}");
                *expects = Expects::After(number, frame);
                return;
            }
            Expects::After(_, frame) => assert_eq!(number, frame + 1, "{channel}: lost after a gap"),
        }
        *expects = Expects::Next(number + 1);
    }

    fn delivery(&mut self, id: DeliveryId, number: u64) {
        if self.returned.remove(&number) {
            assert!(!self.handled.contains(&number));
        } else {
            assert!(number > self.last_delivery, "{number} after {}", self.last_delivery);
            self.last_delivery = number;
        }
        self.open.push((id, Some(number)));
    }

    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn settle(&mut self, pick: usize, done: bool) -> Option<DeliveryId> {
        if self.open.is_empty() {
            return None;
        }
        let (id, number) = self.open.remove(pick % self.open.len());
        match number {
            Some(number) if done => drop(self.handled.insert(number)),
            Some(number) => drop(self.returned.insert(number)),
            None => {}
        }
        Some(id)
    }

    pub(super) fn check_publications(&self, server: &Server) {
        for channel in &self.wanted {
            let last = server.logs.get(channel).map_or(0, |log| log.last);
            let next = match self.expects.get(channel) {
                // It has no publications of its own.
                _ if channel.ends_with('>') => continue,
                Some(Expects::Next(next)) => *next,
                Some(Expects::After(_, frame)) => frame + 1,
                expects => panic!("{channel} is wanted, and {expects:?}"),
            };
            assert_eq!(next, last + 1, "{channel}: the last was not told");
        }
    }

    pub(super) fn check_deliveries(&self, server: &Server) {
        for number in 1..=server.delivered {
            let is_lost = server.lost.contains(&number);
            assert!(is_lost || self.handled.contains(&number), "{number} was not handled");
        }
        assert!(server.queue.is_empty(), "what is handled is acknowledged: {:?}", server.queue);
        assert!(server.resyncs.is_empty(), "every resync is told and acknowledged");
        assert!(server.lost.is_empty() || self.resyncs > 0);
    }
}
