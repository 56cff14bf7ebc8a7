//! The API over real HTTP, with real clients.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

mod access;
mod batch;
mod http;
mod lists;
mod openapi;
mod operations;
mod send;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokensocket_client::{Builder, TokenSocket};
use tokensocket_server::socketio::{SocketIo, SocketIoOptions};
use tokensocket_server::{
    ChannelOptions, History, Identity, MemoryDeviceStore, Presence, QueueLimits, Server, TokenRequest,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use warp::Filter;

use crate::config::{Secret, SiteConfig};
use crate::front::{Front, accept};
use crate::pages::{self, Readiness};
use crate::site::{Site, Sites};
use http::{Answer, Request};

/// What is not there after so long won't come.
const LIMIT: Duration = Duration::from_secs(20);

/// A gateway with the sites `newsite` (key `54321`, prefix `user_`) and `other` (key `secret`).
struct Gateway {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Gateway {
    async fn start() -> Self {
        let newsite = SiteConfig {
            open: false,
            api_keys: vec![Secret::new("old"), Secret::new("54321")],
            user_room_prefix: Some("user_".to_owned()),
            public_channel: Some("browse".to_owned()),
            ..SiteConfig::open("newsite")
        };
        let other =
            SiteConfig { open: false, api_keys: vec![Secret::new("secret")], ..SiteConfig::open("other") };
        Self::with([newsite, other]).await
    }

    async fn with(configs: impl IntoIterator<Item = SiteConfig>) -> Self {
        Self::of(configs.into_iter().map(|config| (server(), config))).await
    }

    async fn of(served: impl IntoIterator<Item = (Server, SiteConfig)>) -> Self {
        let sites = Sites::default();
        for (server, config) in served {
            sites.insert(&Arc::new(Site::of(server, config).unwrap()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let io = SocketIo::new(SocketIoOptions::new());
        let others = warp::service(
            super::routes(&sites, None, &TaskTracker::new()).or(pages::routes(Readiness::default())),
        );
        tokio::spawn(accept(listener, Front::new(sites.clone(), io, others), stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }

    /// A client of a site, as this user in these rooms.
    fn client(&self, site: &str, user: &str, rooms: &str) -> Builder {
        TokenSocket::builder(format!("http://{}", self.address))
            .token_path(format!("/{site}/socket/token"))
            .socket_prefix(format!("/{site}/sockets"))
            .authentication(&json!({ "user": user, "rooms": rooms }))
            .subscription_buffer(1_000, 1 << 20)
    }

    /// One that takes deliveries of `event`, on a device of this name.
    async fn device(&self, site: &str, user: &str, rooms: &str, device: &str, event: &str) -> Device {
        let socket = self.client(site, user, rooms).device(device).connect().unwrap();
        let (hand, deliveries) = mpsc::unbounded_channel();
        socket.on_delivery_by_hand(event, move |delivery| {
            let _ = hand.send(delivery.args().parse().unwrap());
            delivery.acknowledge();
        });
        let (greet, mut greeted) = mpsc::unbounded_channel();
        socket.on_settings(move |_| {
            let _ = greet.send(());
        });
        ready(&socket).await;
        soon(greeted.recv()).await.unwrap();
        Device { socket, deliveries }
    }

    fn post(&self, target: &str, body: &Value) -> Request {
        Request::new(self.address, "POST", target).json(body)
    }

    fn get(&self, target: &str) -> Request {
        Request::new(self.address, "GET", target)
    }

    /// A command for `newsite`, with its key.
    async fn command(&self, name: &str, body: &Value) -> Answer {
        self.post(&format!("/api/v1/{name}?site=newsite"), body).bearer("54321").send().await
    }

    /// A question about `newsite`, with its key.
    async fn ask(&self, target: &str) -> Answer {
        let and = if target.contains('?') { '&' } else { '?' };
        self.get(&format!("/api/v1/{target}{and}site=newsite")).bearer("54321").send().await
    }
}

struct Device {
    socket: TokenSocket,
    deliveries: UnboundedReceiver<Value>,
}

impl Device {
    /// The arguments of the next delivery.
    async fn next(&mut self) -> Value {
        soon(self.deliveries.recv()).await.unwrap()
    }

    /// Nothing came but what was taken.
    fn is_quiet(&mut self) -> bool {
        self.deliveries.recv().now_or_never().is_none()
    }
}

async fn ready(socket: &TokenSocket) {
    soon(socket.ready()).await.unwrap();
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it did not come in time")
}

/// Who asks is whom he says, as every site does it for its own users.
fn server() -> Server {
    let channels =
        ChannelOptions::new().history(History::new(1_000, Duration::from_mins(5))).presence(Presence::new());
    Server::builder()
        .authenticate(|request: TokenRequest| async move {
            let user = request.query("user").unwrap_or_default();
            let rooms = request.query("rooms").unwrap_or_default();
            let rooms = rooms.split(',').filter(|room| !room.is_empty());
            Ok(Identity::new(json!({ "secret": "of the user" }))
                .public(json!({ "name": user }))
                .rooms(rooms)
                .user(user))
        })
        .channels("kept.>", channels)
        .device_store(MemoryDeviceStore::new(QueueLimits { bytes: 4_096, ..QueueLimits::default() }))
        .build()
        .unwrap()
}
