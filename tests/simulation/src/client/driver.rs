//! Does what a client's session says, and tells the ledger.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokensocket_protocol::client::{
    CallError, CallId, Config, ConnectionError, DeliveryId, Event, Output, PublishOptions, Session, State,
    SubscribeOptions,
};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Close, RawJson};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::transport::Transport;
use super::{ClientName, Owner, Told, Wish};
use crate::ledger::Outcome;
use crate::world::World;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A client's task.
pub(super) struct Driver {
    world: Arc<World>,
    name: ClientName,
    owner: Owner,
    random: fastrand::Rng,
    session: Session<NativeCodec>,
    started: Instant,
    token_request: Option<Pending<Result<String, ConnectionError>>>,
    opening: Option<Pending<Result<Transport, ConnectionError>>>,
    transport: Option<Transport>,
    closing: FuturesUnordered<Pending<()>>,
    /// What the server called, and has not been answered.
    invocations: FuturesUnordered<Pending<(String, RawJson)>>,
    calls: HashMap<CallId, Wish>,
    /// What was delivered and waits for its handler; they run one after the other.
    delivered: VecDeque<Delivered>,
    handling: Option<Pending<()>>,
    deaf_until: Option<Instant>,
}

/// A delivery or a resync.
struct Delivered {
    id: DeliveryId,
    /// The number that was delivered; nothing for a resync.
    number: Option<u64>,
}

impl Driver {
    pub(super) fn new(world: Arc<World>, name: ClientName, owner: Owner, mut random: fastrand::Rng) -> Self {
        let mut config = Config::default();
        config.connect_timeout = Duration::from_secs(random.u64(2..10));
        config.call_timeout = Some(Duration::from_secs(random.u64(1..30)));
        config.pong_timeout = Duration::from_secs(random.u64(1..4));
        config.ping = random.bool().then(|| Duration::from_secs(random.u64(1..5)));
        config.max_in_flight = random.usize(1..20);
        if let Some(hello) = &mut config.hello {
            hello.device.clone_from(&owner.device);
        }
        let mut numbers = random.fork();
        let session = Session::new(NativeCodec, config, Box::new(move || numbers.u64(..)));
        Self {
            world,
            name,
            owner,
            random,
            session,
            started: Instant::now(),
            token_request: None,
            opening: None,
            transport: None,
            closing: FuturesUnordered::new(),
            invocations: FuturesUnordered::new(),
            calls: HashMap::new(),
            delivered: VecDeque::new(),
            handling: None,
            deaf_until: None,
        }
    }

