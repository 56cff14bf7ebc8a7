//! A client that speaks the wire text by text, raw or in SockJS frames.
//!
//! In: what a test says. Out: every message that comes, in order. It answers nothing by itself but
//! WebSocket pings and closes, and believes nothing.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::limit::{QUIET, within};
use crate::node::Node;

/// How messages stand in text frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message in each frame.
    Raw,
    /// SockJS: arrays of messages.
    SockJs,
}

impl Framing {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Raw, Self::SockJs];

    /// The path of its WebSocket.
    pub fn path(self) -> &'static str {
        match self {
            Self::Raw => "/sockets/websocket",
            Self::SockJs => "/sockets/000/session1/websocket",
        }
    }
}

/// What came in.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// A message.
    Message(String),
    /// The server closed with this code and reason.
    Closed(u16, String),
    /// The connection ended without a close.
    Lost,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// The WebSocket, for what is below messages.
    pub socket: WebSocketStream<TcpStream>,
    framing: Framing,
    /// Messages that came while another was awaited.
    kept: Vec<Value>,
    inbox: std::collections::VecDeque<String>,
    next: u64,
}

impl Client {
    /// Connects, and says nothing yet.
    pub async fn connect(node: &Node, framing: Framing) -> Self {
        Self::connect_to(node.address, framing).await
    }

    /// Connects to an address.
    pub async fn connect_to(address: SocketAddr, framing: Framing) -> Self {
        within("a WebSocket", async {
            let stream = TcpStream::connect(address).await.expect("the server accepts");
            Self::over(stream, address, framing).await
        })
        .await
    }

    /// Connects to a path where each frame is one message, whatever messages say there.
    pub async fn connect_at(address: SocketAddr, path: &str) -> Self {
        within("a WebSocket", async {
            let stream = TcpStream::connect(address).await.expect("the server accepts");
            Self::over_at(stream, address, path, Framing::Raw).await
        })
        .await
    }

    /// Connects over a TCP connection that is already open.
    pub async fn over(stream: TcpStream, address: SocketAddr, framing: Framing) -> Self {
        Self::over_at(stream, address, framing.path(), framing).await
    }

