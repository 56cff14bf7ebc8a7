//! What this node does for others: pages of what it has, and whatever is asked of one of its sockets.
//!
//! In: questions. Out: answers. One of a kind that this version does not know is answered so. What is under way for
//! another node is bounded, and ends when that node takes it back or is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;
use serde::Serialize;
use tokensocket_protocol::{Channel, Close, RawJson};
use tokio::runtime::Handle;

use super::message::{Answer, Ask, Failure, Message, Question, Reply};
use super::survey::{ChannelQuery, Followed, MOST_BYTES, Page, SocketQuery, Totals};
use crate::broker::{BrokerError, Control};
use crate::node::Node;
use crate::node_id::NodeId;
use crate::socket::outgoing::Outgoing;
use crate::socket::{Socket, SocketId};

/// How much may be under way for other nodes.
const MOST: usize = 16_384;

/// What is under way for other nodes: whose question, and its number.
#[derive(Debug, Default)]
pub(super) struct Answering(Mutex<HashMap<(NodeId, u64), AbortHandle>>);

impl Answering {
    /// A node takes a question back.
    pub(super) fn cancel(&self, node: NodeId, number: u64) {
        if let Some(handle) = self.0.lock().get(&(node, number)) {
            handle.abort();
        }
    }

    /// A node is gone: nobody waits for its answers.
    pub(super) fn end(&self, node: NodeId) {
        for ((_, _), handle) in self.0.lock().iter().filter(|((of, _), _)| *of == node) {
            handle.abort();
        }
    }
}

/// Forgets a question that was answered, or never will be.
struct Under {
    node: Arc<Node>,
    question: (NodeId, u64),
}

impl Drop for Under {
    fn drop(&mut self) {
        self.node.peers.answering.0.lock().remove(&self.question);
    }
}

impl Node {
    /// Another node asks something.
    pub(super) fn handle_ask(self: &Arc<Self>, from: NodeId, ask: Ask) {
        let Ask { number, question } = ask;
        let Ok(runtime) = Handle::try_current() else { return };
        let Ok(question) = question.parse::<Question>() else {
            tracing::debug!(%from, "a node of another version asks what is not known here");
            return self.refuse(from, number, Failure::NotUnderstood);
        };
        let key = (from, number);
        let (handle, registration) = AbortHandle::new_pair();
        {
            let mut all = self.peers.answering.0.lock();
            if all.contains_key(&key) {
                // It came twice.
                return;
            }
            if all.len() >= MOST {
                drop(all);
                return self.refuse(from, number, Failure::Overloaded);
            }
            all.insert(key, handle);
        }
        let (node, under) = (Arc::clone(self), Under { node: Arc::clone(self), question: key });
        let answering = async move {
            let result = node.answer_here(question).await;
            drop(under);
            node.reply(from, number, result).await;
        };
        // A broker that never tells the other node must not hold up the end of this one.
        self.finish_on(&runtime, Abortable::new(answering, registration).map(drop).boxed());
    }

    fn refuse(self: &Arc<Self>, from: NodeId, number: u64, failure: Failure) {
        let node = Arc::clone(self);
        self.finish(Box::pin(async move { node.reply(from, number, Err(failure)).await }));
    }

    async fn reply(&self, to: NodeId, number: u64, result: Result<RawJson, Failure>) {
        let reply = match result {
            Ok(value) => Reply::Done(value),
            Err(failure) => Reply::Failed(failure),
        };
        let Err(error) = self.send_reply(to, number, &reply).await else { return };
        tracing::debug!(%error, %to, "an answer did not reach a node");
        if matches!(reply, Reply::Done(_)) && !matches!(error, BrokerError::NoSuchNode(_)) {
            // It may be too large for the engine: better a word than silence.
            let failure = Failure::Other(format!("the answer could not be sent: {error}"));
            let _ = self.send_reply(to, number, &Reply::Failed(failure)).await;
        }
    }

    async fn send_reply(&self, to: NodeId, number: u64, reply: &Reply) -> Result<(), BrokerError> {
        let reply = json(reply);
        let message = Message { answer: Some(Answer { number, reply }), ..Message::of(self.id) };
        self.broker.tell(to, Control::Node(json(&message))).await
    }

