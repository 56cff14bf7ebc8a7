//! What is told by the driver, and whom it concerns.
//!
//! In: outcomes, events and invocations. Out: replies to who waits, full buffers, listeners called, actions
//! run. Nothing is borrowed while a listener runs or an action is polled, since both may make requests.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use tokensocket_protocol::action::{Call, Deadline, StateMap};
use tokensocket_protocol::client::handle::{Buffer, Listeners, Subscribers};
use tokensocket_protocol::client::{CallError, ConnectionError, Event, State as ConnectionState};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Channel, RawJson, RpcError};
use tokio::sync::{oneshot, watch};
use wasm_bindgen_futures::spawn_local;

use super::mail::Mail;
use super::socket::{Actions, Shared, TokenSocket};
use crate::driver::Face;

pub(crate) type Outcome = Result<RawJson, CallError<RawJson>>;

/// Who waits for a request's outcome.
pub(crate) struct Waiter {
    pub(crate) id: u64,
    pub(crate) reply: oneshot::Sender<Outcome>,
    pub(crate) subscription: Option<(Channel, Arc<Buffer>)>,
}

/// What everybody may see.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: ConnectionState,
    pub(crate) ready: Option<Result<(), ConnectionError>>,
    /// The connection is closed for good, and nothing of it is left.
    pub(crate) closed: bool,
}

pub(crate) struct Ears {
    pub(crate) status: watch::Sender<Status>,
    pub(crate) listeners: Listeners,
    pub(crate) mail: Mail,
    pub(crate) subscribers: RefCell<Subscribers>,
    pub(crate) actions: RefCell<Rc<Actions>>,
    pub(crate) state: StateMap,
    /// The actions that run, by the server's name for the call.
    running: RefCell<HashMap<String, AbortHandle>>,
    /// What a handle is made of, for actions.
    shared: OnceCell<Weak<Shared>>,
}

impl Ears {
    pub(crate) fn new(actions: Actions, state: StateMap) -> Self {
        let status = Status { state: ConnectionState::Disconnected, ready: None, closed: false };
        Self {
            status: watch::Sender::new(status),
            listeners: Listeners::default(),
            mail: Mail::new(),
            subscribers: RefCell::default(),
            actions: RefCell::new(Rc::new(actions)),
            state,
            running: RefCell::default(),
            shared: OnceCell::new(),
        }
    }

    /// Whom handles belong to. Set once.
    pub(crate) fn belong_to(&self, shared: Weak<Shared>) {
        let _ = self.shared.set(shared);
    }

    fn handle(&self) -> Option<TokenSocket> {
        self.shared.get()?.upgrade().map(|shared| TokenSocket { shared })
    }

    fn stop_all(&self) {
        self.mail.stop();
        for (_, action) in self.running.take() {
            action.abort();
        }
    }
}

impl Face<NativeCodec> for Ears {
    type Waiter = Waiter;

    fn settle(&self, waiter: Waiter, outcome: Outcome) {
        if let (Err(_), Some((channel, buffer))) = (&outcome, waiter.subscription) {
            self.subscribers.borrow_mut().fail(channel.as_str(), &buffer);
        }
        // Whoever waited may have gone in this moment; a subscription then leaves by itself.
        let _ = waiter.reply.send(outcome);
    }

    fn tell(&self, event: Event<RawJson>) {
        if matches!(event, Event::Delivery { .. } | Event::Resync { .. }) {
            if let Some(socket) = self.handle() {
                self.mail.push(event, &socket);
            }
            return;
        }
        match &event {
            Event::State(state) => self.status.send_modify(|status| status.state = *state),
            Event::Ready(outcome) => {
                self.status.send_modify(|status| status.ready = Some(outcome.clone()));
            }
            _ => self.subscribers.borrow_mut().tell(&event),
        }
        self.listeners.tell(event);
    }

    fn invoke(&self, fid: String, path: String, data: RawJson, timeout: Option<Duration>) {
        // Without a handle the client is about to end.
        let Some(socket) = self.handle() else { return };
        let deadline = timeout.map_or_else(Deadline::default, Deadline::after);
        let actions = Rc::clone(&self.actions.borrow());
        let name = fid.clone();
        let (action, stop) = abortable(async move {
            let running = {
                let state = &socket.ears().state;
                actions.call(&path, &Call { data: (&data).into(), deadline, context: &socket, state })
            };
            let outcome = match running {
                Some(running) => running.await,
                None => Err(RpcError::not_found()),
            };
            socket.ears().running.borrow_mut().remove(&name);
            socket.answer(&name, outcome);
        });
        self.running.borrow_mut().insert(fid, stop);
        spawn_local(async move {
            // An action that was stopped has nobody to tell.
            let _ = action.await;
        });
    }

    fn cancelled(&self, fid: String) {
        let action = self.running.borrow_mut().remove(&fid);
        if let Some(action) = action {
            action.abort();
        }
    }

    fn ended(&self) {
        self.stop_all();
        self.subscribers.borrow_mut().end_all();
        self.status.send_modify(|status| status.closed = true);
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.stop_all();
        self.subscribers.get_mut().end_all();
    }
}
