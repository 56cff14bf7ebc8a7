//! A server that does what the test says: it issues tokens, takes WebSockets, and hands each to the test.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokensocket_client::{Builder, TokenSocket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Everything must come within this; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Peer {
    pub(crate) address: String,
    /// The heads of all requests, in order.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    /// What the token request is answered with: the rest of the status line, and the body.
    pub(crate) token_answer: Arc<Mutex<(&'static str, &'static str)>>,
    connections: mpsc::UnboundedReceiver<Connection>,
    accepting: JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub(crate) async fn with_tls(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let token_answer = Arc::new(Mutex::new(("200 OK", r#"{"token":"opaque"}"#)));
        let (sender, connections) = mpsc::unbounded_channel();
        let (heads, answer) = (Arc::clone(&requests), Arc::clone(&token_answer));
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let stream: Box<dyn Stream> = match &tls {
                    Some(tls) => match tls.accept(tcp).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => continue,
                    },
                    None => Box::new(tcp),
                };
                serve(stream, &heads, &answer, &sender).await;
            }
        });
        Self { address, requests, token_answer, connections, accepting }
    }

    pub(crate) fn builder(&self) -> Builder {
        TokenSocket::builder(&self.address)
    }

    /// The next WebSocket.
    pub(crate) async fn connection(&mut self) -> Connection {
        soon(self.connections.recv()).await.expect("the peer runs")
    }

    /// The next WebSocket, with its `auth` answered as a server of ours does.
    pub(crate) async fn let_in(&mut self) -> Connection {
        let mut connection = self.connection().await;
        let auth = connection.receive().await;
        assert_eq!((&auth["rpc"], &auth["token"]), (&json!("auth"), &json!("opaque")));
        connection.answer(&auth, &json!({ "resp": "success", "session": { "features": ["cancel"] } })).await;
        connection
    }

    /// A connected client with nothing on its way.
    pub(crate) async fn pair(&mut self) -> (TokenSocket, Connection) {
        let socket = self.builder().connect().unwrap();
        let connection = self.let_in().await;
        soon(socket.ready()).await.unwrap();
        (socket, connection)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: Box<dyn Stream>,
    heads: &Mutex<Vec<String>>,
    answer: &Mutex<(&'static str, &'static str)>,
    connections: &mpsc::UnboundedSender<Connection>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().push(head.clone());
    if head.starts_with("GET /sockets/websocket ") {
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).await.unwrap();
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let _ = connections.send(Connection(socket));
    } else {
        let (status, body) = *answer.lock();
        let length = body.len();
        let response =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let _ = stream.write_all(response.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

pub(crate) struct Connection(pub(crate) WebSocketStream<Box<dyn Stream>>);

impl Connection {
    /// The next text, as JSON.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match soon(self.0.next()).await.expect("the client is there").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The code with which the client closes, once the connection is gone.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = soon(self.0.next()).await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn answer(&mut self, message: &Value, fields: &Value) {
        let mut answer = message.clone();
        let answered = answer.as_object_mut().unwrap();
        answered.remove("req");
        answered.extend(fields.as_object().unwrap().clone());
        self.send(&answer).await;
    }

    /// Confirms the next message, which must be a subscribe.
    pub(crate) async fn confirm_subscribe(&mut self) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["rpc"], "_subscribe");
        message["channel"] = message["req"]["channel"].clone();
        self.send(&json!({ "internal": true, "command": "subscribe", "data": message })).await;
        message["channel"].clone()
    }

    pub(crate) async fn publish(&mut self, channel: &str, data: &Value) {
        self.send(&json!({ "channel": channel, "message": data })).await;
    }

    pub(crate) async fn call(&mut self, fid: &str, path: &str, args: &Value) {
        let data = json!({ "fid": fid, "command": path, "args": args });
        self.send(&json!({ "internal": true, "command": "rpc", "data": data })).await;
    }
}

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}
