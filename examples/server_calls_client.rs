//! The server calls its clients: thermometers that it asks for their temperature.
//!
//! ```text
//! cargo run --release --example server_calls_client
//! ```
//!
//! One process shows both sides: the server, and four clients of it, each connected over a socket of its
//! own. The server asks all at once. Two answer; one is too slow, and one has no such action: what the
//! server learns of that is printed as well.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokensocket_client::TokenSocket;
use tokensocket_server::{AuthenticateError, Data, Identity, RpcError, Server, Socket, TokenRequest};
use tokio::net::TcpListener;

/// The server calls its clients: four thermometers, of which two answer
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Serialize, Deserialize)]
struct Device {
    room: String,
}

#[derive(Serialize, Deserialize)]
struct Question {
    unit: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let server = Server::builder().authenticate(authenticate).build()?;
    let listener = TcpListener::bind(options.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener).await }
    });

    let devices = [
        connect(&url, "kitchen", thermometer(21.0, Duration::ZERO)).await?,
        connect(&url, "cellar", thermometer(11.5, Duration::from_millis(100))).await?,
        connect(&url, "attic", thermometer(28.0, Duration::from_secs(30))).await?,
        connect(&url, "garage", tokensocket_client::Actions::new()).await?,
    ];

    let mut readings = join_all(server.sockets().into_iter().map(ask)).await;
    readings.sort();
    println!("{}", readings.join("\n"));

    join_all(devices.iter().map(TokenSocket::end)).await;
    server.shutdown().await;
    Ok(serving.await??)
}

// The server's side.

async fn authenticate(request: TokenRequest) -> Result<Identity, AuthenticateError> {
    let room = request.query("room").ok_or(AuthenticateError::Forbidden)?;
    Ok(Identity::new(Device { room }))
}

/// Asks one client, and says what came of it.
async fn ask(socket: Socket) -> String {
    let room =
        socket.identity().parse().map_or_else(|_| "somewhere".to_owned(), |device: Device| device.room);
    let question = Question { unit: "celsius".to_owned() };
    let answer = socket.rpc::<f64>("temperature.read", question).timeout(Duration::from_secs(1));
    match answer.await {
        Ok(degrees) => format!("{room}: {degrees:.1} °C"),
        Err(error) => format!("{room}: no reading: {error}"),
    }
}

// The clients' side.

async fn connect(url: &str, room: &str, actions: tokensocket_client::Actions) -> anyhow::Result<TokenSocket> {
    let device = Device { room: room.to_owned() };
    let socket = TokenSocket::builder(url).authentication(&device).actions(actions).connect()?;
    socket.ready().await?;
    Ok(socket)
}

/// What a server may call on a thermometer that takes its time.
fn thermometer(celsius: f64, time: Duration) -> tokensocket_client::Actions {
    let read = move |Data(Question { unit }): Data<Question>| async move {
        tokio::time::sleep(time).await;
        match unit.as_str() {
            "celsius" => Ok(celsius),
            other => Err(RpcError::bad_request(format!("the unit celsius, not {other}"))),
        }
    };
    tokensocket_client::Actions::new()
        .nest("temperature", tokensocket_client::Actions::new().action("read", read))
}
