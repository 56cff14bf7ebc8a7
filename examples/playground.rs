//! An SDK author's server: everything a client library needs to try itself against.
//!
//! ```text
//! cargo run --release --example playground -- --listen 127.0.0.1:1337
//! ```
//!
//! With `--tls-certificate FILE --tls-key FILE` (both PEM) it speaks TLS.
//!
//! - `GET /socket/token?user=ann` issues a token for `{"user":"ann"}`; `deny=1` is refused, `error=1` fails. Who names a
//!   user is known as that one, with `room=lobby` in that room.
//! - Actions: `echo`, `something.nested`, `fail`, `failstring`, `slow`, `whoami`, `callme`, `dropme`,
//!   `announce`, `deliver`.
//! - Channels whose name begins with `forbidden` are refused for subscribe and publish. Those under `kept.` keep 1,000
//!   messages and tell who is there, those under `brief.` keep 3. Everybody may follow patterns.
//! - SockJS services without tokens, as SockJS's own test suite expects them: `/echo`,
//!   `/disabled_websocket_echo`, `/cookie_needed_echo`, `/echo_heartbeat` (every second), and `/close`, which
//!   closes each session at once. `--sockjs-client-url URL` says where their page for frames loads its client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokensocket_server::{
    Actions, Auth, AuthenticateError, Channel, ChannelOptions, Data, DeliverOptions, Delivered, History,
    Identity, Listener, Presence, PublishError, RawJson, RpcError, Server, SockJsOptions, SockJsSocket,
    Socket, To, TokenRequest,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "An SDK author's server")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:1337")]
    listen: SocketAddr,
    /// A chain of certificates, in PEM: speak TLS.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, requires = "tls_certificate", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// After how many bytes a streaming response of the SockJS services ends.
    #[arg(long, default_value_t = 4096, value_name = "BYTES")]
    sockjs_response_limit: usize,
    /// Where SockJS's page for transports in a frame loads its client from.
    #[arg(long, value_name = "URL")]
    sockjs_client_url: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let server = build(&options)?;
    let address = listener.local_addr()?;
    let (scheme, listener) = match options.tls_certificate.zip(options.tls_key) {
        Some((certificate, key)) => ("https", Listener::tls(listener, tls(&certificate, &key)?)),
        None => ("http", Listener::from(listener)),
    };
    println!("listening on {scheme}://{address}");
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener).await }
    });
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    server.shutdown().await;
    serving.await??;
    Ok(())
}

fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let unreadable = |file: &Path| format!("cannot read {}", file.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| unreadable(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

fn build(options: &Options) -> Result<Server, tokensocket_server::BuildError> {
    let sockjs = options
        .sockjs_client_url
        .iter()
        .fold(SockJsOptions::new(), |sockjs, url| sockjs.client_url(url.clone()));
    let service = sockjs.clone().response_limit(options.sockjs_response_limit);
    Server::builder()
        .authenticate(authenticate)
        .ping(true)
        .actions(actions())
        .on_subscribe(|_, channel| async move { allowed(&channel) })
        .on_publish(|_, channel, _| async move { allowed(&channel) })
        .on_subscribe_pattern(|_, _| async { Ok(()) })
        .channels("kept.>", keeping(1000).presence(Presence::new().announce()))
        .channels("brief.>", keeping(3))
        .sockjs_options(sockjs)
        .sockjs_with("/echo", service.clone(), echo_service)
        .sockjs_with("/disabled_websocket_echo", service.clone().websocket(false), echo_service)
        .sockjs_with("/cookie_needed_echo", service.clone().cookies(true), echo_service)
        .sockjs_with("/echo_heartbeat", service.clone().heartbeat(Duration::from_secs(1)), echo_service)
        .sockjs_with("/close", service, close_service)
        .build()
}

async fn authenticate(request: TokenRequest) -> Result<Identity, AuthenticateError> {
    if request.query("deny").as_deref() == Some("1") {
        return Err(AuthenticateError::Forbidden);
    }
    if request.query("error").as_deref() == Some("1") {
        return Err(AuthenticateError::Failed("the authenticator failed".to_owned()));
    }
    let Some(user) = request.query("user") else {
        return Ok(Identity::new(json!({ "user": "anonymous" })));
    };
    let identity = Identity::new(json!({ "user": user })).public(json!({ "name": user })).user(user);
    Ok(identity.rooms(request.query("room")))
}

fn keeping(count: usize) -> ChannelOptions {
    ChannelOptions::new().history(History::new(count, Duration::from_hours(1)))
}

fn allowed(channel: &Channel) -> Result<(), RpcError> {
    if channel.as_str().starts_with("forbidden") { Err(RpcError::forbidden()) } else { Ok(()) }
}

fn actions() -> Actions {
    Actions::new()
        .action("echo", |Data(value): Data<RawJson>| async move { Ok::<_, RpcError>(value) })
        .nest(
            "something",
            Actions::new().action("nested", |Data(value): Data<RawJson>| async move {
                Ok::<_, RpcError>(json!({ "nested": value }))
            }),
        )
        .action("fail", async || Err::<(), _>(RpcError::new("boom")))
        .action("failstring", async || Err::<(), _>(RpcError::text("plain failure")))
        .action("slow", slow)
        .action("whoami", |Auth(identity): Auth<Value>| async move { Ok::<_, RpcError>(identity) })
        .action("callme", callme)
        .action("dropme", |socket: Socket| async move {
            socket.disconnect();
            Ok::<_, RpcError>(())
        })
        .action("announce", announce)
        .action("deliver", deliver)
}

#[derive(Deserialize)]
struct Slow {
    #[serde(default)]
    ms: u64,
}

async fn slow(Data(Slow { ms }): Data<Slow>) -> Result<u64, RpcError> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(ms)
}

#[derive(Deserialize)]
struct CallMe {
    command: String,
    #[serde(default)]
    args: RawJson,
}

async fn callme(Data(CallMe { command, args }): Data<CallMe>, socket: Socket) -> Result<RawJson, RpcError> {
    Ok(socket.rpc(&command, args).await?)
}

#[derive(Deserialize)]
struct Announce {
    channel: String,
    #[serde(default)]
    data: RawJson,
}

async fn announce(
    Data(Announce { channel, data }): Data<Announce>,
    server: Server,
) -> Result<bool, RpcError> {
    match server.publish(&channel, data).await {
        Ok(_) => Ok(true),
        Err(PublishError::InvalidChannel(invalid)) => Err(RpcError::bad_request(invalid.to_string())),
        Err(error) => Err(RpcError::new(error.to_string())),
    }
}

#[derive(Deserialize)]
struct Deliver {
    #[serde(default)]
    users: Vec<String>,
    room: Option<String>,
    #[serde(default)]
    everyone: bool,
    event: String,
    #[serde(default)]
    args: RawJson,
    key: Option<String>,
    #[serde(default)]
    resync: bool,
}

/// The same as the gateway's: asked for the same, it answers the same.
async fn deliver(Data(deliver): Data<Deliver>, server: Server) -> Result<Value, RpcError> {
    let to = match (deliver.users, deliver.room, deliver.everyone) {
        (users, None, false) if !users.is_empty() => To::users(users),
        (users, Some(room), false) if users.is_empty() => To::room(room),
        (users, None, true) if users.is_empty() => To::everyone(),
        _ => return Err(RpcError::bad_request("one of `users`, `room` and `everyone`")),
    };
    let options = DeliverOptions::new().resync(deliver.resync);
    let options = deliver.key.into_iter().fold(options, DeliverOptions::key);
    let Delivered { devices, duplicate } = server
        .deliver(to, deliver.event, deliver.args, options)
        .await
        .map_err(|error| RpcError::new(error.to_string()))?;
    Ok(json!({ "devices": devices, "duplicate": duplicate }))
}

/// Closes at once, or nearly so: the client of SockJS's own test suite forgets what comes with the answer to its
/// handshake.
async fn close_service(socket: SockJsSocket) {
    tokio::time::sleep(Duration::from_millis(100)).await;
    socket.close(3000, "Go away!");
}

async fn echo_service(mut socket: SockJsSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
