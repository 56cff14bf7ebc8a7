//! Nothing accepted is lost: a phone that was away gets what it missed, from its channel and from its queue.
//!
//! ```text
//! cargo run --release --example away
//! ```
//!
//! One process shows both sides. The server keeps the channel `prices` and ann's deliveries in a directory. It is
//! stopped, and a new one opens the directory, as in a deploy: prices change and an order comes before the phone is
//! back. Then the phone itself is switched off and on again. What it prints, with what came while it was away behind
//! the line that says so, is each message once, in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use futures_util::StreamExt;
use serde_json::json;
use tokensocket_client::{Delivery, Subscription, TokenSocket};
use tokensocket_server::{
    AuthenticateError, ChannelOptions, DeliverOptions, EmbeddedOptions, EmbeddedStore, History, Identity,
    ServeError, Server, To, TokenRequest,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Nothing accepted is lost: a phone that was away gets what it missed
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to keep things; without it, in a directory that is removed at the end
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let temporary = tempfile::tempdir()?;
    let folder = options.data.unwrap_or_else(|| temporary.path().to_owned());

    let open = Shop::open(&folder)?.serve(options.listen).await?;
    let (address, url) = (open.address, format!("http://{}", open.address));
    println!("listening on {url}");
    let mut phone = Phone::switch_on(&url).await?;
    let mut prices = phone.socket.subscribe("prices").await?.typed::<u32>();
    open.shop.server.publish("prices", 10).await?;
    open.shop.order(1).await?;
    println!("phone: price {}", next(&mut prices).await?);
    println!("phone: order {}", phone.order().await?);

    println!("-- the server is replaced");
    open.close().await?;
    let shop = Shop::open(&folder)?;
    // The phone tries to come back, and cannot yet.
    shop.server.publish("prices", 11).await?;
    shop.server.publish("prices", 12).await?;
    shop.order(2).await?;
    let open = shop.serve(address).await?;
    println!("phone: price {}", next(&mut prices).await?);
    println!("phone: price {}", next(&mut prices).await?);
    println!("phone: order {}", phone.order().await?);

    println!("-- the phone is switched off");
    phone.socket.end().await;
    open.shop.order(3).await?;
    open.shop.order(4).await?;
    println!("-- and on again");
    let mut phone = Phone::switch_on(&url).await?;
    println!("phone: order {}", phone.order().await?);
    println!("phone: order {}", phone.order().await?);
    phone.socket.end().await;
    open.close().await
}

async fn next(prices: &mut Subscription<u32>) -> anyhow::Result<u32> {
    Ok(prices.next().await.context("the subscription ended")??)
}

// The server's side.

/// A server, and what it keeps.
struct Shop {
    server: Server,
    store: EmbeddedStore,
}

/// A shop that people can reach.
struct OpenShop {
    shop: Shop,
    address: SocketAddr,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Shop {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let (store, found) = EmbeddedStore::open(folder, EmbeddedOptions::new())?;
        if !found.is_whole() {
            eprintln!("the store was damaged: {:?}", found.damage);
        }
        let a_day = History::new(1_000, Duration::from_hours(24));
        let server = Server::builder()
            .authenticate(authenticate)
            .broker(store.broker())
            .device_store(store.devices())
            .channels("prices", ChannelOptions::new().history(a_day))
            // The one client here need not be kept apart from others that come back.
            .reconnect_spread(Duration::ZERO)
            .build()?;
        Ok(Self { server, store })
    }

    /// Returns when the order is on the disk: from then on it reaches every device of ann's.
    async fn order(&self, number: u32) -> anyhow::Result<()> {
        let options = DeliverOptions::new().key(format!("order-{number}"));
        self.server.deliver(To::user("ann"), "order", number, options).await?;
        Ok(())
    }

    async fn serve(self, address: SocketAddr) -> anyhow::Result<OpenShop> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let server = self.server.clone();
        let serving = tokio::spawn(async move { server.serve(listener).await });
        Ok(OpenShop { shop: self, address, serving })
    }
}

impl OpenShop {
    async fn close(self) -> anyhow::Result<()> {
        self.shop.server.shutdown().await;
        self.serving.await??;
        // Writing the rest blocks.
        Ok(tokio::task::spawn_blocking(move || self.shop.store.close()).await?)
    }
}

async fn authenticate(request: TokenRequest) -> Result<Identity, AuthenticateError> {
    let user = request.query("user").ok_or(AuthenticateError::Forbidden)?;
    Ok(Identity::new(&user).user(user))
}

// The client's side.

/// Ann's phone, and the orders that came to it.
struct Phone {
    socket: TokenSocket,
    orders: mpsc::UnboundedReceiver<Delivery>,
}

impl Phone {
    async fn switch_on(url: &str) -> anyhow::Result<Self> {
        let socket =
            TokenSocket::builder(url).authentication(&json!({ "user": "ann" })).device("phone").connect()?;
        // `on_delivery` acknowledges by itself what its handler answers with `Ok`.
        let (hand, orders) = mpsc::unbounded_channel();
        socket.on_delivery_by_hand("order", move |delivery| {
            let _ = hand.send(delivery);
        });
        socket.on_unrecovered(|channel| println!("{channel}: fetch the state, some of it was lost"));
        socket.ready().await?;
        Ok(Self { socket, orders })
    }

    /// The next order. Acknowledged once it is read, it does not come again.
    async fn order(&mut self) -> anyhow::Result<u32> {
        let delivery = self.orders.recv().await.context("the phone is switched off")?;
        let (number,) = delivery.args().parse()?;
        delivery.acknowledge();
        Ok(number)
    }
}
