//! The other nodes: who is there, what they have, and sockets that are connected to them.
//!
//! ```text
//! each node ──Here, every few seconds──▶ Roster                 gone: it says so, or is silent for too long
//! this node ──Question──▶ all, or one ──Answer──▶ Asking        a survey, or something for one socket
//!  another  ──Question──▶ Answering ──Answer──▶ it
//! ```
//!
//! In: messages of nodes, what the application asks of others. Out: the node list, merged answers, results. All of it
//! goes by the broker's control messages, so it knows no engine; and none of it is needed for a publication.

mod answering;
mod asking;
mod info;
mod message;
mod reaching;
mod roster;
mod survey;
mod surveying;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::Rng;
use tokensocket_protocol::{Channel, RawJson};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Node;
use crate::broker::{BrokerError, Control};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;
use answering::{Answering, json};
use asking::Asks;
use info::Load;
use message::{Here, Message};
use roster::{Heard, Roster};

pub use info::NodeInfo;
pub(crate) use message::Question;
pub use reaching::OutgoingTo;
pub use survey::{ChannelInfo, ChannelQuery, Listed, SocketQuery, Surveyed, Totals};

/// How many surveys may be under way.
const SURVEYS: usize = 64;
/// How much that is told to others, and that nobody waits for, may be on its way.
const ON_ITS_WAY: usize = 16_384;
/// The others are looked for at least this often, unless this process stands still.
const LOOKED: Duration = Duration::from_secs(1);

/// What this node knows of the others.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Without others, nothing is said.
    pub(super) has_others: bool,
    name: Arc<str>,
    began: Timestamp,
    /// How often this node says that it is there.
    every: Duration,
    roster: Mutex<Roster>,
    pulse: Mutex<Pulse>,
    asks: Asks,
    answering: Answering,
    surveys: Semaphore,
    on_its_way: Arc<Semaphore>,
}

/// When this node says next that it is there.
#[derive(Debug)]
struct Pulse {
    /// Not once so far.
    due: Option<Instant>,
    load: Load,
    /// What it said last.
    draining: bool,
    /// When the last word of its own came back to it, by the way on which those of the others come.
    echo: Option<Instant>,
    /// As it was when this was last asked.
    is_cut_off: bool,
}

impl Pulse {
    /// Whether this node hears itself no more, and so nobody else either; and whether that is news.
    fn is_cut_off(&mut self, now: Instant, every: Duration, tick: Duration) -> (bool, bool) {
        let is_cut_off = self.echo.is_some_and(|echo| now.duration_since(echo) > every * 2 + tick);
        (is_cut_off, std::mem::replace(&mut self.is_cut_off, is_cut_off) != is_cut_off)
    }
}

impl Peers {
    pub(super) fn new(has_others: bool, name: Option<Arc<str>>, every: Duration) -> Self {
        Self {
            has_others,
            name: name.unwrap_or_else(info::host_name),
            began: Timestamp::now(),
            every,
            roster: Mutex::default(),
            pulse: Mutex::new(Pulse {
                due: None,
                load: Load::new(),
                draining: false,
                echo: None,
                is_cut_off: false,
            }),
            asks: Asks::default(),
            answering: Answering::default(),
            surveys: Semaphore::new(SURVEYS),
            on_its_way: Arc::new(Semaphore::new(ON_ITS_WAY)),
        }
    }
}

impl Node {
    /// What this node says of itself.
    pub(crate) fn info(&self) -> NodeInfo {
        NodeInfo {
            id: self.id,
            name: Arc::clone(&self.peers.name),
            version: env!("CARGO_PKG_VERSION").into(),
            began: self.peers.began,
            sockets: self.sockets.lock().len(),
            channels: self.hub.count(),
            load: self.peers.pulse.lock().load.last,
            draining: self.is_draining(),
        }
    }

    /// All nodes that are known, this one among them, by name.
    pub(crate) fn nodes(&self) -> Vec<NodeInfo> {
        let mut nodes = self.peers.roster.lock().infos();
        nodes.push(self.info());
        nodes.sort_unstable_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        nodes
    }

    /// Says that this node is there when it is time to, and forgets who was silent. Called several times a second.
    pub(super) fn beat(&self) {
        if !self.peers.has_others {
            return;
        }
        let now = Instant::now();
        let often = LOOKED.max(self.clock.tick() * 4);
        let (is_cut_off, is_news) =
            self.peers.pulse.lock().is_cut_off(now, self.peers.every, self.clock.tick());
        match (is_news, is_cut_off) {
            (true, true) => tracing::warn!(
                "what this node says of itself does not come back: no other node is given up as long as that lasts, and \
                 what is asked of all takes its whole time"
            ),
            (true, false) => tracing::info!("what this node says of itself comes back again"),
            (false, _) => {}
        }
        let silent = self.peers.roster.lock().expire(now, often, is_cut_off);
        for node in silent {
            tracing::warn!(node = %node.id, name = %node.name, "a node was silent for too long");
            self.end_peer(node.id);
        }
        let is_first = {
            let mut pulse = self.peers.pulse.lock();
            let drains = self.is_draining();
            let news = std::mem::replace(&mut pulse.draining, drains) != drains;
            if !news && pulse.due.is_some_and(|due| now < due) {
                return;
            }
            pulse.load.measure();
            // Nodes that began together do not speak together for ever.
            let next = self.peers.every.mul_f64(rand::rng().random_range(0.9..1.1));
            pulse.due.replace(now + next).is_none()
        };
        self.say(&self.here(is_first));
    }

