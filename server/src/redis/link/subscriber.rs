//! One server, and the connection on which it sends what is published.
//!
//! In: who follows which topics. Out: what comes on them, in the order in which the server sends it. Connects again by
//! itself, follows everything again, and then tells each follower that something may be missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Pipeline, PushInfo, PushKind, Value, cmd};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::book::{Book, Handed, Ticket, Topic, Waiter, Wish};
use super::came::Came;
use super::dial::{Dialed, Dialer, NotConnected, Pushes};
use super::server::{Site, State};
use super::task::Task;
use crate::redis::error::LinkError;

/// So many topics are followed by one message to the server.
const TOGETHER: usize = 1000;
/// For so long somebody waits for a server that is away.
const GRACE: Duration = Duration::from_secs(1);
/// When what the server refused is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// A connection on which a server says what is published.
struct Connected {
    dialed: Dialed,
    /// Which run of the server it is.
    run: String,
    /// The connection for commands that there was before its server was looked for.
    asked: Option<u64>,
}

/// A server's topics; its connection ends when this is dropped.
pub(super) struct Subscriber {
    shared: Arc<Shared>,
    _run: Task,
    _hand: Task,
}

struct Shared {
    site: Site,
    dialer: Arc<Dialer>,
    /// Sharded topics, as in a cluster.
    is_sharded: bool,
    look: Duration,
    book: Mutex<Book>,
    /// How it stands with the server as one that is asked: who is told of a gap asks.
    asked: watch::Receiver<State>,
    /// There is something to say to the server.
    wake: Notify,
    /// The connection's number: what an earlier one still says counts for nothing.
    number: AtomicU64,
    /// Since when, and why, there is no connection.
    away: Mutex<Option<(Instant, String)>>,
    /// The server has said something that nobody asked for.
    is_disturbed: AtomicBool,
    came: Came,
}

impl Subscriber {
    /// Connects for the first time; after that by itself whenever it must.
    pub(super) async fn connect(
        site: Site,
        dialer: Arc<Dialer>,
        response_limit: Duration,
        is_sharded: bool,
        asked: watch::Receiver<State>,
    ) -> Result<Self, NotConnected> {
        let shared = Shared::new(site, dialer, response_limit, is_sharded, asked);
        let first = shared.connect().await?;
        Ok(Self::run(shared, Some(first)))
    }

    /// Begins to connect.
    pub(super) fn begin(
        site: Site,
        dialer: Arc<Dialer>,
        response_limit: Duration,
        is_sharded: bool,
        asked: watch::Receiver<State>,
    ) -> Self {
        Self::run(Shared::new(site, dialer, response_limit, is_sharded, asked), None)
    }

    fn run(shared: Arc<Shared>, first: Option<Connected>) -> Self {
        if first.is_some() {
            *shared.away.lock() = None;
        }
        let run = Task::spawn(Arc::clone(&shared).run(first));
        let hand = Task::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    shared.came.wake.notified().await;
                    shared.came.hand_on();
                }
            }
        });
        Self { shared, _run: run, _hand: hand }
    }

    /// Notes a wish at once; the waiter is told when it is so.
    pub(super) fn follow(&self, topic: &Topic, ticket: &Ticket, waiter: Waiter) {
        let mut book = self.shared.book.lock();
        book.follow(topic, ticket, waiter);
        self.shared.refuse_if_long_away(&mut book);
        drop(book);
        self.shared.wake.notify_one();
    }

    /// Notes a wish at once; the waiter is told when it is so.
    pub(super) fn unfollow(&self, topic: &Topic, number: u64, waiter: Waiter) {
        let mut book = self.shared.book.lock();
        book.unfollow(topic, number, waiter);
        self.shared.refuse_if_long_away(&mut book);
        drop(book);
        self.shared.wake.notify_one();
    }

    pub(super) fn give_away(&self, stays: &dyn Fn(&str) -> bool) -> Vec<Wish> {
        let wishes = self.shared.book.lock().give_away(stays);
        self.shared.wake.notify_one();
        wishes
    }

    pub(super) fn adopt(&self, wish: Wish) {
        self.shared.book.lock().adopt(wish);
        self.shared.wake.notify_one();
    }

    /// Since when there is no connection, and why.
    pub(super) fn away(&self) -> Option<(Instant, String)> {
        self.shared.away.lock().clone()
    }

    /// Whether it is connected and was refused nothing.
    pub(super) fn is_content(&self) -> bool {
        self.shared.away.lock().is_none() && !self.shared.book.lock().has_failed
    }
}

