//! The session's public face, and its life: from a token to ready, and back again.
//!
//! In: `handle_*` from the driver and the user. Out: [`Session::poll_output`] and
//! [`Session::poll_timeout`]. What the user asked for continues in `sending`, what the server says in
//! `receiving`.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use super::calls::{Calls, Sent, earlier};
use super::config::Config;
use super::deliveries::Deliveries;
use super::error::{CallError, ConnectionError};
use super::event::{CallId, Event, Output, State};
use super::heartbeat::{Beat, Heartbeat};
use super::invocations::Invocations;
use super::offline::Offline;
use super::phase::Phase;
use super::random::{Names, Number, Random};
use super::subscriptions::Subscriptions;
use crate::channel::Channel;
use crate::close::Close;
use crate::codec::Codec;
use crate::message::{ClientMessage, SessionInfo, features};
use crate::position::Position;

/// How long to wait for the close after a refused token.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client's session: see the [module](super) for how to drive it.
pub struct Session<C: Codec> {
    pub(super) codec: C,
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) names: Names,
    pub(super) phase: Phase,
    /// The first attempt is over, and the user has heard of it.
    said_ready: bool,
    /// The server let us in at least once.
    authenticated: bool,
    /// What the server told about itself; `None` for an original server.
    pub(super) server: Option<SessionInfo>,
    pub(super) backoff: Backoff,
    pub(super) heartbeat: Heartbeat,
    pub(super) calls: Calls,
    pub(super) offline: Offline<C::Payload>,
    pub(super) subscriptions: Subscriptions<C::Payload>,
    /// Subscribes that were in flight when the connection was lost.
    pub(super) renewals: Vec<(Channel, CallId)>,
    pub(super) invocations: Invocations,
    pub(super) deliveries: Deliveries,
    pub(super) outputs: VecDeque<Output<C>>,
}

