//! One of several nodes: a server whose tokens, publications, presence and deliveries are an engine's.
//!
//! In: one argument, JSON: [`Orders`]. Out: on standard output, where it listens, and its log. It ends well when it is
//! asked to by SIGTERM, closing its sockets at the rate that was ordered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's program stops at what it does not expect"
)]

use std::time::Duration;

use tokensocket_server::{
    Actions, ChannelOptions, Data, DeliverOptions, Drain, History, Presence, RawJson, RpcError, Server,
    ServerBuilder, To,
};
use tokensocket_tests::device::builder;
use tokensocket_tests::nodes::{CHANNELS, CROWD, EVENT, Order, Orders, ROOM};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The site: all nodes that name it are one.
#[cfg(any(feature = "nats", feature = "redis"))]
const SITE: &str = "tests";

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter()).init();
    let orders: Orders = serde_json::from_str(&std::env::args().nth(1).expect("an argument")).unwrap();
    let server = with_engine(builder(), &orders).await;
    let history = History::new(1 << 20, Duration::from_hours(1)).bytes(1 << 28);
    let mut server = server
        .outbox(1 << 20, 1 << 30)
        .on_history(async |_, _| Ok(()))
        .channels(ROOM, ChannelOptions::new().presence(Presence::new()))
        .actions(Actions::new().action("echo", echo).action("deliver", deliver));
    for channel in CHANNELS.into_iter().chain([CROWD]) {
        server = server.channels(channel, ChannelOptions::new().history(history.clone()));
    }
    if let Some(rate) = orders.drain {
        server = server.drain(Drain::at_rate(rate));
    }
    let server = server.build().expect("the server can be built");
    let listener = TcpListener::bind(orders.address).await.expect("the port is free");
    let mut asked = signal(SignalKind::terminate()).expect("signals can be heard");
    println!("listening on http://{}", orders.address);
    let serving = server.clone();
    let serving = tokio::spawn(async move { serving.serve(listener).await.expect("it serves") });
    asked.recv().await;
    server.shutdown().await;
    serving.await.expect("it ends well");
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())
}

async fn with_engine(builder: ServerBuilder, orders: &Orders) -> ServerBuilder {
    let Orders { engine: url, lease, .. } = orders;
    #[cfg(feature = "redis")]
    if url.starts_with("redis") {
        use tokensocket_server::{Redis, RedisOptions};

        let options = lease.iter().fold(RedisOptions::new(), |options, lease| options.lease(*lease));
        let redis = Redis::connect(url, options).await.expect("Redis is there");
        return builder.engine(&redis.namespace(SITE).expect("a name"));
    }
    #[cfg(feature = "nats")]
    if url.starts_with("nats") {
        use tokensocket_server::{Nats, NatsOptions};

        let options = lease.iter().fold(NatsOptions::new(), |options, lease| options.lease(*lease));
        let nats = Nats::connect(url, options).await.expect("NATS is there");
        return builder.engine(&nats.namespace(SITE));
    }
    let _ = (builder, lease);
    panic!("no engine that is built in speaks {url}")
}

async fn echo(Data(value): Data<RawJson>) -> Result<RawJson, RpcError> {
    Ok(value)
}

/// Delivers, and answers for how many devices it is kept, when it is.
async fn deliver(Data(order): Data<Order>, server: Server) -> Result<usize, RpcError> {
    let options = order.key.into_iter().fold(DeliverOptions::new(), DeliverOptions::key);
    let delivered = server.deliver(To::user(order.user), EVENT, order.said, options).await;
    match delivered {
        // One that was accepted before tells of no devices.
        Ok(delivered) if delivered.duplicate => Ok(1),
        Ok(delivered) => Ok(delivered.devices),
        Err(error) => Err(RpcError::new(error.to_string())),
    }
}
