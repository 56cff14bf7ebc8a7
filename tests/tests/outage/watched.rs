//! An engine that answers as a test says, and counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Engine, History, HistoryPage, HistoryQuery, NodeId,
    Pattern, PresenceStore, Publish, Published, RawJson, Timestamp,
};
use tokensocket_tests::bus::{Bus, Seat};

/// How an engine answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Now,
    Later(Duration),
    Never,
    Refuse(BrokerError),
}

/// A seat whose broker answers as it is told, and counts reads.
pub(crate) struct Watched {
    pub(crate) bus: Bus,
    pub(crate) seat: Seat,
    answer: Mutex<Answer>,
    /// How it answers for channels whose names begin so.
    answer_on: Mutex<Option<(&'static str, Answer)>>,
    /// How many reads there were.
    pub(crate) reads: AtomicUsize,
    /// How many words for one node.
    pub(crate) told: AtomicUsize,
    reading: AtomicUsize,
    /// How many reads there were at a time.
    pub(crate) most: AtomicUsize,
}

pub(crate) struct WatchedEngine(Arc<Watched>);

struct WatchedBroker(Box<dyn Broker>, Arc<Watched>);

impl Watched {
    pub(crate) fn new() -> (WatchedEngine, Arc<Self>) {
        let bus = Bus::new();
        let watched = Arc::new(Self {
            seat: bus.seat(),
            bus,
            answer: Mutex::new(Answer::Now),
            answer_on: Mutex::default(),
            reads: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        (WatchedEngine(Arc::clone(&watched)), watched)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn answer_on(&self, names: &'static str, answer: Answer) {
        *self.answer_on.lock().unwrap() = Some((names, answer));
    }

    fn respond<'a, R: Send + 'a>(
        &self,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        Self::respond_by(self.answer.lock().unwrap().clone(), done)
    }

    fn respond_on<'a, R: Send + 'a>(
        &self,
        channel: &Channel,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        match &*self.answer_on.lock().unwrap() {
            Some((names, answer)) if channel.as_str().starts_with(names) => {
                Self::respond_by(answer.clone(), done)
            }
            _ => self.respond(done),
        }
    }

    fn respond_by<'a, R: Send + 'a>(
        answer: Answer,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        match answer {
            Answer::Now => done,
            Answer::Later(after) => async move {
                tokio::time::sleep(after).await;
                done.await
            }
            .boxed(),
            Answer::Never => pending().boxed(),
            Answer::Refuse(error) => ready(Err(error)).boxed(),
        }
    }
}

impl Engine for WatchedEngine {
    fn tokens(&self) -> Box<dyn tokensocket_server::TokenStore> {
        self.0.seat.tokens()
    }

    fn broker(&self) -> Box<dyn Broker> {
        Box::new(WatchedBroker(self.0.seat.broker(), Arc::clone(&self.0)))
    }

    fn devices(&self) -> Box<dyn tokensocket_server::DeviceStore> {
        self.0.seat.devices()
    }

    fn presence(&self) -> Box<dyn PresenceStore> {
        self.0.seat.presence()
    }
}

impl Broker for WatchedBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.0.start(node, handler)
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.1.respond(self.0.publish(publish))
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        let reading = self.1.reading.fetch_add(1, Ordering::AcqRel) + 1;
        self.1.most.fetch_max(reading, Ordering::AcqRel);
        self.1.reads.fetch_add(1, Ordering::AcqRel);
        let done = self.1.respond_on(channel, self.0.history(channel, history, query, now));
        async move {
            let page = done.await;
            self.1.reading.fetch_sub(1, Ordering::AcqRel);
            page
        }
        .boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.1.respond(self.0.broadcast(message))
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.control(control)
    }

    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.1.told.fetch_add(1, Ordering::AcqRel);
        // Not begun before it is its time: a bus tells at once.
        self.1.respond(async move { self.0.tell(node, control).await }.boxed())
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.subscribe(channel))
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.unsubscribe(channel))
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.subscribe_pattern(pattern))
    }
}
