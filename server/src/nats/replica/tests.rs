//! Instances, their lines and their ledgers over a log that loses what is under way, keeps it late or twice, and refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it does not expect"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::frame::{Entry, Frame, Instance};
use super::ledger::{Image, Ledger, Outcome};
use super::line::{Line, Waiting};
use super::machine::Machine;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// Notes who did what, in its order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Notes {
    done: Vec<(Instance, u32)>,
    held: BTreeMap<Instance, u32>,
}

impl Machine for Notes {
    type Command = u32;
    type Output = usize;
    type Hint = ();
    type Image = (Vec<(Instance, u32)>, BTreeMap<Instance, u32>);

    fn empty() -> Self {
        Self::default()
    }

    fn apply(&mut self, by: Instance, command: u32, _: Instance, _: &mut Vec<()>) -> usize {
        self.done.push((by, command));
        *self.held.entry(by).or_default() += 1;
        self.done.len()
    }

    fn end(&mut self, who: Instance, _: Timestamp) -> usize {
        self.held.remove(&who).unwrap_or_default() as usize
    }

    fn succeed(&mut self, before: Instance, by: Instance) {
        if let Some(held) = self.held.remove(&before) {
            self.held.insert(by, held);
        }
    }

    fn lost(&mut self, _: u64, _: Instance, _: &mut Vec<()>) {}

    fn claims(&self, _: Instance) -> Vec<u32> {
        Vec::new()
    }

    fn image(&self) -> Self::Image {
        (self.done.clone(), self.held.clone())
    }

    fn from_image((done, held): Self::Image) -> Self {
        Self { done, held }
    }
}

/// What came of a call, once it is known.
type Told = Arc<Mutex<Vec<(u32, Result<usize, StoreError>)>>>;

struct Node {
    line: Line<Notes>,
    ledger: Ledger<Notes>,
    told: Told,
    called: u32,
    /// Frames that are on their way to the log.
    under_way: Vec<Bytes>,
}

impl Node {
    fn new(number: u64) -> Self {
        Self {
            line: Line::new(number * 1000),
            ledger: Ledger::new(),
            told: Told::default(),
            called: 0,
            under_way: Vec::new(),
        }
    }

    fn call(&mut self) {
        self.called += 1;
        let (number, told) = (self.called, Arc::clone(&self.told));
        let text = serde_json::to_vec(&Entry::Do(number)).unwrap();
        let tell = Box::new(move |outcome: Result<Outcome<Notes>, StoreError>| {
            let output = outcome.map(|outcome| match outcome {
                Outcome::Done(output) => output,
                other => panic!("{other:?}"),
            });
            told.lock().push((number, output));
        });
        self.line.push(&text, Waiting::Entry(tell));
    }

    fn drop_refused(&mut self) {
        let refused = self.line.refused();
        if !refused.is_empty() {
            self.line.succeed(self.line.here + 1);
        }
        for (batch, error) in refused {
            for waiting in batch {
                waiting.fail(&error);
            }
        }
    }