    /// The node has ended.
    pub(super) fn say_gone(&self) {
        if self.peers.has_others {
            self.say(&Message { gone: true, ..Message::of(self.id) });
        }
    }

    fn here(&self, asks: bool) -> Message {
        let every = u64::try_from(self.peers.every.as_millis()).unwrap_or(u64::MAX);
        Message { here: Some(Here { info: self.info(), every, asks }), ..Message::of(self.id) }
    }

    /// Tells all nodes.
    fn say(&self, message: &Message) {
        let Some(node) = self.me.upgrade() else { return };
        let control = Control::Node(json(message));
        self.send(async move { node.broker.control(control).await }.boxed());
    }

    /// Tells one.
    fn tell_node(&self, to: NodeId, message: &Message) {
        let Some(node) = self.me.upgrade() else { return };
        let control = Control::Node(json(message));
        self.send(async move { node.broker.tell(to, control).await }.boxed());
    }

    /// Tells all others that follow a channel.
    pub(super) fn announce_to_others(&self, channel: &Channel, announcement: RawJson) {
        let Some(node) = self.me.upgrade() else { return };
        let channel = channel.clone();
        self.send(async move { node.broker.announce(&channel, announcement).await }.boxed());
    }

    /// Begins at once, so that what is said comes in this order. Where too much is on its way, nothing is said.
    fn send(&self, sending: BoxFuture<'static, Result<(), BrokerError>>) {
        let on_its_way = Arc::clone(&self.peers.on_its_way);
        let Ok(permit) = on_its_way.try_acquire_owned() else {
            return tracing::debug!("too much is on its way to other nodes: they were not told");
        };
        let mut sending = sending.inspect(move |_| drop(permit));
        let sent = |sent: Result<(), BrokerError>| {
            if let Err(error) = sent {
                tracing::debug!(%error, "other nodes were not told");
            }
        };
        match (&mut sending).now_or_never() {
            Some(result) => sent(result),
            None => self.finish(sending.map(sent).boxed()),
        }
    }

    /// A node says something.
    pub(super) fn hear(&self, message: &RawJson) {
        let Some(node) = self.me.upgrade() else { return };
        let Message { from, here, gone, ask, cancel, answer } = match message.parse() {
            Ok(message) => message,
            Err(error) => return tracing::debug!(%error, "a node says what is not understood here"),
        };
        if from == self.id {
            if here.is_some() {
                self.peers.pulse.lock().echo = Some(Instant::now());
            }
            return;
        }
        if let Some(here) = here.filter(|here| here.info.id == from) {
            self.hear_here(here);
        }
        if gone && self.peers.roster.lock().end(from) {
            tracing::info!(node = %from, "a node has ended");
            self.end_peer(from);
        }
        if let Some(number) = cancel {
            self.peers.answering.cancel(from, number);
        }
        if let Some(answer) = answer {
            self.peers.asks.answer(from, answer.number, answer.reply);
        }
        if let Some(ask) = ask {
            node.handle_ask(from, ask);
        }
    }

    fn hear_here(&self, here: Here) {
        let Here { info, every, asks } = here;
        let (id, name) = (info.id, Arc::clone(&info.name));
        let heard = self.peers.roster.lock().hear(info, Duration::from_millis(every), Instant::now());
        match heard {
            Heard::New => tracing::info!(node = %id, %name, "there is another node"),
            Heard::Again => {}
            Heard::Full => tracing::warn!(node = %id, %name, "too many nodes: one is passed over"),
        }
        if asks {
            self.tell_node(id, &self.here(false));
        }
    }

    /// A node is gone: nothing of it is waited for, and nothing done for it.
    fn end_peer(&self, node: NodeId) {
        self.peers.asks.end(node);
        self.peers.answering.end(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_once_that_it_hears_itself_no_more() {
        let (every, tick, began) = (Duration::from_secs(3), Duration::from_millis(500), Instant::now());
        let mut pulse = Peers::new(true, None, every).pulse.into_inner();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut look = |echo: Option<u64>, now| {
            pulse.echo = echo.map(after);
            pulse.is_cut_off(after(now), every, tick)
        };
        assert_eq!(look(None, 60), (false, false), "it has not said anything yet");
        assert_eq!(look(Some(60), 66), (false, false));
        assert_eq!([look(Some(60), 67), look(Some(60), 68)], [(true, true), (true, false)]);
        assert_eq!([look(Some(69), 70), look(Some(69), 71)], [(false, true), (false, false)]);
    }
}