    /// What this node answers, whoever asks.
    pub(super) async fn answer_here(&self, question: Question) -> Result<RawJson, Failure> {
        match question {
            Question::Sockets(query) => Ok(json(&self.page_of_sockets(&query))),
            Question::Channels(query) => Ok(json(&self.page_of_channels(&query))),
            Question::Totals {} => Ok(json(&self.totals())),
            Question::Describe { socket } => Ok(json(&self.own(socket)?.describe())),
            Question::Call { socket, path, args, timeout } => {
                let call = Outgoing::new(self.own(socket)?, &path, Ok(args), Duration::ZERO);
                Ok(call.timeout(Duration::from_millis(timeout)).await?)
            }
            Question::Disconnect { socket, code, reason } => {
                self.own(socket)?.disconnect_with(Close::new(code, reason));
                Ok(RawJson::null())
            }
            Question::Send { socket, channel, message } => {
                let sent = self.own(socket)?.send(channel, message);
                sent.map(|()| RawJson::null()).map_err(|error| Failure::Other(error.to_string()))
            }
            Question::Emit { socket, event, args } => {
                let sent = self.own(socket)?.emit(event, args);
                sent.map(|()| RawJson::null()).map_err(|error| Failure::Other(error.to_string()))
            }
            Question::Subscribe { socket, channel } => {
                self.own(socket)?.subscribe(channel).await?;
                Ok(RawJson::null())
            }
            Question::Unsubscribe { socket, channel } => {
                self.own(socket)?.unsubscribe(channel)?;
                Ok(RawJson::null())
            }
        }
    }

    fn own(&self, socket: SocketId) -> Result<Socket, Failure> {
        self.socket(socket).filter(|socket| !socket.is_closed()).ok_or(Failure::NoSuchSocket)
    }

    fn page_of_sockets(&self, query: &SocketQuery) -> Page<RawJson> {
        let SocketQuery { limit, after, user, channel } = query;
        let channel = channel.as_ref().map(Channel::new);
        let mut sockets = match (user, &channel) {
            (Some(user), _) => self.user_sockets(user),
            (None, Some(Ok(channel))) => self.channel_sockets(channel),
            (None, Some(Err(_))) => Vec::new(),
            (None, None) => self.sockets(),
        };
        sockets.retain(|socket| {
            after.is_none_or(|after| socket.id() > after)
                && channel
                    .as_ref()
                    .is_none_or(|channel| channel.as_ref().is_ok_and(|channel| socket.follows(channel)))
        });
        let more = first(&mut sockets, *limit, Socket::id);
        page(sockets.iter().map(|socket| json(&socket.describe())), more)
    }

    fn page_of_channels(&self, query: &ChannelQuery) -> Page<RawJson> {
        let ChannelQuery { limit, after, prefix } = query;
        let mut channels = self.channels();
        channels.retain(|channel| {
            after.as_ref().is_none_or(|after| channel.as_str() > &**after)
                && prefix.as_ref().is_none_or(|prefix| channel.as_str().starts_with(&**prefix))
        });
        let more = first(&mut channels, *limit, Channel::clone);
        let followed = |channel: &Channel| -> Followed {
            (channel.as_str().into(), self.channel_sockets(channel).len())
        };
        page(channels.iter().map(|channel| json(&followed(channel))), more)
    }

    pub(super) fn totals(&self) -> Totals {
        let sockets = self.sockets();
        let users: HashSet<&str> =
            sockets.iter().filter_map(|socket| Some(&**socket.identity().user_id()?)).collect();
        Totals {
            sockets: sockets.len(),
            users: users.len(),
            channels: self.channels().len(),
            slow: sockets.iter().filter(|socket| socket.is_slow()).count(),
            counts: self.counts(),
        }
    }
}

/// Keeps the first, in order; says whether there were more.
fn first<T, K: Ord>(all: &mut Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> bool {
    let more = all.len() > limit;
    if more && limit > 0 {
        all.select_nth_unstable_by_key(limit - 1, &key);
    }
    all.truncate(limit);
    all.sort_unstable_by_key(key);
    more
}

/// As many as an engine carries, and one at least.
fn page(items: impl Iterator<Item = RawJson>, mut more: bool) -> Page<RawJson> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for item in items {
        bytes += item.as_bytes().len();
        if bytes > MOST_BYTES && !taken.is_empty() {
            more = true;
            break;
        }
        taken.push(item);
    }
    Page { items: taken, more }
}

/// Values of this crate that are JSON whatever they hold.
pub(super) fn json<T: Serialize>(value: &T) -> RawJson {
    RawJson::new(value).unwrap_or_default()
}
