//! Questions of this node that others have not answered yet.
//!
//! In: whom is asked, answers, nodes that are gone. Out: the answers, to whoever waits. Who stops waiting leaves
//! nothing behind, and is waited for by nobody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokensocket_protocol::RawJson;
use tokio::sync::mpsc;

use super::message::{Failure, Message, Reply};
use crate::node::Node;
use crate::node_id::NodeId;

/// How many questions may wait for answers.
const MOST: usize = 16_384;
/// How many bytes of answers may wait to be looked at. What comes beyond that is as if it had not come.
const MOST_BYTES: usize = 64 << 20;

/// All that were asked.
#[derive(Debug, Default)]
pub(super) struct Asks {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// Of answers that wait.
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Open {
    /// Who has not answered.
    silent: HashSet<NodeId>,
    /// As many messages as there were nodes to be asked.
    answers: mpsc::UnboundedSender<(NodeId, Heard)>,
}

/// What became of a question at one node.
#[derive(Debug)]
pub(super) enum Heard {
    Answer(Waiting),
    /// The node is gone.
    Gone,
}

/// An answer that counts as long as it waits.
#[derive(Debug)]
pub(super) struct Waiting {
    reply: RawJson,
    bytes: Arc<AtomicUsize>,
}

impl Waiting {
    pub(super) fn read(&self) -> Result<RawJson, Failure> {
        Reply::read(&self.reply)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.reply.as_bytes().len(), Ordering::Relaxed);
    }
}

impl Asks {
    /// Notes a question to some nodes; `None` when too many are open.
    fn open(&self, silent: HashSet<NodeId>) -> Option<(u64, mpsc::UnboundedReceiver<(NodeId, Heard)>)> {
        let mut open = self.open.lock();
        if open.len() >= MOST {
            return None;
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (answers, waiting) = mpsc::unbounded_channel();
        open.insert(number, Open { silent, answers });
        Some((number, waiting))
    }

    /// A node answers.
    pub(super) fn answer(&self, from: NodeId, number: u64, reply: RawJson) {
        let mut open = self.open.lock();
        // It may have taken too long, or come twice.
        let Some(ask) = open.get_mut(&number) else { return };
        let bytes = reply.as_bytes().len();
        if !ask.silent.contains(&from) || self.bytes.load(Ordering::Relaxed) + bytes > MOST_BYTES {
            return;
        }
        ask.silent.remove(&from);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Waiting { reply, bytes: Arc::clone(&self.bytes) };
        let _ = ask.answers.send((from, Heard::Answer(waiting)));
    }

    /// A node will answer nothing any more.
    pub(super) fn end(&self, node: NodeId) {
        for ask in self.open.lock().values_mut() {
            if ask.silent.remove(&node) {
                let _ = ask.answers.send((node, Heard::Gone));
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.open.lock().len()
    }
}

/// A question that is under way. Dropped, it is taken back from who has not answered, where that helps.
pub(super) struct Asking {
    node: Arc<Node>,
    number: u64,
    answers: mpsc::UnboundedReceiver<(NodeId, Heard)>,
    /// How many are still to come.
    left: usize,
    is_cancelled: bool,
}

impl Asking {
    /// Notes a question to these nodes; `None` when too many are open. `cancels`: who stops waiting tells them.
    pub(super) fn of(node: &Arc<Node>, to: impl IntoIterator<Item = NodeId>, cancels: bool) -> Option<Self> {
        let silent: HashSet<NodeId> = to.into_iter().collect();
        let left = silent.len();
        let (number, answers) = node.peers.asks.open(silent)?;
        Some(Self { node: Arc::clone(node), number, answers, left, is_cancelled: cancels })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What the next node answers; `None` when all have.
    pub(super) async fn next(&mut self) -> Option<(NodeId, Heard)> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.answers.recv().await
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let open = self.node.peers.asks.open.lock().remove(&self.number);
        if !self.is_cancelled {
            return;
        }
        for silent in open.into_iter().flat_map(|open| open.silent) {
            let cancel = Some(self.number);
            self.node.tell_node(silent, &Message { cancel, ..Message::of(self.node.id) });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn nodes(numbers: &[u64]) -> HashSet<NodeId> {
        numbers.iter().map(|number| NodeId::from_number(*number)).collect()
    }

    #[test]
    fn each_node_is_heard_once_and_a_stranger_never() {
        let asks = Asks::default();
        let (number, mut answers) = asks.open(nodes(&[1, 2])).unwrap();
        let reply = || RawJson::new(&Reply::Done(RawJson::null())).unwrap();
        for from in [3, 1, 1] {
            asks.answer(NodeId::from_number(from), number, reply());
        }
        asks.answer(NodeId::from_number(2), number + 1, reply());
        asks.end(NodeId::from_number(2));
        asks.end(NodeId::from_number(2));
        asks.answer(NodeId::from_number(2), number, reply());
        let (first, second) = (answers.try_recv().unwrap(), answers.try_recv().unwrap());
        assert!(first.0 == NodeId::from_number(1) && matches!(first.1, Heard::Answer(_)));
        assert!(second.0 == NodeId::from_number(2) && matches!(second.1, Heard::Gone));
        assert!(answers.try_recv().is_err());
        assert_eq!(asks.bytes.load(Ordering::Relaxed), reply().as_bytes().len());
        drop(first);
        assert_eq!(asks.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let asks = Asks::default();
        let all: Vec<u64> = (0..100).collect();
        let (number, answers) = asks.open(nodes(&all)).unwrap();
        let large = RawJson::new(&"x".repeat(1 << 20)).unwrap();
        for node in 0..100 {
            asks.answer(NodeId::from_number(node), number, large.clone());
        }
        assert!((32..64).contains(&answers.len()), "{}", answers.len());
        drop(answers);
        assert_eq!(asks.bytes.load(Ordering::Relaxed), 0);
        let open: Vec<_> = std::iter::from_fn(|| asks.open(HashSet::new())).collect();
        assert_eq!((open.len() + 1, asks.len()), (MOST, MOST));
    }
}
