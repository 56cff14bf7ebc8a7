//! Does what the session says, with what a page offers.
//!
//! ```text
//! face ──requests──▶ ┌────────┐ ──▶ token request, transport
//!        page hints ▶│ Driver │ ──▶ one timer
//! network, clock ──▶ └────────┘ ──▶ face: outcomes, events, invocations
//! ```
//!
//! Everything runs on one thread, but JavaScript calls back at any time: while the face is told something it
//! may make requests. So nothing is borrowed while JavaScript runs, and what such a request brings about is
//! done by the loop that already runs, in order. It must not know what a payload is.

mod face;
mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokensocket_protocol::client::{CallId, Output, Publication, Session, State};
use wasm_bindgen::JsValue;

pub(crate) use self::face::{Face, Framing};
use self::waiters::Waiters;
use crate::listener::Listener;
use crate::page::PageHints;
use crate::timer::{Timer, now};
use crate::token::{TokenRequest, TokenSource};
use crate::transport::{Closed, Listeners, Transport};

/// How long the end waits for the server to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where to connect.
pub(crate) struct Target {
    /// How to ask for tokens.
    pub(crate) token: TokenSource,
    /// The WebSocket's absolute URL; the other transports' are beside it.
    pub(crate) socket_url: String,
    /// By what means it may be reached: see transport.js.
    pub(crate) ways: JsValue,
}

/// A session at work. Dropped, it closes at once and tells nobody.
pub(crate) struct Driver<C: Framing, F: Face<C>> {
    inner: Rc<Inner<C, F>>,
}

struct Inner<C: Framing, F: Face<C>> {
    face: F,
    target: Target,
    session: RefCell<Session<C>>,
    waiters: RefCell<Waiters<F::Waiter>>,
    timer: Timer,
    page: RefCell<Option<PageHints>>,
    answered: Listener,
    listeners: Listeners,
    _received: Listener,
    _published: Listener,
    token_request: RefCell<Option<TokenRequest>>,
    transport: RefCell<Option<Rc<Transport>>>,
    /// The loop runs, further down the stack.
    draining: Cell<bool>,
    end: Cell<End>,
}

/// How far the end of it all has come.
#[derive(Clone, Copy, PartialEq)]
enum End {
    NotYet,
    Closing,
    Told,
}

impl<C: Framing + 'static, F: Face<C>> Driver<C, F> {
    /// Starts to connect at once; the face may be told something before this returns.
    pub(crate) fn start(session: Session<C>, target: Target, face: F) -> Self {
        let inner = Rc::new_cyclic(|weak| {
            let listener = |handle: fn(&Rc<Inner<C, F>>, JsValue)| listener(weak.clone(), handle);
            let (received, published) = (listener(Inner::received), listener(Inner::published));
            Inner {
                face,
                target,
                session: RefCell::new(session),
                waiters: RefCell::new(Waiters::new()),
                timer: Timer::new(listener(|inner, _| inner.due())),
                page: RefCell::new(Some(PageHints::listen(listener(|inner, _| inner.wake())))),
                answered: listener(Inner::answered),
                listeners: Listeners {
                    opened: listener(|inner, _| inner.opened()),
                    received: C::reader(&received, &published),
                    closed: listener(Inner::closed),
                },
                _received: received,
                _published: published,
                token_request: RefCell::new(None),
                transport: RefCell::new(None),
                draining: Cell::new(false),
                end: Cell::new(End::NotYet),
            }
        });
        inner.advance(Session::handle_start);
        Self { inner }
    }

    /// Makes a request with one of the session's methods.
    pub(crate) fn request(&self, waiter: F::Waiter, make: impl FnOnce(&mut Session<C>, Duration) -> CallId) {
        let waiters = &self.inner.waiters;
        self.inner.advance(|session, now| {
            let call = make(session, now);
            waiters.borrow_mut().add(call, waiter);
        });
    }

    /// Gives up the request that is known by this.
    pub(crate) fn cancel(&self, is_it: impl Fn(&F::Waiter) -> bool) {
        let call = self.inner.waiters.borrow().find(is_it);
        if let Some(call) = call {
            self.advance(|session, now| session.handle_cancel(now, call));
        }
    }

    /// Hands something to the session, and does what it says.
    pub(crate) fn advance(&self, handle: impl FnOnce(&mut Session<C>, Duration)) {
        self.inner.advance(handle);
    }

    /// Asks the session something; `None` while it is being told something.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&Session<C>) -> R) -> Option<R> {
        self.inner.session.try_borrow().ok().map(|session| question(&session))
    }

    /// The name of the transport by which something was heard last.
    #[cfg(feature = "typed")]
    pub(crate) fn transport(&self) -> Option<String> {
        crate::transport::name(&self.inner.target.ways)
    }

    /// Whom it tells.
    pub(crate) fn face(&self) -> &F {
        &self.inner.face
    }
}

fn listener<C: Framing + 'static, F: Face<C>>(
    weak: Weak<Inner<C, F>>,
    handle: fn(&Rc<Inner<C, F>>, JsValue),
) -> Listener {
    Listener::new(move |value| {
        if let Some(inner) = weak.upgrade() {
            handle(&inner, value);
        }
    })
}

