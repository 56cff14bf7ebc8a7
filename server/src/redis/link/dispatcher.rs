//! What servers are asked, each by one pipeline, and what they say to it.
//!
//! In: work for slots, in its order. Out: outcomes, and what is to be tried again: moved, loading, failed and safe, or
//! waiting for a server that is away. Keeps the order of each slot's work: where one is to be tried again, those behind
//! it that were not done are, too.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Pipeline, ServerError, ServerErrorKind, Value, cmd};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::address::Host;
use super::item::Item;
use super::lane::{MOST_BYTES, MOST_OPERATIONS};
use super::server::{Live, Server, State};
use super::topology::{NOBODY_HAS_IT, Shard, Topology};
use super::work::{Again, Budget, Share, Work};
use crate::redis::error::LinkError;

/// What all lanes send by.
pub(super) struct Dispatcher {
    pub(super) topology: Arc<Topology>,
    /// What may wait for servers that are here.
    pub(super) pending: Arc<Budget>,
    /// What may wait for servers that are away; `None`: nothing.
    pub(super) held: Option<Arc<Budget>>,
    pub(super) response_limit: Duration,
}

/// What has no outcome yet.
pub(super) struct Tried {
    /// It was tried, and is to be tried again; or it waits for its server.
    pub(super) again: Vec<Item>,
    /// There was too much for one pipeline: it is next.
    pub(super) left: Vec<Item>,
}

/// What one server is asked.
struct Group {
    shard: Option<Arc<Shard>>,
    state: Option<State>,
    items: Vec<Item>,
    bytes: usize,
}

impl Group {
    fn new(shard: Option<Arc<Shard>>) -> Self {
        let state = shard.as_ref().map(|shard| shard.server().state());
        Self { shard, state, items: Vec::new(), bytes: 0 }
    }

    fn is_of(&self, shard: Option<&Arc<Shard>>) -> bool {
        match (&self.shard, shard) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Nobody is asked at all where the server is away.
    fn is_full(&self) -> bool {
        matches!(self.state, Some(State::Here(_)))
            && (self.items.len() >= MOST_OPERATIONS || self.bytes >= MOST_BYTES)
    }
}

impl Dispatcher {
    /// Its part of what may wait, if something of this size may be asked about a slot now; and whether it is held for a
    /// server that is away.
    pub(super) fn admit(&self, slot: usize, bytes: usize, waits: bool) -> Result<(Share, bool), LinkError> {
        let (budget, is_held) = match self.away(slot) {
            None => (&self.pending, false),
            Some(error) => (self.held.as_ref().filter(|_| waits).ok_or(error)?, true),
        };
        Ok((budget.take(bytes).ok_or(LinkError::Overloaded)?, is_held))
    }

    /// The same for work, which may have its part already.
    pub(super) fn admit_work(
        &self,
        slot: usize,
        work: Box<dyn Work>,
    ) -> Result<Item, (Box<dyn Work>, LinkError)> {
        let waits = self.held.is_some() && work.waits();
        if work.is_admitted() {
            return Ok(Item::new(work, slot, None, waits, true));
        }
        match self.admit(slot, work.bytes(), waits) {
            Ok((share, is_held)) => Ok(Item::new(work, slot, Some(share), waits, is_held)),
            Err(error) => Err((work, error)),
        }
    }

    /// Why nothing can be asked about a slot now.
    fn away(&self, slot: usize) -> Option<LinkError> {
        match self.topology.shard(slot).map(|shard| shard.server().state()) {
            Some(State::Here(_)) => None,
            Some(State::Away { reason, .. }) => Some(LinkError::Away(reason.to_string())),
            None => Some(LinkError::Away(NOBODY_HAS_IT.to_owned())),
        }
    }

    /// Asks each server once.
    pub(super) async fn attempt(&self, items: Vec<Item>) -> Tried {
        let mut groups: Vec<Group> = Vec::new();
        let mut left = Vec::new();
        let now = Instant::now();
        // One map for all of them: two of one slot go to one server.
        let map = self.topology.map();
        for item in items.into_iter().filter_map(|item| item.unless_forgotten(now)) {
            let shard = map.shard(item.slot).cloned();
            let at = groups.iter().position(|group| group.is_of(shard.as_ref())).unwrap_or_else(|| {
                groups.push(Group::new(shard));
                groups.len() - 1
            });
            match groups.get_mut(at) {
                Some(group) if !group.is_full() => {
                    group.bytes += item.work.bytes();
                    group.items.push(item);
                }
                _ => left.push(item),
            }
        }
        let attempts = groups.into_iter().map(|Group { shard, state, items, .. }| async move {
            match (shard, state) {
                (Some(shard), Some(State::Here(live))) => self.ask(shard.server(), &live, items).await,
                (_, Some(State::Away { reason, .. })) => self.refuse(items, &reason),
                _ => self.refuse(items, NOBODY_HAS_IT),
            }
        });
        let again = join_all(attempts).await.into_iter().flatten();
        let late = Instant::now().checked_sub(self.response_limit);
        Tried { again: again.filter_map(|item| item.unless_late(late)).collect(), left }
    }

