//! A push service in one setting: sites as the gateway has them, one-time tokens, and event clients.
//!
//! ```text
//! cargo run --release --example push_service -- --listen 127.0.0.1:1337 --with-site
//! ```
//!
//! - The sites `newsite` and `site2` of `tokensocket.yml`, whose application is at `http://127.0.0.1:18299`:
//!   `io("http://127.0.0.1:1337/newsite?token=…&deviceId=…")`, `POST /send?site=newsite&apiKey=54321`, and all else that
//!   the gateway has. With `--with-site` this program plays the application, too.
//! - A server of the example's own, without a site. `GET /api/v1/user/sockettoken?user=ann` gives a token that is good once,
//!   for `io("http://127.0.0.1:1337", { query: { token } })`, for a client of TokenSocket's own, or for an event
//!   client. `POST /interop/emit-to-users`, `/interop/emit-to-everyone` and `/interop/disconnect-users` reach these,
//!   whatever they speak.
//! - Event clients at `/events/off`, `/events/true`, `/events/data` and `/events/passthrough`, with a token or without: one
//!   endpoint for each mode. They ask for `data:get:thing` and `data:get:later`, and `echo:message` is sent back.

mod application;
mod events;
mod interop;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use tokensocket_gateway::Gateway;
use tokensocket_server::socketio::NamespaceOptions;
use tokensocket_server::{AuthenticateError, Identity, Server, TokenRequest};
use tokio::net::TcpListener;
use warp::Filter;

/// The sites, as they stand beside this file.
const CONFIGURATION: &str = include_str!("tokensocket.yml");

#[derive(Parser)]
#[command(about = "A push service in one setting")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:1337")]
    listen: SocketAddr,
    /// Other sites than those of the example.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to keep deliveries. Without it they are in memory.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Play the sites' application as well, at 127.0.0.1:18299: a token is its user's name.
    #[arg(long)]
    with_site: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    if options.with_site {
        tokio::spawn(application::serve().await?);
    }
    let gateway = match options.config {
        Some(file) => Gateway::open(&[file], options.data).await?,
        None => Gateway::configured("tokensocket.yml", CONFIGURATION, options.data).await?,
    };

    // Who is who is for an application to say. Here everybody is whom he says.
    let server = Server::builder().authenticate(|request: TokenRequest| async move {
        let user = request.query("user").filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| AuthenticateError::Refused("name a user".to_owned()))?;
        Ok(Identity::new(json!({ "user": user })).user(user))
    });
    let server = events::endpoints(server).build()?;
    gateway.socket_io().namespace_by_token("/", NamespaceOptions::new(), &server);

    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    let own = server.routes().or(interop::routes(&server)).unify().boxed();
    gateway.serve(listener, own).await?;
    server.shutdown().await;
    Ok(())
}