    /// The same at a path of the test's choice.
    pub async fn over_at(stream: TcpStream, address: SocketAddr, path: &str, framing: Framing) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let url = format!("ws://{address}{path}");
        let (socket, _) = client_async(url, stream).await.expect("a WebSocket");
        let mut client =
            Self { socket, framing, kept: Vec::new(), inbox: std::collections::VecDeque::new(), next: 1 };
        if framing == Framing::SockJs {
            assert_eq!(client.frame().await, Received::Message("o".to_owned()), "SockJS opens with o");
        }
        client
    }

    /// Connects as the user `ann` of an original client: authenticated, without a hello.
    pub async fn ready(node: &Node, framing: Framing) -> Self {
        let token = node.token().await;
        let mut client = Self::connect(node, framing).await;
        client.auth(&token).await;
        client
    }

    /// Connects as the user `ann` of a client that says hello and understands everything.
    pub async fn hello(node: &Node) -> Self {
        let token = node.token().await;
        let mut client = Self::connect(node, Framing::Raw).await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "a", "client": hello() })).await;
        let answer = client.answer("a").await;
        assert_eq!(answer["resp"], "success", "{answer}");
        client
    }

    /// Authenticates as an original client does.
    pub async fn auth(&mut self, token: &str) {
        self.send(json!({ "rpc": "auth", "token": token, "uuid": "a" })).await;
        self.expect(json!({ "rpc": "auth", "token": token, "uuid": "a", "resp": "success" })).await;
    }

    /// Sends a message.
    #[allow(clippy::needless_pass_by_value, reason = "tests write the value at the call")]
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends a text as one message.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(self.framed(text)).await;
    }

    /// Sends a text as one message, if the connection still takes it.
    pub async fn try_send(&mut self, text: &str) {
        // What became of the connection is read next.
        let _ = within("a frame to be sent", self.socket.send(self.framed(text))).await;
    }

    fn framed(&self, text: &str) -> Message {
        Message::text(match self.framing {
            Framing::Raw => text.to_owned(),
            Framing::SockJs => json!([text]).to_string(),
        })
    }

    /// Sends a frame as it is.
    pub async fn send_frame(&mut self, frame: Message) {
        within("a frame to be sent", self.socket.send(frame)).await.expect("the connection takes a frame");
    }

    /// Calls an action without awaiting its answer; returns the request's `uuid`.
    pub async fn start(&mut self, rpc: &str, req: Value) -> String {
        let uuid = format!("u{}", self.next);
        self.next += 1;
        self.send(json!({ "rpc": rpc, "req": req, "uuid": uuid })).await;
        uuid
    }

    /// Calls an action, or any other verb, and awaits the answer: the whole message.
    pub async fn call(&mut self, rpc: &str, req: Value) -> Value {
        let uuid = self.start(rpc, req).await;
        self.answer(&uuid).await
    }

    /// Subscribes, and awaits the confirmation.
    pub async fn subscribe(&mut self, channel: &str) {
        self.start("_subscribe", json!({ "channel": channel })).await;
        let told = self
            .find("the subscription", |message| {
                message["command"] == "subscribe" && message["data"]["channel"] == channel
            })
            .await;
        assert_eq!(told["internal"], true);
    }

    /// The answer to the request `uuid`. What else comes is kept for later.
    pub async fn answer(&mut self, uuid: &str) -> Value {
        self.find(&format!("the answer to {uuid}"), |message| message["uuid"] == uuid).await
    }

    /// The first message that `wanted` accepts. What else comes is kept for later.
    pub async fn find(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&mut wanted) {
            return self.kept.remove(at);
        }
        loop {
            let message = within(what, self.read_message()).await;
            if wanted(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// The next message, whichever.
    pub async fn next(&mut self) -> Value {
        if self.kept.is_empty() {
            within("a message", self.read_message()).await
        } else {
            self.kept.remove(0)
        }
    }

    /// The next message must be this one.
    #[allow(clippy::needless_pass_by_value, reason = "tests write the value at the call")]
    pub async fn expect(&mut self, message: Value) {
        assert_eq!(self.next().await, message);
    }

    /// Sends a message and compares the text of what comes next.
    pub async fn exchange(&mut self, message: &str, expected: &str) {
        self.send_text(message).await;
        assert!(self.kept.is_empty(), "{:?}", self.kept);
        match within("an answer", self.read()).await {
            Received::Message(text) => assert_eq!(text, expected, "the answer to {message}"),
            other => panic!("{other:?} instead of an answer to {message}"),
        }
    }

    /// The next call that the server makes: its name, action and argument.
    pub async fn called(&mut self) -> (String, String, Value) {
        let call = self.find("a call by the server", |message| message["command"] == "rpc").await;
        let text = |name: &str| call["data"][name].as_str().expect("fid and command are texts").to_owned();
        (text("fid"), text("command"), call["data"]["args"].clone())
    }

    /// Answers a call of the server's.
    #[allow(clippy::needless_pass_by_value, reason = "tests write the value at the call")]
    pub async fn reply(&mut self, fid: &str, resp: Value) {
        self.send(json!({ "rpc": "_rpc", "fid": fid, "resp": resp })).await;
    }

    /// The connection still works, and nothing unexpected came before.
    pub async fn expect_alive(&mut self) {
        let uuid = self.start("_ping", json!({})).await;
        self.expect(json!({ "rpc": "_ping", "uuid": uuid, "resp": { "message": "pong" } })).await;
    }

    /// Nothing comes for a while.
    pub async fn expect_quiet(&mut self) {
        assert!(self.kept.is_empty(), "{:?}", self.kept);
        let came = tokio::time::timeout(QUIET, self.read()).await;
        assert!(came.is_err(), "unexpected: {came:?}");
    }

    /// Reads to the end and returns the close. In SockJS both closes must say the same.
    pub async fn closed(&mut self) -> (u16, String) {
        within("the close", async {
            loop {
                match self.read().await {
                    Received::Message(_) => {}
                    Received::Closed(code, reason) => return (code, reason),
                    Received::Lost => panic!("the connection was lost without a close"),
                }
            }
        })
        .await
    }

    /// Reads to the end, whatever it is. Returns all messages before it.
    pub async fn drain(&mut self) -> (Vec<Value>, Received) {
        let mut messages = std::mem::take(&mut self.kept);
        within("the end", async {
            loop {
                match self.read().await {
                    Received::Message(text) => messages.push(parse(&text)),
                    end => return (messages, end),
                }
            }
        })
        .await
    }

    /// What comes next, below messages that were kept.
    pub async fn read(&mut self) -> Received {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Received::Message(message);
            }
            let frame = match self.frame().await {
                Received::Message(frame) => frame,
                end => return end,
            };
            match self.framing {
                Framing::Raw => return Received::Message(frame),
                Framing::SockJs => match frame.split_at_checked(1) {
                    Some(("a", messages)) => {
                        let messages: Vec<String> =
                            serde_json::from_str(messages).expect("an array of texts");
                        self.inbox.extend(messages);
                    }
                    Some(("c", close)) => {
                        let (code, reason): (u16, String) = serde_json::from_str(close).expect("a close");
                        let end = self.frame().await;
                        assert_eq!(end, Received::Closed(code, reason), "both closes say the same");
                        return end;
                    }
                    _ => panic!("no SockJS frame: {frame:?}"),
                },
            }
        }
    }

    /// The next text frame, or the end.
    async fn frame(&mut self) -> Received {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Received::Message(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    // Answers the close, and waits for the server to end the connection.
                    while self.socket.next().await.is_some_and(|more| more.is_ok()) {}
                    return Received::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Binary(_))) => panic!("the wire has no binary messages"),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Received::Lost,
            }
        }
    }

    async fn read_message(&mut self) -> Value {
        match self.read().await {
            Received::Message(text) => parse(&text),
            end => panic!("{end:?} instead of a message"),
        }
    }
}

/// What a client that understands everything says of itself.
pub fn hello() -> Value {
    json!({ "name": "tests", "version": "1", "features": ["cancel", "reconnect"] })
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}