    /// Asks one server; returns what is to be asked again.
    async fn ask(&self, server: &Server, live: &Live, mut items: Vec<Item>) -> Vec<Item> {
        let (facts, now) = (live.facts(), Instant::now());
        let mut pipeline = Pipeline::with_capacity(items.len());
        for item in &mut items {
            item.is_tried(now);
            pipeline.add_command(item.work.command(&facts));
        }
        let mut connection = live.connection.clone();
        let answers = connection.send_packed_commands(&pipeline, 0, items.len()).await;
        match answers {
            Ok(answers) if answers.len() == items.len() => self.settle(server, live, items, answers).await,
            Ok(_) => Self::lost(server, live, items, "the connection lost its order"),
            Err(error) => Self::lost(server, live, items, &error.to_string()),
        }
    }

    /// It was sent, and there is no answer.
    fn lost(server: &Server, live: &Live, items: Vec<Item>, reason: &str) -> Vec<Item> {
        server.give_up(live, reason);
        items.into_iter().filter_map(|item| unknown(item, reason)).collect()
    }

    /// It was not sent: there is nobody to send it to. What was sent before stays, for a while.
    fn refuse(&self, items: Vec<Item>, reason: &str) -> Vec<Item> {
        let mut again = Vec::new();
        for mut item in items {
            if item.has_failed() || (item.waits && self.hold(&mut item)) {
                again.push(item);
            } else {
                item.end(Err(LinkError::Away(reason.to_owned())));
            }
        }
        again
    }

    /// Has it wait for a server that is away, if it may.
    fn hold(&self, item: &mut Item) -> bool {
        if !item.is_held
            && let Some(share) = self.held.as_ref().and_then(|held| held.take(item.work.bytes()))
        {
            item.hold(share);
        }
        item.is_held
    }

    /// Hands out answers; returns what was not done, and may be.
    async fn settle(&self, server: &Server, live: &Live, items: Vec<Item>, answers: Vec<Value>) -> Vec<Item> {
        let mut again: Vec<Item> = Vec::new();
        let mut has_no_scripts = false;
        for (mut item, answer) in items.into_iter().zip(answers) {
            let error = match answer {
                Value::ServerError(error) => error,
                answer => {
                    item.end(Ok(answer));
                    continue;
                }
            };
            match error.kind() {
                Some(ServerErrorKind::Ask) => {
                    self.topology.look();
                    // What is behind something that is tried again waits for it.
                    let is_held_up = again.iter().any(|other| other.slot == item.slot);
                    if let Some(host) = Self::elsewhere(&error).filter(|_| !is_held_up) {
                        again.extend(self.ask_elsewhere(&host, item, &error).await);
                    } else {
                        item.fail(away(&error));
                        again.push(item);
                    }
                }
                Some(kind) if is_undone(kind) => {
                    match kind {
                        ServerErrorKind::NoScript => has_no_scripts = true,
                        ServerErrorKind::ReadOnly => server.give_up(live, "it is no primary any more"),
                        _ => {}
                    }
                    if kind != ServerErrorKind::NoScript {
                        self.topology.look();
                    }
                    item.fail(away(&error));
                    again.push(item);
                }
                _ => item.end(Err(refusal(&error))),
            }
        }
        if has_no_scripts && let Err(error) = self.topology.load_scripts(live).await {
            server.give_up(live, &error);
        }
        again
    }

    /// Where a server sends us.
    fn elsewhere(error: &ServerError) -> Option<Host> {
        let (_, host) = error.details()?.split_once(' ')?;
        let (name, port) = host.rsplit_once(':')?;
        (!name.is_empty()).then_some(Host { name: name.to_owned(), port: port.parse().ok()? })
    }

    /// A slot is on its way to another server, which has these keys already.
    async fn ask_elsewhere(&self, host: &Host, mut item: Item, error: &ServerError) -> Option<Item> {
        let Some(live) = self.topology.sent_to(host) else {
            item.fail(away(error));
            return Some(item);
        };
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(cmd("ASKING"));
        pipeline.add_command(item.work.command(&live.facts()));
        let error = match live.connection.clone().send_packed_commands(&pipeline, 0, 2).await {
            Ok(mut answers) => match answers.pop() {
                Some(Value::ServerError(error)) => error,
                Some(answer) => {
                    item.end(Ok(answer));
                    return None;
                }
                None => return unknown(item, "there was no answer"),
            },
            Err(error) => return unknown(item, &error.to_string()),
        };
        match error.kind() {
            Some(kind) if is_undone(kind) => {
                if kind == ServerErrorKind::NoScript {
                    // It is tried again whether or not this went well.
                    let _ = self.topology.load_scripts(&live).await;
                }
                item.fail(away(&error));
                Some(item)
            }
            _ => {
                item.end(Err(refusal(&error)));
                None
            }
        }
    }
}

/// It was sent, and there is no answer: it is sent again if that is as good as once.
fn unknown(mut item: Item, reason: &str) -> Option<Item> {
    let error = LinkError::Unknown(reason.to_owned());
    match item.work.again() {
        Again::Safe => {
            item.fail(error);
            Some(item)
        }
        Again::Never => {
            item.end(Err(error));
            None
        }
    }
}

/// Nothing was done, and it may be elsewhere, or soon.
fn is_undone(kind: ServerErrorKind) -> bool {
    matches!(
        kind,
        ServerErrorKind::NoScript
            | ServerErrorKind::Ask
            | ServerErrorKind::Moved
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ReadOnly
    )
}

fn refusal(error: &ServerError) -> LinkError {
    if error.code() == "OOM" { LinkError::Full } else { LinkError::Refused(words(error)) }
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
