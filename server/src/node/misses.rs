//! Publications that may not have come to this node, on channels that keep none: nobody can look, so their followers are
//! told.
//!
//! In: gaps of which the broker told. Out: the word that something may be missing, without a place, to each client that
//! understands it, once for each channel, or pattern, and gap. Not to all at once, since each may ask somebody for what it
//! missed. A second gap before a channel had its turn is told with the first.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokensocket_protocol::Channel;
use tokensocket_protocol::command::subscribe::{Joined, subscribed_by_server};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::Node;
use crate::broker::Gap;

/// So many are told, then others get their turn: of each node 10,000 in a second.
const TURN: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The channels and patterns whose followers are to be told.
#[derive(Default)]
pub(super) struct Misses(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    order: VecDeque<Channel>,
    /// The same: each is there once.
    names: HashSet<Channel>,
    /// A task sees to them.
    is_driven: bool,
}

impl Waiting {
    fn add(&mut self, name: Channel) {
        if self.names.insert(name.clone()) {
            self.order.push_back(name);
        }
    }

    /// The next one. A gap that comes from now on is another one to it.
    fn take(&mut self) -> Option<Channel> {
        let next = self.order.pop_front();
        match &next {
            Some(name) => _ = self.names.remove(name),
            None => *self = Self::default(),
        }
        next
    }
}

impl Node {
    /// Publications may not have come: has followers told where nothing is kept.
    pub(super) fn tell_misses(&self, gap: &Gap) {
        let names = self.hub.unkept(gap);
        let (Some(runtime), Some(node)) = (self.gaps.runtime(), self.me.upgrade()) else { return };
        if names.is_empty() {
            return;
        }
        tracing::info!(channels = names.len(), "telling followers that publications may be missing");
        let mut waiting = self.misses.0.lock();
        for name in names {
            waiting.add(name);
        }
        if !std::mem::replace(&mut waiting.is_driven, true) {
            drop(waiting);
            self.finish_on(runtime, drive(node).boxed());
        }
    }

    fn take_missed(&self) -> Option<Channel> {
        self.misses.0.lock().take()
    }
}

/// Tells the followers of each that waits, then ends.
async fn drive(node: Arc<Node>) {
    let mut told = 0;
    let mut looked_at = 0;
    while let Some(name) = node.take_missed() {
        looked_at += 1;
        if looked_at % TURN == 0 {
            // Also where nobody is to be told.
            yield_now().await;
        }
        let sockets = match node.pattern(&name) {
            Some(pattern) => node.hub.pattern_sockets(&pattern),
            None => node.hub.sockets(&name),
        };
        let text = subscribed_by_server(&name, &Joined { recovered: Some(false), ..Joined::default() });
        for socket in sockets.iter().filter(|socket| socket.understands_gaps()) {
            // It may have left since.
            if socket.follows(&name) {
                socket.tell(|| text.clone());
                told += 1;
            }
            if told == TURN {
                told = 0;
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;

    /// Whether others get a turn before so many are done with, whose followers understand nothing of it.
    async fn yields(names: usize) -> bool {
        let server = Server::builder().authenticate_anyone().build();
        let node = Arc::clone(server.unwrap_or_else(|_| unreachable!("nothing is configured")).node());
        for name in 0..names {
            let name = Channel::new(format!("c.{name}"));
            node.misses.0.lock().add(name.unwrap_or_else(|_| unreachable!("these names are fine")));
        }
        let mut driving = drive(Arc::clone(&node)).boxed();
        let yields = (&mut driving).now_or_never().is_none();
        if yields {
            driving.await;
        }
        assert!(node.take_missed().is_none());
        yields
    }

    #[tokio::test]
    async fn others_get_their_turn_though_nobody_is_told() {
        assert!(!yields(TURN - 1).await);
        assert!(yields(3 * TURN).await);
    }
}
