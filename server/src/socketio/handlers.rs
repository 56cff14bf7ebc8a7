//! What the application does with events.

use std::collections::HashMap;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::args::{EventArgs, IntoAck};
use crate::guarded::Guarded;
use crate::socket::Socket;

type Handler = Box<dyn Fn(Socket, &str, EventArgs) -> BoxFuture<'static, EventArgs> + Send + Sync>;

/// Handlers by event.
#[derive(Default)]
pub(super) struct Handlers {
    named: HashMap<Box<str>, Handler>,
    any: Option<Handler>,
}

impl Handlers {
    pub(super) fn on<F, Fut>(&mut self, event: &str, handler: F)
    where
        F: Fn(Socket, EventArgs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send + 'static,
    {
        let handler = move |socket, _: &str, args| handler(socket, args).map(IntoAck::into_ack).boxed();
        self.named.insert(event.into(), Box::new(handler));
    }

    pub(super) fn on_any<F, Fut>(&mut self, handler: F)
    where
        F: Fn(Socket, String, EventArgs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send + 'static,
    {
        let handler = move |socket, event: &str, args| {
            handler(socket, event.to_owned(), args).map(IntoAck::into_ack).boxed()
        };
        self.any = Some(Box::new(handler));
    }

    /// Begins to handle an event; `None` when nobody does. A handler that panics acknowledges nothing.
    pub(super) fn handle(
        &self,
        socket: &Socket,
        event: &str,
        args: EventArgs,
    ) -> Option<BoxFuture<'static, Option<EventArgs>>> {
        let handler = self.named.get(event).or(self.any.as_ref())?;
        let handling = Guarded::begin(|| handler(socket.clone(), event, args));
        let name = event.to_owned();
        let handling = async move {
            let handled = handling.await;
            if handled.is_err() {
                tracing::error!(event = %name, "the handler of an event panicked");
            }
            handled.ok()
        };
        Some(handling.boxed())
    }
}
