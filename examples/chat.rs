//! A chat by lines: one native client in each terminal.
//!
//! ```text
//! cargo run --release --example chat -- --name ann --listen 127.0.0.1:1337
//! cargo run --release --example chat -- --name ben --join http://127.0.0.1:1337
//! ```
//!
//! What you type in one terminal appears in the others. The first one is the server too, until it ends.
//! Nobody can speak under another's name: the action `say` takes the name from the identity that came
//! with the token, and publishing without it is refused.

use std::io::BufRead;
use std::net::SocketAddr;

use clap::Parser;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokensocket_client::{SubscriptionError, TokenSocket};
use tokensocket_server::{Actions, Auth, AuthenticateError, Data, Identity, RpcError, Server, TokenRequest};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A chat by lines: start it once for each person, each in a terminal
#[derive(Parser)]
struct Options {
    /// Your name
    #[arg(long)]
    name: String,
    /// The room to be in
    #[arg(long, default_value = "lobby")]
    room: String,
    /// The server to join, as the first person's terminal shows it
    #[arg(long, value_name = "URL", conflicts_with = "listen")]
    join: Option<String>,
    /// Where to be the server, without --join; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1337")]
    listen: SocketAddr,
}

#[derive(Serialize, Deserialize)]
struct Person {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Say {
    room: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    from: String,
    text: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { name, room, join, listen } = Options::parse();
    let server = build()?;
    let url = match join {
        Some(url) => url,
        None => host(&server, listen).await?,
    };
    let chatted = chat(&url, name, room).await;
    server.shutdown().await;
    chatted
}

// The client.

async fn chat(url: &str, name: String, room: String) -> anyhow::Result<()> {
    let socket = TokenSocket::builder(url).authentication(&Person { name: name.clone() }).connect()?;
    socket.ready().await?;
    socket.on_disconnect(|why| println!("(connection lost: {why}; coming back by itself)"));
    let mut lines = socket.subscribe(&room).await?.typed::<Line>();
    let mut typed = typed_lines();
    println!("you are {name}, in {room}; Ctrl-D ends");
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(Ok(Line { from, text })) if from != name => println!("{from}: {text}"),
                Some(Ok(_)) => {}
                Some(Err(SubscriptionError::Lagged(missed))) => println!("({missed} lines were missed)"),
                Some(Err(error)) => return Err(error.into()),
                None => break,
            },
            text = typed.recv() => match text {
                Some(text) => socket.rpc::<()>("say", &Say { room: room.clone(), text }).await?,
                None => break,
            },
        }
    }
    socket.end().await;
    Ok(())
}

/// What is typed, line by line. On a thread, since reading a terminal cannot be cancelled.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

// The server.

fn build() -> Result<Server, tokensocket_server::BuildError> {
    Server::builder()
        .authenticate(|request: TokenRequest| async move {
            let name = request.query("name").ok_or(AuthenticateError::Forbidden)?;
            Ok(Identity::new(Person { name }))
        })
        .actions(Actions::new().action("say", say))
        .on_publish(|_, _, _| async { Err(RpcError::forbidden()) })
        .on_broadcast(|_, _| async { Err(RpcError::forbidden()) })
        .build()
}

async fn host(server: &Server, listen: SocketAddr) -> anyhow::Result<String> {
    let listener = TcpListener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    let server = server.clone();
    tokio::spawn(async move { server.serve(listener).await });
    Ok(url)
}

async fn say(
    Data(Say { room, text }): Data<Say>,
    Auth(Person { name }): Auth<Person>,
    server: Server,
) -> Result<(), RpcError> {
    let said = server.publish(room, Line { from: name, text }).await;
    said.map(drop).map_err(|error| RpcError::new(error.to_string()))
}