    /// Reads what the log holds.
    fn hear(&mut self, log: &[Bytes]) {
        for text in &log[usize::try_from(self.ledger.place).unwrap()..] {
            let place = self.ledger.place + 1;
            let frame = Frame::<u32>::read(text).unwrap();
            let here = self.line.here;
            if !self.ledger.take(frame.instance, frame.number, frame.succeeds, place) {
                continue;
            }
            let mut waiting = std::collections::VecDeque::new();
            if frame.instance == here {
                waiting = self.line.came_back(frame.number);
                self.line.taken(frame.number);
            }
            for entry in frame.entries {
                let outcome = self.ledger.apply(frame.instance, entry, here, &mut Vec::new());
                if let Some(Waiting::Entry(tell)) = waiting.pop_front() {
                    tell(Ok(outcome));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_call_is_done_once_and_in_order_whatever_the_network_does(
        steps in proptest::collection::vec((0_u8..8, 0_usize..2, any::<u16>()), 0..200),
    ) {
        let mut nodes = [Node::new(1), Node::new(2)];
        let mut log: Vec<Bytes> = Vec::new();
        for (step, which, chance) in steps {
            let chance = usize::from(chance);
            let node = &mut nodes[which];
            match step {
                0 | 1 => node.call(),
                2 => {
                    let next = node.line.next(4);
                    node.under_way.extend(next);
                }
                // The log takes the first that is under way: the rest is behind it, on the same connection.
                3 | 4 if !node.under_way.is_empty() => log.push(node.under_way.remove(0)),
                // The connection is lost, with what was under way, or only with the answer.
                5 => {
                    let kept = chance % (node.under_way.len() + 1);
                    log.extend(node.under_way.drain(..kept));
                    node.under_way.clear();
                    node.under_way = node.line.again();
                }
                // An image in place of everything heard so far.
                6 => {
                    let (place, era) = (node.ledger.place, node.ledger.era);
                    let text = serde_json::to_vec(&node.ledger.image()).unwrap();
                    let image: Image<_> = serde_json::from_slice(&text).unwrap();
                    node.ledger = Ledger::from_image(image, place, era);
                }
                // The log refuses the first that was sent, before it was sent again.
                7 if !node.under_way.is_empty() && chance % 4 == 0 => {
                    let refused = node.under_way.remove(0);
                    let frame = Frame::<u32>::read(&refused).unwrap();
                    if frame.instance == node.line.here {
                        node.line.refuse(frame.number, StoreError::DiskFull);
                    }
                }
                _ => node.hear(&log),
            }
            node.drop_refused();
        }
        // In the end all is well.
        for _ in 0..3 {
            for node in &mut nodes {
                node.hear(&log);
                node.drop_refused();
                log.append(&mut node.under_way);
                log.extend(node.line.again());
                while let Some(next) = node.line.next(usize::MAX) {
                    log.push(next);
                }
            }
            for node in &mut nodes {
                node.hear(&log);
            }
        }
        prop_assert_eq!(&nodes[0].ledger.machine, &nodes[1].ledger.machine);
        for (node, first) in nodes.iter().zip([1000, 2000]) {
            prop_assert!(node.line.is_empty());
            let told = node.told.lock();
            prop_assert_eq!(told.len(), node.called as usize, "each call is answered once");
            let is_own = |by: &Instance| (first..first + 1000).contains(by);
            let done: Vec<u32> =
                node.ledger.machine.done.iter().filter(|(by, _)| is_own(by)).map(|(_, number)| *number).collect();
            let accepted: Vec<u32> =
                (1..=node.called).filter(|call| told.iter().any(|(number, told)| number == call && told.is_ok())).collect();
            prop_assert_eq!(&done, &accepted, "in their order, and nothing that was refused");
            for (number, told) in told.iter() {
                if let Ok(place) = told {
                    prop_assert_eq!(node.ledger.machine.done[place - 1].1, *number, "as it was answered");
                }
            }
            let holders = node.ledger.machine.held.keys().filter(|by| is_own(by)).count();
            prop_assert!(holders <= 1, "a successor holds what the one before held");
        }
    }
}

#[test]
fn what_is_said_to_be_silent_is_ended_by_the_first_only() {
    let mut ledger = Ledger::<Notes>::new();
    assert!(ledger.take(1, 1, None, 1));
    let end = |heard| Entry::End { who: 1, heard: Some(heard), now: Timestamp(0) };
    let mut say = |by: Instance, place: u64, entry| {
        assert!(ledger.take(by, place, None, place) || by != 1);
        match ledger.apply(by, entry, by, &mut Vec::new()) {
            Outcome::Ended(ended) => ended.is_some(),
            other => panic!("{other:?}"),
        }
    };
    assert!(!say(2, 2, end(0)), "something came of it since");
    assert!(say(2, 3, end(1)));
    assert!(!say(3, 4, end(1)), "once");
    assert!(!ledger.take(1, 2, None, 5), "what comes late of it is not taken");
    assert!(!ledger.take(1, 1, None, 6));
}

#[test]
fn whoever_has_no_patience_is_told_and_it_is_done_all_the_same() {
    let mut node = Node::new(1);
    node.call();
    let frame = node.line.next(1).unwrap();
    node.call();
    for waiting in node.line.give_up(false) {
        waiting.fail(&StoreError::Timeout);
    }
    let mut log = vec![frame];
    node.hear(&log);
    log.extend(node.line.next(1));
    node.hear(&log);
    assert_eq!(*node.told.lock(), [(1, Err(StoreError::Timeout)), (2, Err(StoreError::Timeout))]);
    assert_eq!(node.ledger.machine.done, [(1000, 1), (1000, 2)]);
    assert_eq!((node.line.calls(), node.line.bytes(), node.line.is_empty()), (0, 0, true));
}

#[test]
fn whoever_waits_for_what_the_log_may_have_and_refuses_is_told() {
    let mut node = Node::new(1);
    node.call();
    let first = node.line.next(8).unwrap();
    // It is not known what became of it; sent again, it is refused, and what is behind it is not sent.
    assert_eq!(node.line.again().len(), 1);
    node.call();
    let second = node.line.next(8).unwrap();
    assert!(!node.line.is_stuck());
    node.line.refuse(1, StoreError::DiskFull);
    node.line.refuse(2, StoreError::DiskFull);
    node.drop_refused();
    node.call();
    assert!(node.line.is_stuck() && node.line.next(8).is_none());
    for waiting in node.line.give_up(false) {
        waiting.fail(&StoreError::Timeout);
    }
    assert_eq!(*node.told.lock(), [1, 2, 3].map(|number| (number, Err(StoreError::Timeout))));
    // There is room again: all goes on, but for what the log refused for certain.
    drop(second);
    let mut log = vec![first];
    node.hear(&log);
    assert!(!node.line.is_stuck());
    node.drop_refused();
    node.call();
    while let Some(next) = node.line.next(8) {
        log.push(next);
    }
    node.hear(&log);
    let done: Vec<u32> = node.ledger.machine.done.iter().map(|(_, number)| *number).collect();
    assert_eq!(done, [1, 3, 4]);
    assert_eq!(node.told.lock().last(), Some(&(4, Ok(3))));
    assert!(node.line.is_empty());
}

#[test]
fn what_a_log_takes_back_is_lost_and_what_is_over_is_not() {
    let mut ledger = Ledger::<Notes>::new();
    let copy = |ledger: &Ledger<Notes>| {
        let text = serde_json::to_vec(&ledger.image()).unwrap();
        Ledger::<Notes>::from_image(serde_json::from_slice(&text).unwrap(), ledger.place, ledger.era)
    };
    assert!(ledger.take(1, 1, None, 1) && ledger.take(2, 1, None, 2));
    let early = copy(&ledger);
    assert!(ledger.take(1, 2, None, 3));
    let more = copy(&ledger);
    assert!(!more.has_lost(&early) && early.has_lost(&more), "a frame less of one");
    let end = Entry::End { who: 2, heard: None, now: Timestamp(0) };
    ledger.apply(1, end, 1, &mut Vec::new());
    assert!(ledger.take(3, 1, Some(1), 4));
    assert!(!ledger.has_lost(&early) && !ledger.has_lost(&more), "one has ended, the other has a successor");
    assert!(more.has_lost(&ledger), "nothing of the successor");
    assert!(!ledger.has_lost(&Ledger::new()));
}
