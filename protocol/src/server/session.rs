//! One connection's session on the server: what its client may say, and what it said.
//!
//! In: the text of each message, and the result of redeeming a token. Out: an [`Event`] for each message.
//! The states are named for what they await.

use std::borrow::Cow;

use crate::answer::Answer;
use crate::close::Close;
use crate::command::acknowledge::{self, Acknowledge};
use crate::command::answer::ClientAnswer;
use crate::command::call::CallRequest;
use crate::command::history::{self, History};
use crate::command::presence::{self, Presence};
use crate::command::publish::{self, Publish};
use crate::command::subscribe::{self, Subscribe};
use crate::command::{auth, broadcast, cancel};
use crate::envelope::{Envelope, NoEnvelope, is_falsy, string};
use crate::error::ErrorCode;
use crate::framing::{Framed, Framing};
use crate::json::slice::RawSlice;
use crate::message::Hello;
use crate::rpc_error::RpcError;
use crate::token::Token;
use crate::{Channel, command};

/// A session, from the first message on. A few bytes: all else is in the driver.
#[derive(Debug)]
pub struct Session {
    state: State,
    hello: bool,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitAuth,
    AwaitRedeem,
    Ready,
    Closed,
}

/// What a message means to the driver. What is to be sent is in the session's [`Framing`].
#[derive(Debug)]
pub enum Event<'a> {
    /// Redeem the token, run the hooks, then say [`Session::authenticated`] or [`Session::refused`].
    ///
    /// Hand over no further message before that.
    Authenticate {
        /// The token to redeem.
        token: Token,
        /// What the client told about itself.
        hello: Option<Box<Hello>>,
        /// Waits for the result.
        answer: Answer,
    },
    /// Do this, and answer it.
    Command(Command<'a>),
    /// Send this text.
    Send(Framed),
    /// Send this text, if there is one, then close. No further message is understood.
    Close(Option<Framed>, Close),
    /// Nothing to do.
    Ignore,
}

/// What an authenticated client asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Call an action.
    Call(CallRequest<'a>, Answer),
    /// Follow a channel. Answered by [`Answer::subscribed`].
    Subscribe(Subscribe, Answer),
    /// No longer follow a channel.
    Unsubscribe(Channel, Answer),
    /// Publish on a channel. Answered by [`Answer::published`].
    Publish(Publish<'a>, Answer),
    /// Publish on every channel.
    Broadcast(RawSlice<'a>, Answer),
    /// Tell what a channel kept. Answered by [`Answer::history`].
    History(History, Answer),
    /// Tell who is on a channel. Answered by [`Answer::presence`].
    Presence(Presence<'a>, Answer),
    /// The device has what was sent to it.
    Acknowledge(Acknowledge, Answer),
    /// Say pong.
    Ping(Answer),
    /// Stop the call with this `uuid` (its JSON text), if it runs.
    Cancel(RawSlice<'a>, Answer),
    /// An answer to a call of the server's.
    Answer(ClientAnswer<'a>),
}

impl Session {
    /// A session that awaits `auth`.
    pub fn new() -> Self {
        Self { state: State::AwaitAuth, hello: false, framing: Framing::Raw }
    }

    /// Has everything that the session and its [answers](Answer) say in this framing.
    #[must_use]
    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Whether the client has authenticated.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether the client said hello, and so understands more than the original wire.
    pub fn said_hello(&self) -> bool {
        self.hello
    }

    /// The token was good: from now on the client's commands are understood.
    pub fn authenticated(&mut self) {
        if self.state == State::AwaitRedeem {
            self.state = State::Ready;
        }
    }

    /// The token was refused. Returns how to close: 1000 for the original clients, `close` for ours.
    pub fn refused(&mut self, close: Close) -> Close {
        self.state = State::Closed;
        if self.hello { close } else { Close::NORMAL }
    }

    /// Understands one message. `room` is an empty buffer for its answer, so that a driver can use the
    /// same one again.
    pub fn handle_message<'a>(&mut self, text: &'a str, room: Vec<u8>) -> Event<'a> {
        if matches!(self.state, State::Closed | State::AwaitRedeem) {
            return Event::Ignore;
        }
        let mut envelope = Envelope::default();
        if let Err(none) = envelope.read(text) {
            return self.answer_no_envelope(none);
        }
        if self.state == State::AwaitAuth {
            return self.expect_auth(&envelope, room);
        }
        if envelope.is_too_deep() {
            let answer = self.answer(&envelope.without_deep_fields(), room);
            return Event::Send(answer.error(&RpcError::bad_request("JSON nested at most 128 deep")));
        }
        self.expect_command(&envelope, room)
    }

    #[cold]
    fn answer_no_envelope<'a>(&mut self, none: NoEnvelope) -> Event<'a> {
        let answer = Answer::to_nothing(self.framing);
        match none {
            NoEnvelope::NotJson => {
                let error = RpcError::text("Invalid message").with_code(ErrorCode::BadRequest);
                Event::Send(answer.error(&error))
            }
            NoEnvelope::NotAnObject if self.state == State::AwaitAuth => self.forbid(answer),
            NoEnvelope::NotAnObject => {
                let answer = if self.hello { answer.with_hello() } else { answer };
                Event::Send(answer.error(&RpcError::bad_request("a JSON object with the field rpc")))
            }
        }
    }

    fn answer(&self, envelope: &Envelope<'_>, room: Vec<u8>) -> Answer {
        Answer::to(envelope, self.framing, self.hello, room)
    }

    fn expect_auth<'a>(&mut self, envelope: &Envelope<'a>, room: Vec<u8>) -> Event<'a> {
        let is_auth = envelope.rpc.and_then(string).is_some_and(|rpc| rpc == command::auth::NAME);
        let hello = if is_auth { envelope.client.and_then(auth::hello) } else { None };
        self.hello = hello.is_some();
        if !is_auth || is_falsy(envelope.token) {
            return self.forbid(self.answer(envelope, room).with_request(envelope.req));
        }
        match envelope.token.and_then(string).map(|token| Token::parse(&token)) {
            Some(Ok(token)) => {
                self.state = State::AwaitRedeem;
                let hello = hello.map(Box::new);
                Event::Authenticate { token, hello, answer: self.answer(envelope, room) }
            }
            _ => Event::Close(None, self.refused(Close::UNAUTHENTICATED)),
        }
    }

    fn forbid<'a>(&mut self, answer: Answer) -> Event<'a> {
        let text = answer.error(&RpcError::forbidden());
        Event::Close(Some(text), self.refused(Close::UNAUTHENTICATED))
    }

    fn expect_command<'a>(&self, envelope: &Envelope<'a>, room: Vec<u8>) -> Event<'a> {
        let answer = self.answer(envelope, room);
        let Some(rpc) = envelope.rpc.and_then(string).filter(|rpc| !rpc.is_empty()) else {
            return Event::Send(answer.error(&RpcError::bad_request("the field rpc, a text")));
        };
        // By far most messages are calls, and no action has a name like a verb's.
        if rpc.starts_with('_') || rpc == command::auth::NAME {
            return verb(rpc, envelope, answer);
        }
        call(rpc, envelope, answer)
    }
}

