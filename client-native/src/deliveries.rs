//! The deliveries that are handled: one at a time, as a task of its own.
//!
//! In: what the session tells. Out: what is done with, by its name. Dropping this stops the handler that runs.

use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::handle::{Deliveries as Waiting, Handlers, Next};
use tokensocket_protocol::client::{DeliveryId, Event};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::command::Control;

pub(crate) struct Deliveries {
    waiting: Waiting,
    handlers: Handlers,
    control: mpsc::UnboundedSender<Control>,
    running: Option<DeliveryId>,
    tasks: JoinSet<bool>,
}

impl Deliveries {
    /// `control` leads to the driver.
    pub(crate) fn new(handlers: Handlers, control: mpsc::UnboundedSender<Control>) -> Self {
        Self { waiting: Waiting::default(), handlers, control, running: None, tasks: JoinSet::new() }
    }

    /// Something happened. Gives what has to be given back.
    pub(crate) fn tell(&mut self, event: &Event<RawJson>) -> Option<DeliveryId> {
        self.waiting.tell(event, &self.handlers)
    }

    pub(crate) fn handlers_changed(&mut self) {
        self.waiting.handlers_changed(&self.handlers);
    }

    /// Starts what there is to start.
    pub(crate) fn start(&mut self) {
        loop {
            let control = &self.control;
            let settle = |id| {
                let control = control.clone();
                move |is_done| {
                    // Without a driver there is nobody left to tell.
                    let _ = control.send(Control::Settle { id, is_done });
                }
            };
            match self.waiting.next(&self.handlers, settle) {
                Next::Handle(id, handling) => {
                    self.running = Some(id);
                    self.tasks.spawn(handling);
                }
                Next::HandedOver => {}
                Next::Nothing => return,
            }
        }
    }

    /// What is handled next, and whether it is done with. Waits for ever when nothing runs. May be dropped and called
    /// again.
    pub(crate) async fn next(&mut self) -> (DeliveryId, bool) {
        loop {
            let Some(joined) = self.tasks.join_next().await else { std::future::pending().await };
            if let Some(finished) = self.finish(joined) {
                return finished;
            }
        }
    }

    /// What is handled already, and whether it is done with.
    pub(crate) fn try_next(&mut self) -> Option<(DeliveryId, bool)> {
        let joined = self.tasks.try_join_next()?;
        self.finish(joined)
    }

    fn finish(&mut self, joined: Result<bool, JoinError>) -> Option<(DeliveryId, bool)> {
        let is_done = joined.unwrap_or_else(|_| {
            tracing::error!("a handler of a delivery panicked");
            false
        });
        self.waiting.finished();
        self.running.take().map(|id| (id, is_done))
    }

    /// Stops everything, and waits until it has stopped.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