impl<C: Codec> Session<C> {
    /// A session that waits for [`handle_start`](Self::handle_start). Requests may be made before.
    pub fn new(codec: C, config: Config, mut random: Random) -> Self {
        Self {
            codec,
            names: Names::new(&mut random),
            random,
            phase: Phase::AwaitStart,
            said_ready: false,
            authenticated: false,
            server: None,
            backoff: Backoff::new(),
            heartbeat: Heartbeat::off(),
            calls: Calls::default(),
            offline: Offline::new(config.queue_calls, config.queue_bytes),
            subscriptions: Subscriptions::default(),
            renewals: Vec::new(),
            invocations: Invocations::new(config.max_invocations),
            deliveries: Deliveries::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// The next thing for the driver to do. Call until `None` after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the driver's clock. Ask again after
    /// every `handle_*`; `None` means not at all.
    pub fn poll_timeout(&self) -> Option<Duration> {
        [
            self.calls.next_deadline(),
            self.invocations.next_deadline(),
            self.heartbeat.next_deadline(),
            self.deliveries.next_retry(),
        ]
        .into_iter()
        .fold(self.phase.deadline(), earlier)
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// The channels that are wanted, oldest first: those asked for and not refused, and those the
    /// server added. A subscribe that waits in the queue counts once it is sent.
    pub fn channels(&self) -> Vec<Channel> {
        self.subscriptions.wanted(false)
    }

    /// The place behind the last publication that the user was told, on a channel with history that is wanted.
    pub fn position(&self, channel: &Channel) -> Option<&Position> {
        self.subscriptions.position(channel)
    }

    /// What the server told about itself when it last let us in; `None` before that, and with a server
    /// that does not know the hello.
    pub fn server(&self) -> Option<&SessionInfo> {
        self.server.as_ref()
    }

    /// Starts the first attempt. Later ones start by themselves.
    pub fn handle_start(&mut self, now: Duration) {
        if matches!(self.phase, Phase::AwaitStart) {
            self.connect(now);
        }
    }

    /// The token request is over. The token is opaque text. Say [`ConnectionError::Refused`] when the
    /// server said no (status 403), [`ConnectionError::Token`] otherwise.
    pub fn handle_token(&mut self, now: Duration, token: Result<String, ConnectionError>) {
        let Phase::AwaitToken { deadline } = self.phase else { return };
        match token {
            Ok(token) => {
                self.enter(Phase::AwaitOpen { deadline, token });
                self.outputs.push_back(Output::Open);
            }
            Err(error) => self.lose(now, error, None),
        }
    }

    /// The transport is open.
    pub fn handle_opened(&mut self, _now: Duration) {
        let Phase::AwaitOpen { deadline, token } = &mut self.phase else { return };
        let (deadline, token) = (*deadline, std::mem::take(token));
        let (message, uuid) = self.name();
        let hello = self.config.hello.clone();
        let auth = ClientMessage::Auth { token, uuid, hello };
        self.enter(Phase::AwaitAuth { deadline, message });
        self.send(&auth);
    }

    /// The transport could not be opened, broke, or was closed by the server.
    pub fn handle_closed(&mut self, now: Duration, why: ConnectionError) {
        match &self.phase {
            Phase::AwaitOpen { .. } | Phase::AwaitAuth { .. } | Phase::Ready => self.lose(now, why, None),
            Phase::AwaitClose { error, .. } => {
                let (error, stay_away) = (error.clone(), why.is_final(self.authenticated));
                self.lose_for(now, error, None, stay_away);
            }
            Phase::AwaitStart | Phase::AwaitToken { .. } | Phase::AwaitRetry { .. } | Phase::Ended => {}
        }
    }

    /// The transport is gone, nothing was heard by it, and the driver knows another one that may serve: the
    /// attempt goes on in what is left of its time. The token is used again, unless it was sent.
    pub fn handle_detour(&mut self) {
        match self.phase {
            Phase::AwaitOpen { .. } => self.outputs.push_back(Output::Open),
            Phase::AwaitAuth { deadline, .. } => {
                self.enter(Phase::AwaitToken { deadline });
                self.outputs.push_back(Output::RequestToken);
            }
            _ => {}
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, now: Duration) {
        for call in self.calls.expired(now) {
            self.give_up(call, CallError::Timeout);
        }
        self.flush(now);
        while let Some(fid) = self.invocations.take_expired(now) {
            self.stop_invocation(fid, crate::ErrorCode::Timeout);
        }
        if self.deliveries.retry_due(now) {
            self.renew_subscriptions(true);
        }
        self.acknowledge_due();
        match self.heartbeat.poll(now) {
            Some(Beat::Ping) => self.ping(),
            Some(Beat::Silent) => self.lose(now, ConnectionError::Silent, Some(Close::PEER_SILENT)),
            None => {}
        }
        if self.phase.deadline().is_some_and(|deadline| deadline <= now) {
            match &self.phase {
                Phase::AwaitRetry { .. } => self.connect(now),
                Phase::AwaitClose { error, .. } => {
                    let error = error.clone();
                    self.lose(now, error, Some(Close::NORMAL));
                }
                _ => self.lose(now, ConnectionError::Timeout, Some(Close::GOING_AWAY)),
            }
        }
    }

    /// There is reason to look at the connection now, such as a page that is shown again or a network that
    /// is back: an attempt that waits is made at once, and a server that is pinged is pinged at once, so that
    /// the pong timeout decides. Without pings a ready session does nothing.
    pub fn handle_wake(&mut self, now: Duration) {
        match self.phase {
            Phase::AwaitRetry { .. } => self.connect(now),
            Phase::Ready if self.heartbeat.wake(now) => self.ping(),
            _ => {}
        }
    }

    /// The user ends the session. What was sent before still goes out; every request that is not done
    /// fails with [`CallError::Ended`].
    pub fn handle_end(&mut self, _now: Duration) {
        self.finish(Some(Close::NORMAL));
        if !self.said_ready {
            self.say(Err(ConnectionError::Ended));
        }
    }

    fn ping(&mut self) {
        let (_, uuid) = self.name();
        self.send(&ClientMessage::Ping { uuid });
    }

    fn connect(&mut self, now: Duration) {
        let deadline = now.saturating_add(self.config.connect_timeout);
        self.enter(Phase::AwaitToken { deadline });
        self.outputs.push_back(Output::RequestToken);
    }

    /// The server let us in.
    pub(super) fn authenticate(&mut self, now: Duration, server: Option<SessionInfo>) {
        let advised = server.as_ref().map(|server| Duration::from_millis(server.ping_ms));
        let interval = self.config.ping.or(advised);
        self.heartbeat = Heartbeat::start(now, interval, self.config.pong_timeout);
        self.server = server;
        self.backoff.reset();
        self.authenticated = true;
        self.enter(Phase::Ready);
        self.renew_subscriptions(false);
        self.flush(now);
        self.say(Ok(()));
    }

    /// The server refused the token, and is about to close.
    pub(super) fn refuse(&mut self, now: Duration, error: ConnectionError) {
        let deadline = now.saturating_add(CLOSE_TIMEOUT);
        self.enter(Phase::AwaitClose { deadline, error });
    }

    /// The attempt failed or the connection is gone. `close` when it is us who give it up.
    fn lose(&mut self, now: Duration, error: ConnectionError, close: Option<Close>) {
        self.lose_for(now, error, close, false);
    }

    fn lose_for(&mut self, now: Duration, error: ConnectionError, close: Option<Close>, stay_away: bool) {
        let was_ready = matches!(self.phase, Phase::Ready);
        let end = stay_away || !self.config.reconnect || error.is_final(self.authenticated);
        self.disconnect(close);
        if end {
            self.finish(None);
        } else {
            let delay = self.backoff.next((self.random)());
            self.enter(Phase::AwaitRetry { at: now.saturating_add(delay) });
        }
        // Whoever hears of it already finds the new state.
        if was_ready {
            self.outputs.push_back(Output::Event(Event::Disconnected(error)));
        } else {
            self.say(Err(error));
        }
    }

    fn say(&mut self, outcome: Result<(), ConnectionError>) {
        let first = !std::mem::replace(&mut self.said_ready, true);
        let event = if first { Event::Ready(outcome) } else { Event::Reconnect(outcome) };
        self.outputs.push_back(Output::Event(event));
    }

    /// Settles what cannot outlive the connection.
    fn disconnect(&mut self, close: Option<Close>) {
        if let Some(close) = close {
            self.outputs.push_back(Output::Close(close));
        }
        for sent in self.calls.take_all_sent() {
            match sent {
                Sent::Call(call) => self.resolve(call, Err(CallError::Disconnected)),
                // It is as the user wanted: nobody follows a channel without a connection.
                Sent::Unsubscribe(call) => self.resolve(call, Ok(self.codec.null())),
                Sent::Subscribe { channel, since, calls }
                    if self.subscriptions.is_wanted_since(&channel, since) =>
                {
                    for call in calls {
                        self.calls.renew(call, &channel);
                        self.renewals.push((channel.clone(), call));
                    }
                }
                Sent::Subscribe { calls, .. } => {
                    for call in calls {
                        self.resolve(call, Err(CallError::Disconnected));
                    }
                }
                Sent::Acknowledge(_) => {}
            }
        }
        self.subscriptions.disconnected();
        self.deliveries.disconnected();
        self.heartbeat = Heartbeat::off();
        for fid in self.invocations.take_all() {
            self.outputs.push_back(Output::CancelInvocation { fid });
        }
    }

    fn finish(&mut self, close: Option<Close>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let connecting = matches!(self.state(), State::Connecting | State::Ready);
        for call in self.calls.all() {
            self.resolve(call, Err(CallError::Ended));
        }
        self.offline.clear();
        self.renewals.clear();
        self.disconnect(close.filter(|_| connecting));
        self.subscriptions.clear();
        self.enter(Phase::Ended);
    }

    fn enter(&mut self, phase: Phase) {
        let before = self.phase.state();
        self.phase = phase;
        if before != self.phase.state() {
            self.outputs.push_back(Output::Event(Event::State(self.phase.state())));
        }
    }

    /// Resolves a request, unless it is resolved already.
    pub(super) fn resolve(&mut self, call: CallId, outcome: Result<C::Payload, CallError<C::Payload>>) {
        if self.calls.close(call).is_some() {
            self.outputs.push_back(Output::Resolve { call, outcome });
        }
    }

    pub(super) fn send(&mut self, message: &ClientMessage<C::Payload>) {
        self.outputs.push_back(Output::Send(self.codec.encode(message)));
    }

    /// Names a message: its number, and its name on the wire.
    pub(super) fn name(&mut self) -> (Number, String) {
        let number = self.names.next();
        (number, self.names.text(number))
    }

    pub(super) fn server_can_cancel(&self) -> bool {
        self.server
            .as_ref()
            .is_some_and(|server| server.features.iter().any(|feature| feature == features::CANCEL))
    }

    pub(super) fn max_message_bytes(&self) -> Option<u64> {
        self.server.as_ref().map(|server| server.max_message_bytes).filter(|max| *max > 0)
    }
}

impl<C: Codec> std::fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("state", &self.state()).finish_non_exhaustive()
    }
}