impl<C: Framing + 'static, F: Face<C>> Inner<C, F> {
    fn advance(&self, handle: impl FnOnce(&mut Session<C>, Duration)) {
        let now = now();
        // Only a page that makes JSON itself call back can find it borrowed.
        if let Ok(mut session) = self.session.try_borrow_mut() {
            handle(&mut session, now);
        }
        self.drain();
    }

    /// Does what the session says, until it says nothing more.
    fn drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        while let Some(output) = self.next_output() {
            self.act(output);
        }
        self.draining.set(false);
        let (state, timeout) = match self.session.try_borrow() {
            Ok(session) => (session.state(), session.poll_timeout()),
            Err(_) => return,
        };
        if state == State::Ended {
            self.finish();
        } else if let Some(timeout) = timeout {
            self.timer.arm(timeout);
        }
    }

    fn next_output(&self) -> Option<Output<C>> {
        self.session.try_borrow_mut().ok()?.poll_output()
    }

    /// Shared, so that nothing is borrowed while the transport works.
    fn transport(&self) -> Option<Rc<Transport>> {
        self.transport.borrow().clone()
    }

    fn act(&self, output: Output<C>) {
        match output {
            Output::RequestToken => {
                let request = self.target.token.ask(&self.answered);
                self.token_request.replace(Some(request));
            }
            Output::Open => {
                let Target { ways, socket_url, .. } = &self.target;
                let transport = Transport::open(ways, socket_url, &self.listeners);
                self.transport.replace(Some(Rc::new(transport)));
            }
            Output::Send(text) => {
                if let Some(transport) = self.transport() {
                    transport.send(&C::transmit(text));
                }
            }
            Output::Close(close) => {
                self.token_request.take();
                let ended = self.session.try_borrow().is_ok_and(|session| session.state() == State::Ended);
                if ended {
                    if let Some(transport) = self.transport() {
                        transport.close(&close, &self.listeners.closed);
                    }
                } else {
                    self.transport.take();
                }
            }
            Output::Resolve { call, outcome } => {
                let waiter = self.waiters.borrow_mut().take(call);
                if let Some(waiter) = waiter {
                    self.face.settle(waiter, outcome);
                }
            }
            Output::Invoke { fid, path, args, deadline } => {
                let timeout = deadline.map(|deadline| deadline.saturating_sub(now()));
                self.face.invoke(fid, path, args, timeout);
            }
            Output::CancelInvocation { fid } => self.face.cancelled(fid),
            Output::Event(event) => self.face.tell(event),
            _ => {}
        }
    }

    /// The session has ended: lets go of everything, and says so from the timer, where nothing of ours is
    /// on the stack and the face may drop us.
    fn finish(&self) {
        if self.end.get() != End::NotYet {
            return;
        }
        self.end.set(End::Closing);
        self.page.take();
        self.token_request.take();
        self.timer.disarm();
        let closing = self.transport().is_some();
        let wait = if closing { CLOSE_TIMEOUT } else { Duration::ZERO };
        self.timer.arm(now().saturating_add(wait));
    }

    fn due(&self) {
        self.timer.fired();
        match self.end.get() {
            End::NotYet => self.advance(Session::handle_timeout),
            End::Closing => {
                self.transport.take();
                self.end.set(End::Told);
                self.face.ended();
            }
            End::Told => {}
        }
    }

    fn wake(&self) {
        self.advance(Session::handle_wake);
    }

    fn answered(self: &Rc<Self>, answer: JsValue) {
        self.token_request.take();
        let token = TokenRequest::answer(answer);
        self.advance(|session, now| session.handle_token(now, token));
    }

    fn opened(&self) {
        self.advance(Session::handle_opened);
    }

    fn received(self: &Rc<Self>, message: JsValue) {
        if let Some(text) = C::receive(message) {
            self.advance(|session, now| session.handle_text(now, &text));
        }
    }

    /// The short way, since publications are most of what comes: no time is asked for, nothing is queued.
    /// What the face requests meanwhile is done after it was told, as on the long way.
    fn published(self: &Rc<Self>, message: JsValue) {
        match self.take(&message) {
            Publication::Tell => {
                self.draining.set(true);
                self.face.tell(C::publication(message));
                self.draining.set(false);
                self.drain();
            }
            Publication::Told => {}
            Publication::Long => self.received(message),
        }
    }

    fn take(&self, message: &JsValue) -> Publication {
        if self.draining.get() {
            return Publication::Long;
        }
        let place = C::place(message);
        let place = place.as_ref().map(|(channel, offset)| (channel.as_str(), *offset));
        let session = self.session.try_borrow_mut();
        session.map_or(Publication::Long, |mut session| session.handle_publication(place))
    }

    fn closed(self: &Rc<Self>, closed: JsValue) {
        self.transport.take();
        if self.end.get() == End::NotYet {
            self.advance(|session, now| match Transport::closed(closed) {
                Closed::Lost(why) => session.handle_closed(now, why),
                Closed::Detour => session.handle_detour(),
            });
        } else {
            self.timer.arm(now());
        }
    }
}
