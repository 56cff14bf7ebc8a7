//! A Socket.IO client that speaks packet by packet, on a WebSocket.
//!
//! In: what a test says. Out: every packet that comes, in order. It answers nothing by itself but WebSocket pings and
//! closes.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokensocket_server::socketio::{ConnectRequest, NamespaceOptions, Refusal, SocketIo, SocketIoOptions};
use tokensocket_server::{Identity, Server, ServerBuilder};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::limit::{QUIET, within};
use crate::node::Node;

/// A client's connection.
#[derive(Debug)]
pub struct Packets {
    /// The WebSocket, for what is below packets.
    pub socket: WebSocketStream<TcpStream>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The end of the connection.
    End,
}

impl Packets {
    /// Opens a connection of Engine.IO protocol 3 or 4, and takes its open packet. `query` is added to the request's.
    pub async fn open(address: SocketAddr, protocol: u8, query: &str) -> Self {
        let mut packets = Self::begin(address, protocol, query).await;
        let open = packets.text().await;
        assert!(open.starts_with("0{\"sid\":"), "{open}");
        if protocol == 3 {
            assert_eq!(packets.text().await, "40");
        }
        packets
    }

    /// The same without taking anything.
    pub async fn begin(address: SocketAddr, protocol: u8, query: &str) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.expect("the server accepts");
        Self::over(stream, address, protocol, query).await
    }

    /// The same over a connection that is there.
    pub async fn over(stream: TcpStream, address: SocketAddr, protocol: u8, query: &str) -> Self {
        within("a WebSocket", async {
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let url = format!("ws://{address}/socket.io/?EIO={protocol}&transport=websocket{query}");
            let (socket, _) = client_async(url, stream).await.expect("a WebSocket");
            Self { socket }
        })
        .await
    }

    /// Joins a namespace as `user`, and takes what it is greeted with.
    pub async fn join(address: SocketAddr, protocol: u8, namespace: &str, query: &str) -> Self {
        let mut packets = Self::open(address, protocol, &format!("&{query}")).await;
        if protocol == 3 {
            packets.say(&format!("40{namespace}?{query},")).await;
            assert_eq!(packets.text().await, format!("40{namespace},"));
        } else {
            packets.say(&format!("40{namespace},")).await;
            let joined = packets.text().await;
            assert!(joined.starts_with(&format!("40{namespace},{{\"sid\":\"")), "{joined}");
        }
        let settings = packets.text().await;
        assert_eq!(settings, format!("42{namespace},[\"_settings\",{{\"device_ttl\":3600}}]"));
        packets
    }

    /// Says a packet.
    pub async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the connection is open");
    }

    /// Says bytes.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).await.expect("the connection is open");
    }

    /// What comes next.
    pub async fn next(&mut self) -> Came {
        let came = loop {
            match within("a packet", self.socket.next()).await {
                // A WebSocket's own, which is answered and no packet.
                Some(Ok(Message::Ping(_))) => {}
                came => break came,
            }
        };
        match came {
            Some(Ok(Message::Text(text))) => Came::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Came::Bytes(bytes.to_vec()),
            Some(Ok(Message::Close(_))) => {
                // Answers the close, for which the server waits.
                let ending = async { while self.socket.next().await.is_some_and(|more| more.is_ok()) {} };
                within("the end of the connection", ending).await;
                Came::End
            }
            None | Some(Err(_)) => Came::End,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }

    /// The next packet, which is a text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Came::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// The next packet, which is an event of `namespace` that wants an acknowledgement: what begins one, and the event.
    pub async fn asked(&mut self, namespace: &str) -> (String, String) {
        let text = self.text().await;
        let rest = text.strip_prefix(&format!("42{namespace},")).unwrap_or_else(|| panic!("{text}"));
        let (number, event) = rest.split_at(rest.find('[').expect("an event"));
        assert!(number.parse::<u64>().is_ok_and(|number| number < 1 << 53), "{text}");
        (format!("43{namespace},{number}"), event.to_owned())
    }

    /// The next packet, which is bytes.
    pub async fn bytes(&mut self) -> Vec<u8> {
        match self.next().await {
            Came::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes.
    pub async fn is_quiet(&mut self) {
        if let Ok(came) = tokio::time::timeout(QUIET, self.next()).await {
            panic!("{came:?}");
        }
    }

    /// The server answers this on the same connection: whatever was said before has been handled.
    pub async fn still_there(&mut self, namespace: &str) {
        self.say(&format!("42{namespace},999[\"echo\"]")).await;
        assert_eq!(self.text().await, format!("43{namespace},999[]"));
    }
}

/// A server with the namespace `/n`: whose user is the query's `token`, in the rooms of its `rooms`; `bad` is refused.
pub async fn serve(
    builder: ServerBuilder,
    options: SocketIoOptions,
    namespace: NamespaceOptions,
) -> (Node, SocketIo) {
    let server: Server = builder.socketio(options).build().expect("the server can be built");
    let io = server.socketio().expect("it takes Socket.IO clients").clone();
    let namespace = namespace.on("echo", |_, args| async move { args });
    io.namespace("/n", namespace, &server, |request: ConnectRequest| async move {
        let token = request.query("token").unwrap_or_default();
        if token == "bad" {
            return Err(Refusal::new("Authentication failed"));
        }
        let rooms = request.query("rooms").unwrap_or_default();
        let rooms: Vec<_> = rooms.split(' ').filter(|room| !room.is_empty()).map(str::to_owned).collect();
        Ok(Identity::new(()).user(token).rooms(rooms))
    });
    (Node::serve(server).await, io)
}

impl Packets {
    /// [`Packets::still_there`], where pings may come in between.
    pub async fn still_there_between_pings(&mut self) {
        self.say("42/n,999[\"echo\"]").await;
        while self.text().await != "43/n,999[]" {}
    }
}

impl Packets {
    /// The next packet, an event that wants an acknowledgement: `#` stands for the number, which is returned.
    pub async fn numbered(&mut self, expected: &str) -> u64 {
        let text = self.text().await;
        let (front, behind) = expected.split_once('#').expect("a place for the number");
        let rest = text.strip_prefix(front).unwrap_or_else(|| panic!("{text}"));
        let number = rest.strip_suffix(behind).unwrap_or_else(|| panic!("{text}"));
        number.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
