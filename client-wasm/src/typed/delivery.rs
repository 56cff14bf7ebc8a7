//! What a handle offers on deliveries to this device.

use std::fmt;
use std::future::Future;

use serde::de::DeserializeOwned;
use tokensocket_protocol::client::handle::{Delivery, DeliveryHandler, Resync};
use tokensocket_protocol::{MaybeSend, MaybeSync};

use super::socket::TokenSocket;

impl TokenSocket {
    /// Handles deliveries of the event `event` by an async function of their arguments, read as a `T`: a tuple, a
    /// `Vec`, or [`RawJson`](crate::RawJson). It takes the place of an earlier one.
    ///
    /// The server keeps a delivery until the function answered `Ok`. An error is logged, and arguments that are no
    /// `T` are one; what was not handled comes again after the next reconnect. Handlers run one after the other, in
    /// the server's order. What comes for an event without a handler waits for one. A delivery comes once for as
    /// long as this client lives, and again to a client that is started anew before the acknowledgement reached the
    /// server.
    ///
    /// ```no_run
    /// # fn run(socket: &tokensocket_wasm::TokenSocket) {
    /// socket.on_delivery("order", |(id, total): (u64, f64)| async move {
    ///     println!("order {id}: {total}");
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// # }
    /// ```
    pub fn on_delivery<T, F, Fut, E>(&self, event: impl Into<String>, handler: F) -> DeliveryHandler
    where
        T: DeserializeOwned,
        F: Fn(T) -> Fut + MaybeSync + 'static,
        Fut: Future<Output = Result<(), E>> + MaybeSend + 'static,
        E: fmt::Display,
    {
        let handler = self.ears().mail.handlers.on_delivery(event, handler);
        self.ears().mail.handlers_changed(self);
        handler
    }

    /// Handles deliveries of the event `event` by a function that gets each [`Delivery`] and acknowledges it
    /// whenever it likes. The next one does not wait for that. The function runs where the page's events are
    /// handled: it should be quick.
    pub fn on_delivery_by_hand(
        &self,
        event: impl Into<String>,
        handler: impl Fn(Delivery) + MaybeSync + 'static,
    ) -> DeliveryHandler {
        let handler = self.ears().mail.handlers.on_delivery_by_hand(event, handler);
        self.ears().mail.handlers_changed(self);
        handler
    }

    /// Handles resyncs by an async function: deliveries are lost to this device, and what they were about has to be
    /// fetched. It takes the place of an earlier one and has its turn as the handlers of deliveries do: what was
    /// delivered before it is handled before it. A resync that was not answered with `Ok` comes again after the next
    /// reconnect.
    pub fn on_resync<F, Fut, E>(&self, handler: F) -> DeliveryHandler
    where
        F: Fn(Resync) -> Fut + MaybeSync + 'static,
        Fut: Future<Output = Result<(), E>> + MaybeSend + 'static,
        E: fmt::Display,
    {
        let handler = self.ears().mail.handlers.on_resync(handler);
        self.ears().mail.handlers_changed(self);
        handler
    }
}