    pub(super) async fn run(mut self, mut told: UnboundedReceiver<Told>) {
        self.session.handle_start(self.now());
        self.drain();
        while self.session.state() != State::Ended {
            let timer = self.session.poll_timeout().map(|at| self.started + at);
            let deaf_until = self.deaf_until;
            // Always in this order: which branch is looked at first must not be the runtime's whim.
            tokio::select! {
                biased;
                Some(told) = told.recv() => match told {
                    Told::Wish(wish) => self.wish(wish),
                    Told::Channels(answer) => {
                        // Whoever asked may be gone.
                        let _ = answer.send(self.session.channels());
                    }
                },
                token = maybe(&mut self.token_request) => {
                    self.token_request = None;
                    self.session.handle_token(self.now(), token);
                }
                opened = maybe(&mut self.opening) => {
                    self.opening = None;
                    self.opened(opened);
                }
                text = next_text(&mut self.transport, deaf_until.is_some()) => self.received(text),
                () = until(deaf_until) => self.deaf_until = None,
                Some((fid, answer)) = self.invocations.next() => {
                    self.session.handle_answer(self.now(), &fid, Ok(answer));
                }
                () = maybe(&mut self.handling) => self.handled(),
                Some(()) = self.closing.next() => {}
                () = until(timer) => self.session.handle_timeout(self.now()),
            }
            self.drain();
        }
        while self.closing.next().await.is_some() {}
        self.world.ledger.lock().client_ended(self.name);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wish(&mut self, wish: Wish) {
        self.world.trace.note(format_args!("client {} wants {wish:?}", self.name));
        let now = self.now();
        let session = &mut self.session;
        let call = match wish.clone() {
            Wish::Call { path, number, timeout } => session.handle_call(now, path, json(number), timeout),
            Wish::Subscribe(channel) => {
                session.handle_subscribe_with(now, channel, SubscribeOptions::new().presence())
            }
            Wish::Unsubscribe(channel) => session.handle_unsubscribe(now, channel),
            Wish::Publish { channel, number, keyed } => {
                let options = PublishOptions::new();
                let options = if keyed { options.key(number.to_string()) } else { options };
                session.handle_publish_with(now, channel, json(number), options)
            }
            Wish::Broadcast { number } => session.handle_broadcast(now, json(number)),
            Wish::Cancel => {
                if let Some(latest) = self.calls.keys().max().copied() {
                    session.handle_cancel(now, latest);
                }
                return;
            }
            Wish::Stall(time) => {
                self.deaf_until = Some(Instant::now() + time);
                return;
            }
            Wish::Wake => return session.handle_wake(now),
            Wish::End => return session.handle_end(now),
        };
        self.world.ledger.lock().asked(self.name, call, &wish);
        self.calls.insert(call, wish);
    }

    fn opened(&mut self, opened: Result<Transport, ConnectionError>) {
        match opened {
            Ok(transport) => {
                self.transport = Some(transport);
                self.session.handle_opened(self.now());
            }
            Err(error) => self.session.handle_closed(self.now(), error),
        }
    }

    fn received(&mut self, text: Result<Bytes, ConnectionError>) {
        match text {
            Ok(text) => self.session.handle_text(self.now(), &text),
            Err(error) => {
                self.close(None);
                self.session.handle_closed(self.now(), error);
            }
        }
    }

    fn close(&mut self, close: Option<Close>) {
        self.deaf_until = None;
        if let Some(transport) = self.transport.take() {
            self.closing.push(Box::pin(transport.close(close)));
        }
    }

    /// Does what the session says, until it says nothing more.
    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::RequestToken => self.token_request = Some(self.request_token()),
                Output::Open => self.opening = Some(self.open()),
                Output::Send(text) => {
                    if let Some(transport) = &mut self.transport {
                        transport.send(text);
                    }
                }
                Output::Close(close) => {
                    self.token_request = None;
                    self.opening = None;
                    self.close(Some(close));
                }
                Output::Resolve { call, outcome } => {
                    self.world.trace.note(format_args!("client {}: {call:?} is {outcome:?}", self.name));
                    let wish = self.calls.remove(&call);
                    self.world.ledger.lock().resolved(self.name, call, &outcome);
                    self.again(wish, &outcome);
                }
                Output::Invoke { fid, args, .. } => {
                    self.world.ledger.lock().invoked(self.name, &args);
                    let time = Duration::from_millis(self.random.u64(0..40));
                    self.invocations.push(Box::pin(async move {
                        sleep(time).await;
                        (fid, args)
                    }));
                }
                Output::CancelInvocation { .. } => {}
                Output::Event(event) => self.tell(&event),
                _ => self.world.ledger.lock().violated(format!("client {}: an unknown output", self.name)),
            }
        }
    }

    /// With a key it does no harm to publish again what may have been published.
    fn again(&mut self, wish: Option<Wish>, outcome: &Outcome) {
        if let Some(wish @ Wish::Publish { keyed: true, .. }) = wish
            && let Err(CallError::Disconnected | CallError::Timeout) = outcome
        {
            self.wish(wish);
        }
    }

    /// A handler is done.
    fn handled(&mut self) {
        self.handling = None;
        let Some(Delivered { id, number }) = self.delivered.pop_front() else { return };
        let now = self.now();
        let gives_back = number.is_some() && self.world.is_restless() && self.random.u8(0..25) == 0;
        {
            let ledger = &mut *self.world.ledger.lock();
            match number {
                Some(number) if gives_back => ledger.given_back(self.name, number),
                Some(number) => ledger.handled(self.name, number),
                None => {}
            }
        }
        self.world.trace.note(format_args!("client {} has handled {number:?}, {gives_back}", self.name));
        if gives_back {
            self.session.handle_give_back(now, id);
        } else {
            self.session.handle_acknowledge(now, id);
        }
        self.handle_next();
    }

    fn handle_next(&mut self) {
        if self.handling.is_none() && !self.delivered.is_empty() {
            let time = if self.random.bool() { 0 } else { self.random.u64(0..60) };
            self.handling = Some(Box::pin(sleep(Duration::from_millis(time))));
        }
    }

    fn tell(&mut self, event: &Event<RawJson>) {
        self.world.trace.note(format_args!("client {}: {event:?}", self.name));
        let world = Arc::clone(&self.world);
        let ledger = &mut *world.ledger.lock();
        match event {
            Event::State(state) => ledger.state(self.name, *state),
            Event::Disconnected(_) => ledger.disconnected(self.name),
            Event::Message { channel, message } => ledger.heard(self.name, channel, message),
            Event::SubscriptionLost { channel, .. } => ledger.subscription_lost(self.name, channel),
            Event::Recovered { channel, publications } => {
                for message in publications {
                    ledger.heard(self.name, channel, message);
                }
            }
            Event::Unrecovered { channel } => ledger.unrecovered(self.name, channel),
            Event::Settings(settings) => ledger.arrived(self.name, &settings.device),
            Event::Delivery { id, args, .. } => {
                let number = ledger.handed(self.name, args);
                self.delivered.push_back(Delivered { id: *id, number });
            }
            Event::Resync { id, event, .. } => {
                ledger.resynced(self.name, event.as_deref());
                self.delivered.push_back(Delivered { id: *id, number: None });
            }
            _ => {}
        }
        self.handle_next();
    }

    fn request_token(&self) -> Pending<Result<String, ConnectionError>> {
        let (world, name, owner) = (Arc::clone(&self.world), self.name, self.owner.clone());
        Box::pin(async move {
            sleep(world.network.round_trip()).await;
            world.token(name, &owner).await.map_err(ConnectionError::Token)
        })
    }

    fn open(&self) -> Pending<Result<Transport, ConnectionError>> {
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let refused = |_| ConnectionError::Transport("nobody listens".to_owned());
            Transport::open(world.network.connect().map_err(refused)?).await
        })
    }
}

/// A number as JSON.
pub(crate) fn json(number: u64) -> RawJson {
    RawJson::new(&number).unwrap_or_else(|_| RawJson::null())
}

async fn maybe<T>(future: &mut Option<Pending<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn next_text(transport: &mut Option<Transport>, deaf: bool) -> Result<Bytes, ConnectionError> {
    match transport {
        Some(transport) => transport.next(deaf).await,
        None => pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
