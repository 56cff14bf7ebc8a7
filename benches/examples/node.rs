//! One node of a service whose nodes share an engine, for `cargo xtask bench --only engines`.
//!
//! In: the engine's URL, or none for a node by itself. Out: a line with its URL. Channels are open to everybody; those
//! below `kept.` keep their last 100 publications.

#![allow(clippy::print_stdout, reason = "a program that tells where it is")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokensocket_server::{
    ChannelOptions, History, Identity, Nats, NatsOptions, Redis, RedisOptions, Server, ServerBuilder,
    TokenRequest,
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
        .authenticate(|_: TokenRequest| async { Ok(Identity::new(json!({ "user": "bench" }))) })
        .channels("kept.>", ChannelOptions::new().history(history));
    let server = with_engine(builder, arguments.engine.as_deref()).await?.build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    server.serve(listener).await?;
    Ok(())
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