#[inline]
fn call<'a>(rpc: Cow<'a, str>, envelope: &Envelope<'a>, answer: Answer) -> Event<'a> {
    let timeout = match envelope.timeout_ms.map(command::call::timeout) {
        None => None,
        Some(Ok(timeout)) => timeout,
        Some(Err(error)) => return Event::Send(answer.error(&error)),
    };
    let data = envelope.req.unwrap_or(RawSlice::NULL);
    Event::Command(Command::Call(CallRequest { path: rpc, data, uuid: envelope.uuid, timeout }, answer))
}

#[inline(never)]
fn verb<'a>(rpc: Cow<'a, str>, envelope: &Envelope<'a>, answer: Answer) -> Event<'a> {
    let command = match &*rpc {
        command::subscribe::NAME => subscribe::request(envelope.req).map(Parsed::Subscribe),
        command::unsubscribe::NAME => subscribe::channel(envelope.req).map(Parsed::Unsubscribe),
        command::publish::NAME => publish::request(envelope.req).map(Parsed::Publish),
        command::acknowledge::NAME => acknowledge::request(envelope.req).map(Parsed::Acknowledge),
        command::history::NAME => history::request(envelope.req).map(Parsed::History),
        command::presence::NAME => presence::request(envelope.req).map(Parsed::Presence),
        command::broadcast::NAME => broadcast::data(envelope.req).map(Parsed::Broadcast),
        command::cancel::NAME => cancel::target(envelope.req).map(Parsed::Cancel),
        command::ping::NAME => return Event::Command(Command::Ping(answer)),
        command::answer::NAME => {
            return ClientAnswer::read(envelope.fid, envelope.resp)
                .map_or(Event::Ignore, |answer| Event::Command(Command::Answer(answer)));
        }
        command::auth::NAME => Err(RpcError::bad_request("one auth for each connection")),
        _ => return call(rpc, envelope, answer),
    };
    match command {
        Ok(parsed) => Event::Command(parsed.with(answer)),
        Err(error) => Event::Send(answer.error(&error)),
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

/// A command that is well formed and still lacks its [`Answer`].
enum Parsed<'a> {
    Subscribe(Subscribe),
    Unsubscribe(Channel),
    Publish(Publish<'a>),
    Broadcast(RawSlice<'a>),
    History(History),
    Presence(Presence<'a>),
    Acknowledge(Acknowledge),
    Cancel(RawSlice<'a>),
}

impl<'a> Parsed<'a> {
    fn with(self, answer: Answer) -> Command<'a> {
        match self {
            Self::Subscribe(subscribe) => Command::Subscribe(subscribe, answer),
            Self::Unsubscribe(channel) => Command::Unsubscribe(channel, answer),
            Self::Publish(publish) => Command::Publish(publish, answer),
            Self::Broadcast(data) => Command::Broadcast(data, answer),
            Self::History(history) => Command::History(history, answer),
            Self::Presence(presence) => Command::Presence(presence, answer),
            Self::Acknowledge(acknowledge) => Command::Acknowledge(acknowledge, answer),
            Self::Cancel(uuid) => Command::Cancel(uuid, answer),
        }
    }
}
