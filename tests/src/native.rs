//! The native client, as the tests use it.
//!
//! In: a server's address. Out: a client that is ready, and all it tells its listeners, in order.

use std::net::SocketAddr;

use tokensocket_client::{Builder, ConnectionState, Event, Listener, TokenSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::limit::{until, within};

/// Describes a client of the user `ann`.
pub fn native(address: SocketAddr) -> Builder {
    TokenSocket::builder(format!("http://{address}")).authentication(&serde_json::json!({ "user": "ann" }))
}

/// Connects, and waits until the first attempt has succeeded.
pub async fn connected(builder: Builder) -> TokenSocket {
    let socket = builder.connect().expect("a client");
    within("a client to be ready", socket.ready()).await.expect("the server lets it in");
    socket
}

/// A client of the user `ann` that is ready.
pub async fn ready(address: SocketAddr) -> TokenSocket {
    connected(native(address)).await
}

/// Waits until a client is ready, however many attempts it takes.
pub async fn becomes_ready(socket: &TokenSocket) {
    until("a client to be ready", || socket.state() == ConnectionState::Ready).await;
}

/// Waits until a client has ended by itself.
pub async fn ends(socket: &TokenSocket) {
    until("a client to end", || socket.state() == ConnectionState::Ended).await;
}

/// What a client tells its listeners.
#[derive(Debug)]
pub struct Events {
    events: UnboundedReceiver<Event>,
    listeners: Vec<Listener>,
}

impl Events {
    /// Listens to everything from now on, and to a `ready` that was before.
    pub fn of(socket: &TokenSocket) -> Self {
        let (sender, events) = unbounded_channel();
        let listeners = ["ready", "reconnect", "disconnect", "message"].map(|name| {
            let sender = sender.clone();
            let heard = socket.on(name, move |event| {
                // The test may be over.
                let _ = sender.send(event.clone());
            });
            heard.expect("the event exists")
        });
        Self { events, listeners: listeners.to_vec() }
    }

    /// The next event.
    pub async fn next(&mut self) -> Event {
        within("an event", self.events.recv()).await.expect("the client is there")
    }

    /// What was told and not read yet.
    pub fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Removes all listeners.
    pub fn remove(&self) {
        self.listeners.iter().for_each(Listener::remove);
    }
}