impl Shared {
    fn new(
        site: Site,
        dialer: Arc<Dialer>,
        response_limit: Duration,
        is_sharded: bool,
        asked: watch::Receiver<State>,
    ) -> Arc<Self> {
        Arc::new(Self {
            asked,
            site,
            dialer,
            is_sharded,
            look: response_limit / 2,
            book: Mutex::default(),
            wake: Notify::new(),
            number: AtomicU64::new(0),
            away: Mutex::new(Some((Instant::now(), "not connected yet".to_owned()))),
            is_disturbed: AtomicBool::new(false),
            came: Came::default(),
        })
    }

    async fn run(self: Arc<Self>, first: Option<Connected>) {
        let mut backoff = Backoff::default();
        let mut next = match first {
            Some(first) => Ok(first),
            None => self.connect().await,
        };
        loop {
            let reason = match next {
                Ok(connected) => {
                    backoff.reset();
                    *self.away.lock() = None;
                    let reason = self.serve(connected).await;
                    tracing::warn!(server = %self.site, reason, "what Redis publishes does not come");
                    reason
                }
                Err(error) => error.reason().to_owned(),
            };
            {
                let mut book = self.book.lock();
                book.lose();
                let mut away = self.away.lock();
                let since = away.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                *away = Some((since, reason));
                drop(away);
                self.refuse_if_long_away(&mut book);
            }
            tokio::time::sleep(backoff.next()).await;
            next = self.connect().await;
        }
    }

