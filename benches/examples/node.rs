//! One node of a service whose nodes share an engine, for `cargo xtask bench --only engines`.
//!
//! In: the engine's URL, or none for a node by itself. Out: a line with its URL. Channels are open to everybody; those
//! below `kept.` keep their last 100 publications. A client is the user of the query's `user`, if it names one, and the
//! action `deliver` delivers to a user's devices.

#![allow(clippy::print_stdout, reason = "a program that tells where it is")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use serde::Deserialize;
use serde_json::json;
use tokensocket_server::{
    Actions, AuthenticateError, ChannelOptions, Data, DeliverOptions, History, Identity, Nats, NatsOptions,
    RawJson, Redis, RedisOptions, RpcError, Server, ServerBuilder, To, TokenRequest,
};
use tokio::net::TcpListener;

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The site: nodes that name it are one service.
const SITE: &str = "bench";

/// Serves.
#[derive(Parser)]
struct Arguments {
    /// `redis://…` or `nats://…`; without it, everything is in memory.
    #[arg(long)]
    engine: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let history = History::new(100, Duration::from_mins(5));
    let builder = Server::builder()
        .authenticate(authenticate)
        .actions(Actions::new().action("deliver", deliver))
        .channels("kept.>", ChannelOptions::new().history(history));
    let server = with_engine(builder, arguments.engine.as_deref()).await?.build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    server.serve(listener).await?;
    Ok(())
}

async fn authenticate(request: TokenRequest) -> Result<Identity, AuthenticateError> {
    let identity = Identity::new(json!({ "user": "bench" }));
    Ok(match request.query("user") {
        Some(user) => identity.user(user),
        None => identity,
    })
}

/// What to deliver, and to whom.
#[derive(Deserialize)]
struct Wish {
    user: String,
    event: String,
    args: RawJson,
}

/// Says to how many devices.
async fn deliver(Data(wish): Data<Wish>, server: Server) -> Result<usize, RpcError> {
    let Wish { user, event, args } = wish;
    let delivered = server.deliver(To::user(user), event, args, DeliverOptions::new()).await;
    match delivered.map_err(|error| RpcError::new(error.to_string()))?.devices {
        0 => Err(RpcError::new("it reached no device")),
        devices => Ok(devices),
    }
}

async fn with_engine(builder: ServerBuilder, url: Option<&str>) -> Result<ServerBuilder, Box<dyn Error>> {
    Ok(match url {
        None => builder,
        Some(url) if url.starts_with("nats") => {
            builder.engine(&Nats::connect(url, NatsOptions::new()).await?.namespace(SITE))
        }
        Some(url) => builder.engine(&Redis::connect(url, RedisOptions::new()).await?.namespace(SITE)?),
    })
}
