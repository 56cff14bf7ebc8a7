//! Between the runtimes of one process: a broker that hands each publication to the server of every runtime.
//!
//! In: what any of them publishes. Out: the same, in the same order, on each
//! runtime's own thread. A queue that is full makes the publisher wait.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, History, HistoryPage, HistoryQuery, NodeId,
    Publication, Publish, Published, RawJson, Timestamp,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Messages that may wait for one runtime.
const QUEUE: usize = 1024;

#[derive(Clone, Debug)]
enum Message {
    Publication(Publication),
    Broadcast(RawJson),
    Control(Control),
}

/// All runtimes' queues. Who holds the turn fills each of them, so that all see one order.
#[derive(Debug)]
struct Bus {
    turn: tokio::sync::Mutex<()>,
    queues: Vec<mpsc::Sender<Message>>,
}

/// One runtime's place on the bus.
#[derive(Debug)]
pub(crate) struct Seat {
    bus: Arc<Bus>,
    runtime: Handle,
    queued: Mutex<Option<mpsc::Receiver<Message>>>,
}

/// A place for each of `runtimes`.
pub(crate) fn seats(runtimes: &[Handle]) -> Vec<Seat> {
    let (queues, queued): (Vec<_>, Vec<_>) = runtimes.iter().map(|_| mpsc::channel(QUEUE)).unzip();
    let bus = Arc::new(Bus { turn: tokio::sync::Mutex::default(), queues });
    let seat = |(runtime, queued): (&Handle, _)| Seat {
        bus: Arc::clone(&bus),
        runtime: runtime.clone(),
        queued: Mutex::new(Some(queued)),
    };
    runtimes.iter().zip(queued).map(seat).collect()
}

impl Seat {
    fn send(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            let _turn = self.bus.turn.lock().await;
            for queue in &self.bus.queues {
                queue
                    .send(message.clone())
                    .await
                    .map_err(|_| BrokerError::Unavailable("a runtime has ended".to_owned()))?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Broker for Seat {
    fn start(&self, _: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut queued =
            queued.ok_or_else(|| BrokerError::Unavailable("a seat is for one server".to_owned()))?;
        self.runtime.spawn(async move {
            while let (Some(message), Some(handler)) = (queued.recv().await, handler.upgrade()) {
                match message {
                    Message::Publication(publication) => handler.handle_publication(&publication),
                    Message::Broadcast(message) => handler.handle_broadcast(&message),
                    Message::Control(control) => handler.handle_control(control),
                }
            }
        });
        Ok(())
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let Publish { channel, message, .. } = publish;
        let publication = Publication { channel, message, position: None };
        self.send(Message::Publication(publication)).map(|sent| sent.map(|()| Published::default())).boxed()
    }

    fn history(
        &self,
        _: &Channel,
        _: &History,
        _: HistoryQuery,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        ready(Err(BrokerError::Unsupported("no history".to_owned()))).boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.send(Message::Broadcast(message))
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.send(Message::Control(control))
    }

    fn subscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }
}