    /// Whoever waits for a server that has been away for a while is told so.
    fn refuse_if_long_away(&self, book: &mut Book) {
        if let Some((since, reason)) = &*self.away.lock()
            && since.elapsed() > GRACE
        {
            book.give_up_waiting(reason);
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<Connected, NotConnected> {
        let asked = self.asked.borrow().live().map(|live| live.number());
        let (host, _) = self.site.find(&self.dialer).await?;
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        let shared = Arc::downgrade(self);
        let pushes: Pushes = Arc::new(move |push| {
            if let Some(shared) = shared.upgrade()
                && shared.number.load(Ordering::Acquire) == number
            {
                shared.push(push);
            }
        });
        let (dialed, run) = self.dialer.dial_for_pushes(&host, pushes).await?;
        Ok(Connected { dialed, run, asked })
    }

    /// Until the connection is of no use; returns why.
    async fn serve(&self, Connected { dialed, run, asked: asked_at_first }: Connected) -> String {
        let Dialed { mut connection, mut driver } = dialed;
        self.is_disturbed.store(false, Ordering::Release);
        self.book.lock().begin();
        let mut asked = self.asked.clone();
        loop {
            if self.is_disturbed.load(Ordering::Acquire) {
                return "the server has ended a subscription".to_owned();
            }
            let next = self.book.lock().next(TOGETHER);
            if !next.is_empty() {
                if let Err(error) = self.say(&mut connection, &next).await {
                    return error;
                }
                continue;
            }
            let (has_failed, missed) = {
                let mut book = self.book.lock();
                if book.is_due() {
                    continue;
                }
                let can_ask = match asked.borrow_and_update().live() {
                    // Another server has taken over: what is published is published there.
                    Some(live) if Some(live.number()) != asked_at_first && live.facts().run != run => {
                        return "another server is asked now".to_owned();
                    }
                    live => live.is_some(),
                };
                (book.has_failed, if can_ask { book.take_missed() } else { Vec::new() })
            };
            if !missed.is_empty() {
                self.came.add(missed.into_iter().map(|(ticket, topics)| (ticket, Handed::Gap(topics))), 0);
            }
            tokio::select! {
                () = self.wake.notified() => {}
                Ok(()) = asked.changed() => {}
                () = driver.ended() => return "the connection was closed".to_owned(),
                () = tokio::time::sleep(AGAIN), if has_failed => self.book.lock().try_again(),
                () = tokio::time::sleep(self.look) => {
                    if let Err(error) = cmd("PING").query_async::<Value>(&mut connection).await {
                        return error.to_string();
                    }
                }
            }
        }
    }

    /// Follows and unfollows topics. One command for each, since one answer comes for each topic.
    async fn say(
        &self,
        connection: &mut ::redis::aio::MultiplexedConnection,
        next: &[(Topic, bool)],
    ) -> Result<(), String> {
        let mut pipeline = Pipeline::with_capacity(next.len());
        for (topic, follow) in next {
            let verb = match (topic, follow, self.is_sharded) {
                (Topic::Name(_), true, false) => "SUBSCRIBE",
                (Topic::Name(_), false, false) => "UNSUBSCRIBE",
                (Topic::Name(_), true, true) => "SSUBSCRIBE",
                (Topic::Name(_), false, true) => "SUNSUBSCRIBE",
                (Topic::Glob(_), true, _) => "PSUBSCRIBE",
                (Topic::Glob(_), false, _) => "PUNSUBSCRIBE",
            };
            pipeline.cmd(verb).arg(topic.text().as_bytes());
        }
        let answers = connection.send_packed_commands(&pipeline, 0, next.len()).await;
        let answers = answers.map_err(|error| error.to_string())?;
        let mut book = self.book.lock();
        for ((topic, _), answer) in next.iter().zip(answers) {
            let refusal = match answer {
                Value::ServerError(error) => Some(LinkError::Refused(format!(
                    "{} {}",
                    error.code(),
                    error.details().unwrap_or_default()
                ))),
                _ => None,
            };
            book.answered(topic, refusal);
        }
        Ok(())
    }

    /// What the server says, in its order. On the connection's own task.
    fn push(&self, push: PushInfo) {
        let mut data = push.data.into_iter().map(|value| match value {
            Value::BulkString(bytes) => Bytes::from(bytes),
            Value::SimpleString(text) => Bytes::from(text),
            _ => Bytes::new(),
        });
        let first = data.next().and_then(text);
        let mut messages = Vec::new();
        let mut size = 0;
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                let (Some(topic), Some(payload)) = (first, data.next()) else { return };
                self.book.lock().message(&topic, &payload, |ticket, handed| {
                    size += payload.len();
                    messages.push((ticket.clone(), handed));
                });
            }
            PushKind::PMessage => {
                let (Some(glob), Some(topic), Some(payload)) =
                    (first, data.next().and_then(text), data.next())
                else {
                    return;
                };
                self.book.lock().matched(&glob, &topic, &payload, |ticket, handed| {
                    size += payload.len();
                    messages.push((ticket.clone(), handed));
                });
            }
            PushKind::Subscribe | PushKind::SSubscribe => {
                if let Some(topic) = first {
                    self.book.lock().confirmed(&Topic::Name(topic.into()), true);
                }
            }
            PushKind::PSubscribe => {
                if let Some(glob) = first {
                    self.book.lock().confirmed(&Topic::Glob(glob.into()), true);
                }
            }
            PushKind::Unsubscribe | PushKind::SUnsubscribe => {
                // Unasked when the topic's slot has moved: then later answers would be taken for others'.
                if let Some(topic) = first
                    && self.book.lock().confirmed(&Topic::Name(topic.into()), false)
                {
                    self.is_disturbed.store(true, Ordering::Release);
                    self.wake.notify_one();
                }
            }
            PushKind::PUnsubscribe => {
                if let Some(glob) = first {
                    self.book.lock().confirmed(&Topic::Glob(glob.into()), false);
                }
            }
            _ => {}
        }
        if !messages.is_empty() {
            self.came.add(messages, size);
        }
    }
}

fn text(bytes: Bytes) -> Option<String> {
    String::from_utf8(bytes.into()).ok()
}
