//! What was delivered to this device, on its way to its handlers.
//!
//! In: what the session tells, handlers that come and go. Out: handlers that run, one after the other; what is handled
//! and what is given back. Which is whose turn, [`Deliveries`] knows. A handler may do anything at once, such as to
//! add another: whoever is at work here goes on with that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;

use futures_util::future::{AbortHandle, abortable};
use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::handle::{Deliveries, Handlers, Handling, Next};
use tokensocket_protocol::client::{DeliveryId, Event};
use tokio::sync::mpsc;
use wasm_bindgen_futures::spawn_local;

use super::socket::{Shared, TokenSocket};

type Settled = (DeliveryId, bool);

pub(crate) struct Mail {
    pub(crate) handlers: Handlers,
    /// What came and nobody looked at.
    inbox: RefCell<VecDeque<Event<RawJson>>>,
    /// There are other handlers than before.
    changed: Cell<bool>,
    waiting: RefCell<Deliveries>,
    running: RefCell<Option<AbortHandle>>,
    /// What was acknowledged by hand, or dropped: there may be at most one of each delivery.
    by_hand: mpsc::UnboundedSender<Settled>,
    settled: RefCell<mpsc::UnboundedReceiver<Settled>>,
}

impl Mail {
    pub(crate) fn new() -> Self {
        let (by_hand, settled) = mpsc::unbounded_channel();
        Self {
            handlers: Handlers::default(),
            inbox: RefCell::default(),
            changed: Cell::new(false),
            waiting: RefCell::default(),
            running: RefCell::default(),
            by_hand,
            settled: RefCell::new(settled),
        }
    }

    /// Something was delivered.
    pub(crate) fn push(&self, event: Event<RawJson>, socket: &TokenSocket) {
        self.inbox.borrow_mut().push_back(event);
        self.work(socket);
    }

    pub(crate) fn handlers_changed(&self, socket: &TokenSocket) {
        self.changed.set(true);
        self.work(socket);
    }

    /// Says what was settled by hand.
    pub(crate) fn settle_by_hand(&self, socket: &TokenSocket) {
        loop {
            let Ok((id, is_done)) = self.settled.borrow_mut().try_recv() else { return };
            socket.settle(id, is_done);
        }
    }

    /// Stops the handler that runs.
    pub(crate) fn stop(&self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    fn work(&self, socket: &TokenSocket) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        loop {
            if self.changed.take() {
                waiting.handlers_changed(&self.handlers);
            }
            let event = self.inbox.borrow_mut().pop_front();
            if let Some(event) = event {
                if let Some(id) = waiting.tell(&event, &self.handlers) {
                    socket.settle(id, false);
                }
                continue;
            }
            let by_hand = |id| {
                let by_hand = self.by_hand.clone();
                move |is_done| {
                    // Without a client there is nobody left to tell.
                    let _ = by_hand.send((id, is_done));
                }
            };
            match waiting.next(&self.handlers, by_hand) {
                Next::Handle(id, handling) => self.start(socket, id, handling),
                Next::HandedOver => {}
                Next::Nothing if self.changed.get() || !self.inbox.borrow().is_empty() => {}
                Next::Nothing => return,
            }
        }
    }

    fn start(&self, socket: &TokenSocket, id: DeliveryId, handling: Handling) {
        let (handling, stop) = abortable(handling);
        self.running.replace(Some(stop));
        let socket = socket.clone();
        spawn_local(async move {
            // One that was stopped has nobody to tell.
            let Ok(is_done) = handling.await else { return };
            let mail = &socket.ears().mail;
            if let Ok(mut waiting) = mail.waiting.try_borrow_mut() {
                waiting.finished();
            }
            socket.settle(id, is_done);
            mail.work(&socket);
        });
    }
}

/// Says what is settled by hand for as long as there is a client.
pub(crate) async fn settle_by_hand(shared: Weak<Shared>) {
    let wait = || {
        poll_fn(|context| match shared.upgrade() {
            Some(shared) => shared.driver.face().mail.settled.borrow_mut().poll_recv(context),
            None => Poll::Ready(None),
        })
    };
    while let Some((id, is_done)) = wait().await {
        let Some(shared) = Weak::upgrade(&shared) else { return };
        TokenSocket { shared: Rc::clone(&shared) }.settle(id, is_done);
    }
}
