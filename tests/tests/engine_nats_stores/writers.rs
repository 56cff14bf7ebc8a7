//! Those who append while servers come and go, and what must be true of what they were answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{Queued, To};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::node::Node;

/// How long a writer waits after an append that failed.
const AGAIN: Duration = Duration::from_millis(5);

/// Writers that append to the devices of `ann`, who has one.
pub(crate) struct Writers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Vec<(u64, String)>>>,
}

/// What was answered: what stands where, as it is read.
pub(crate) struct Accepted(BTreeMap<u64, String>);

impl Writers {
    /// So many, divided among these nodes.
    pub(crate) fn start(count: usize, nodes: &[Arc<Node>]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = (0..count).map(|writer| {
            tokio::spawn(append(writer, Arc::clone(&nodes[writer % nodes.len()]), stopped.clone()))
        });
        Self { tasks: tasks.collect(), stop }
    }

    /// Ends them, each within this time.
    pub(crate) async fn stop(self, limit: Duration) -> Accepted {
        self.stop.send_replace(true);
        let mut accepted = BTreeMap::new();
        for task in self.tasks {
            for (seq, text) in tokio::time::timeout(limit, task).await.expect("a writer ends").unwrap() {
                assert!(accepted.insert(seq, text).is_none(), "{seq} was given twice");
            }
        }
        Accepted(accepted)
    }
}

async fn append(writer: usize, node: Arc<Node>, stopped: watch::Receiver<bool>) -> Vec<(u64, String)> {
    let mut accepted = Vec::new();
    let mut number = 0;
    while !*stopped.borrow() {
        number += 1;
        let text = format!("{writer} {number}");
        match node.append(To::user("ann"), &text).await {
            Ok(appended) => {
                let [(_, Queued::At(seq))] = &appended.queued[..] else { panic!("{appended:?}") };
                accepted.push((*seq, format!("[\"{text}\"]")));
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    accepted
}

impl Accepted {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of it is kept where it was said, without a hole, and nothing twice.
    pub(crate) fn is_kept(&self, kept: &[(u64, String)]) {
        assert!(kept.iter().zip(1..).all(|((seq, _), expected)| *seq == expected), "contiguous");
        let texts: BTreeMap<u64, &String> = kept.iter().map(|(seq, text)| (*seq, text)).collect();
        for (seq, text) in &self.0 {
            assert_eq!(texts.get(seq), Some(&text), "what was answered is kept where it was said");
        }
        let mut all: Vec<&String> = texts.into_values().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), kept.len(), "none twice");
    }
}
