//! What a node says of itself.
//!
//! In: what the node counts, and how busy its runtime's threads were. Out: plain values, as the node list has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::node_id::NodeId;
use crate::timestamp::Timestamp;

/// One node, as of when it last said so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id, made up when its server was built.
    pub id: NodeId,
    /// Its name for people: that of its machine, or [`ServerBuilder::node_name`](crate::ServerBuilder::node_name).
    #[serde(default = "nothing")]
    pub name: Arc<str>,
    /// The version of this library that it runs.
    #[serde(default = "nothing")]
    pub version: Arc<str>,
    /// When its server was built, by its own clock.
    #[serde(default)]
    pub began: Timestamp,
    /// How many sockets are connected to it, those that have not authenticated among them.
    #[serde(default)]
    pub sockets: usize,
    /// How many channels these follow; those among them that are followed by a pattern alone while something is published.
    #[serde(default)]
    pub channels: usize,
    /// How busy the threads of its runtime were of late: 0 idle, 1 without a pause.
    #[serde(default)]
    pub load: f64,
    /// It is about to end: it takes no connections any more.
    #[serde(default)]
    pub draining: bool,
}

fn nothing() -> Arc<str> {
    Arc::from("")
}

/// The name of this machine.
pub(super) fn host_name() -> Arc<str> {
    gethostname::gethostname().to_string_lossy().into()
}

/// How busy the runtime's threads are.
#[derive(Debug)]
pub(super) struct Load {
    at: Instant,
    busy: Duration,
    /// What was measured last.
    pub(super) last: f64,
}

impl Load {
    pub(super) fn new() -> Self {
        Self { at: Instant::now(), busy: Duration::ZERO, last: 0.0 }
    }

    /// Measures since the last time. Outside of a runtime nothing changes.
    pub(super) fn measure(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let metrics = runtime.metrics();
        let workers = metrics.num_workers();
        #[cfg(target_has_atomic = "64")]
        let busy: Duration = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum();
        #[cfg(not(target_has_atomic = "64"))]
        let busy = Duration::ZERO;
        let now = Instant::now();
        // Both are small enough for this.
        #[allow(clippy::cast_precision_loss, reason = "a number of threads")]
        let threads = workers.max(1) as f64;
        let passed = now.duration_since(self.at).as_secs_f64() * threads;
        if passed > 0.0 {
            let share = busy.saturating_sub(self.busy).as_secs_f64() / passed;
            // Two places are enough for people, and short.
            self.last = (share.clamp(0.0, 1.0) * 100.0).round() / 100.0;
        }
        (self.at, self.busy) = (now, busy);
    }
}
