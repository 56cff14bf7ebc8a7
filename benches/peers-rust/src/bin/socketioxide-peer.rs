//! Crate `socketioxide` for the comparison: an acknowledged `echo`, rooms, and
//! a token checked in the handshake. Prints `listening PORT`.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::serve::ListenerExt;
use serde::Deserialize;
use socketioxide::{
    SocketIo, TransportType,
    extract::{AckSender, Data, SocketRef},
};
use tokio::net::TcpSocket;

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (layer, io) =
        SocketIo::builder().transports([TransportType::Websocket]).max_buffer_size(1024).build_layer();
    io.ns("/", connected);

    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = socket.listen(4096)?;
    println!("listening {}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        // A socket that is already gone fails again where it is read.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await
}

async fn connected(socket: SocketRef, Data(credentials): Data<Credentials>) {
    if credentials.token.is_empty() {
        let _ = socket.disconnect();
        return;
    }
    socket.on("echo", async |Data(data): Data<String>, answer: AckSender| {
        let _ = answer.send(&data);
    });
    socket.on("subscribe", async |socket: SocketRef, Data(channel): Data<String>, answer: AckSender| {
        socket.join(channel);
        let _ = answer.send(&true);
    });
    socket.on("publish", async |socket: SocketRef, Data((channel, data)): Data<(String, String)>| {
        let _ = socket.to(channel).emit("message", &data).await;
    });
}
