//! A queue of what servers are asked, which keeps its order.
//!
//! ```text
//! submit ─▶ queue ─▶ as much as there is, one pipeline for each server ─▶ answers ─▶ whoever waits
//!                         ▲                                                  │
//!                         └──── once more: moved, loading, failed and safe ◀─┘
//! ```
//!
//! In: work, each for a slot. Out: its outcome. A slot's work is always in one lane, and a lane sends nothing before what
//! it sent last was answered: so what is submitted for one slot first is done first, also where it has to be sent again.
//! Whatever is submitted meanwhile shares the next round trip.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Pipeline, ServerError, ServerErrorKind, Value, cmd};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::Host;
use super::server::{Live, Server, State};
use super::task::Task;
use super::topology::{Shard, Topology};
use super::work::{Again, Budget, Share, Work};
use crate::redis::error::LinkError;

/// So many operations share a round trip at most, and so many bytes, about.
const MOST_OPERATIONS: usize = 512;
const MOST_BYTES: usize = 1 << 20;

/// How long to wait before a server is asked again that could not do it just now.
const PAUSE: Duration = Duration::from_millis(20);

/// One lane; it ends when this is dropped, and what waits in it is not done.
pub(super) struct Lane {
    queue: Arc<Queue>,
    _task: Task,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Item>>,
    wake: Notify,
}

/// Work on its way.
struct Item {
    work: Box<dyn Work>,
    slot: usize,
    /// It waits while its server is away.
    waits: bool,
    /// What became of it when it was last tried.
    last: Option<LinkError>,
    /// Its parts of what may wait.
    shares: Vec<Share>,
    /// It has a part of what may wait for a server that is away.
    is_held: bool,
}

/// What all lanes have.
pub(super) struct Common {
    pub(super) topology: Arc<Topology>,
    pub(super) pending: Arc<Budget>,
    /// What may wait for servers that are away; `None`: nothing.
    pub(super) held: Option<Arc<Budget>>,
    pub(super) response_limit: Duration,
}

impl Lane {
    pub(super) fn begin(common: Arc<Common>) -> Self {
        let queue = Arc::new(Queue::default());
        let task = Task::spawn({
            let queue = Arc::clone(&queue);
            async move {
                loop {
                    let items = queue.take().await;
                    common.perform(items).await;
                }
            }
        });
        Self { queue, _task: task }
    }

    /// Puts work behind what is there, or says at once that it will not be done.
    pub(super) fn submit(&self, common: &Common, slot: usize, work: Box<dyn Work>) {
        let waits = common.held.is_some() && work.waits();
        let shares =
            if work.is_admitted() { Ok(Vec::new()) } else { common.admit(slot, work.bytes(), waits) };
        match shares {
            Ok(shares) => {
                let is_held = work.is_admitted() || shares.len() > 1;
                let item = Item { work, slot, waits, last: None, shares, is_held };
                self.queue.waiting.lock().push_back(item);
                self.queue.wake.notify_one();
            }
            Err(error) => work.done(Err(error)),
        }
    }
}

impl Queue {
    async fn take(&self) -> Vec<Item> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                let mut bytes = 0;
                let count = waiting
                    .iter()
                    .take(MOST_OPERATIONS)
                    .take_while(|item| {
                        let fits = bytes < MOST_BYTES;
                        bytes += item.work.bytes();
                        fits
                    })
                    .count();
                if count > 0 {
                    return waiting.drain(..count).collect();
                }
            }
            self.wake.notified().await;
        }
    }
}

impl Item {
    /// Has it wait for a server that is away, if it may.
    fn hold(&mut self, common: &Common) -> bool {
        if !self.is_held
            && let Some(share) = common.held.as_ref().and_then(|held| held.take(self.work.bytes()))
        {
            self.shares.push(share);
            self.is_held = true;
        }
        self.is_held
    }
}

impl Common {
    /// Its parts of what may wait, if something of this size may be asked about a slot now.
    pub(super) fn admit(&self, slot: usize, bytes: usize, waits: bool) -> Result<Vec<Share>, LinkError> {
        let mut shares = vec![self.pending.take(bytes).ok_or(LinkError::Overloaded)?];
        if let Some(error) = self.away(slot) {
            let held = self.held.as_ref().filter(|_| waits).ok_or(error)?;
            shares.push(held.take(bytes).ok_or(LinkError::Overloaded)?);
        }
        Ok(shares)
    }

    /// Why nothing can be asked about a slot now.
    fn away(&self, slot: usize) -> Option<LinkError> {
        match self.topology.shard(slot).map(|shard| shard.server().state()) {
            Some(State::Here(_)) => None,
            Some(State::Away { reason, .. }) => Some(LinkError::Away(reason.to_string())),
            None => Some(LinkError::Away("no server of the cluster has this part of the keys".to_owned())),
        }
    }

    /// Asks until everything has an outcome.
    async fn perform(&self, mut items: Vec<Item>) {
        let deadline = Instant::now() + self.response_limit;
        loop {
            let mut groups: Vec<(Option<Arc<Shard>>, Vec<Item>)> = Vec::new();
            for item in items {
                let shard = self.topology.shard(item.slot);
                let same = |group: &&mut (Option<Arc<_>>, _)| match (&group.0, &shard) {
                    (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                    (one, other) => one.is_none() && other.is_none(),
                };
                match groups.iter_mut().find(same) {
                    Some((_, group)) => group.push(item),
                    None => groups.push((shard, vec![item])),
                }
            }
            let attempts = groups.into_iter().map(|(shard, items)| async move {
                match shard {
                    Some(shard) => self.ask(shard.server(), items).await,
                    None => self.refuse(items, "no server of the cluster has this part of the keys"),
                }
            });
            items = join_all(attempts).await.into_iter().flatten().collect();
            if Instant::now() >= deadline {
                items = items.into_iter().filter_map(Item::unless_late).collect();
            }
            if items.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks one server; returns what is to be asked again.
    async fn ask(&self, server: &Server, mut items: Vec<Item>) -> Vec<Item> {
        let live = match server.state() {
            State::Here(live) => live,
            State::Away { reason, .. } => return self.refuse(items, &reason),
        };
        let facts = live.facts();
        let mut pipeline = Pipeline::with_capacity(items.len());
        for item in &mut items {
            pipeline.add_command(item.work.command(&facts));
        }
        let mut connection = live.connection.clone();
        let answers = connection.send_packed_commands(&pipeline, 0, items.len()).await;
        match answers {
            Ok(answers) if answers.len() == items.len() => self.settle(server, &live, items, answers).await,
            Ok(_) => Self::lost(server, &live, items, "the connection lost its order"),
            Err(error) => Self::lost(server, &live, items, &error.to_string()),
        }
    }

    /// It was sent, and there is no answer.
    fn lost(server: &Server, live: &Live, items: Vec<Item>, reason: &str) -> Vec<Item> {
        server.give_up(live, reason);
        let mut again = Vec::new();
        for mut item in items {
            let error = LinkError::Unknown(reason.to_owned());
            match item.work.again() {
                Again::Safe => {
                    item.last = Some(error);
                    again.push(item);
                }
                Again::Never => item.work.done(Err(error)),
            }
        }
        again
    }

    /// It was not sent: there is nobody to send it to. What was sent before stays, for a while.
    fn refuse(&self, items: Vec<Item>, reason: &str) -> Vec<Item> {
        let mut again = Vec::new();
        for mut item in items {
            if item.last.is_some() || (item.waits && item.hold(self)) {
                again.push(item);
            } else {
                item.work.done(Err(LinkError::Away(reason.to_owned())));
            }
        }
        again
    }

    /// Hands out answers; returns what was not done, and may be.
    async fn settle(&self, server: &Server, live: &Live, items: Vec<Item>, answers: Vec<Value>) -> Vec<Item> {
        let mut again = Vec::new();
        let mut has_no_scripts = false;
        for (mut item, answer) in items.into_iter().zip(answers) {
            let error = match answer {
                Value::ServerError(error) => error,
                answer => {
                    item.work.done(Ok(answer));
                    continue;
                }
            };
            match error.kind() {
                Some(ServerErrorKind::NoScript) => {
                    has_no_scripts = true;
                    item.last = Some(away(&error));
                    again.push(item);
                }
                Some(ServerErrorKind::Ask) => {
                    if let Some(item) = self.ask_elsewhere(item, &error).await {
                        again.push(item);
                    }
                }
                Some(
                    kind @ (ServerErrorKind::Moved
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::ReadOnly),
                ) => {
                    if kind == ServerErrorKind::ReadOnly {
                        server.give_up(live, "it is no primary any more");
                    }
                    self.topology.look();
                    item.last = Some(away(&error));
                    again.push(item);
                }
                _ if error.code() == "OOM" => item.work.done(Err(LinkError::Full)),
                _ => item.work.done(Err(LinkError::Refused(words(&error)))),
            }
        }
        if has_no_scripts && let Err(error) = self.topology.load_scripts(live).await {
            server.give_up(live, &error);
        }
        again
    }

    /// A slot is on its way to another server, which has these keys already.
    async fn ask_elsewhere(&self, mut item: Item, error: &ServerError) -> Option<Item> {
        let host = error.details().and_then(|details| details.split_once(' ')).and_then(|(_, host)| {
            let (name, port) = host.rsplit_once(':')?;
            Some(Host { name: name.to_owned(), port: port.parse().ok()? })
        });
        let live = host.and_then(|host| self.topology.at(&host)).and_then(|shard| shard.server().live());
        self.topology.look();
        let Some(live) = live else {
            item.last = Some(away(error));
            return Some(item);
        };
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(cmd("ASKING"));
        pipeline.add_command(item.work.command(&live.facts()));
        match live.connection.clone().send_packed_commands(&pipeline, 0, 2).await {
            Ok(mut answers) => match answers.pop() {
                Some(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::TryAgain) => {
                    item.last = Some(away(&error));
                    return Some(item);
                }
                Some(Value::ServerError(error)) => item.work.done(Err(LinkError::Refused(words(&error)))),
                Some(answer) => item.work.done(Ok(answer)),
                None => item.work.done(Err(LinkError::Unknown("there was no answer".to_owned()))),
            },
            Err(error) => item.work.done(Err(LinkError::Unknown(error.to_string()))),
        }
        None
    }
}

impl Item {
    /// What was tried for long enough ends with what became of it, unless it waits for its server.
    fn unless_late(mut self) -> Option<Self> {
        match self.last.take() {
            Some(error) if !(self.waits && self.is_held) => {
                self.work.done(Err(error));
                None
            }
            last => Some(Self { last, ..self }),
        }
    }
}

fn away(error: &ServerError) -> LinkError {
    LinkError::Away(words(error))
}

fn words(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}
