//! The endpoints that SockJS's own tests want to find.

use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::Rng;
use rand::distr::Alphanumeric;
use tokensocket_server::{Server, ServerBuilder, SockJsOptions, SockJsSocket};
use tokio::sync::mpsc;

use super::request::Request;
use super::response::Response;
use crate::node::Node;

/// The frame of an endpoint that closes at once.
pub const GO_AWAY: &str = r#"c[3000,"Go away!"]"#;

/// Sends every message back.
pub async fn echo(mut socket: SockJsSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Closes at once.
pub async fn go_away(socket: SockJsSocket) {
    socket.close(3000, "Go away!");
}

/// A handler that listens until its session ends, however that is told, and who awaits the end.
pub fn listens()
-> (impl Fn(SockJsSocket) -> BoxFuture<'static, ()> + Send + Sync, mpsc::UnboundedReceiver<()>) {
    let (ended, ends) = mpsc::unbounded_channel();
    let handler = move |mut socket: SockJsSocket| {
        let end = End(ended.clone());
        async move {
            let _end = end;
            while socket.recv().await.is_some() {}
        }
        .boxed()
    };
    (handler, ends)
}

/// Tells when it is dropped.
struct End(mpsc::UnboundedSender<()>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A server with the endpoints of SockJS's own tests: `/echo`, `/disabled_websocket_echo`,
/// `/cookie_needed_echo` and `/close`, each with a response limit of 4096 bytes.
#[derive(Debug)]
pub struct Services {
    /// Where it listens.
    pub address: SocketAddr,
    /// The server, where it is of this process.
    pub node: Option<Node>,
}

impl Services {
    /// Starts them in this process. Where `TOKENSOCKET_SOCKJS_SERVER` names the address of a server that has them,
    /// that one is tested instead.
    pub async fn start() -> Self {
        if let Ok(address) = std::env::var("TOKENSOCKET_SOCKJS_SERVER") {
            return Self { address: address.parse().expect("an address, as 127.0.0.1:8081"), node: None };
        }
        let options = || SockJsOptions::new().response_limit(4096);
        Self::of(
            Server::builder()
                .authenticate_anyone()
                .sockjs_with("/echo", options(), echo)
                .sockjs_with("/disabled_websocket_echo", options().websocket(false), echo)
                .sockjs_with("/cookie_needed_echo", options().cookies(true), echo)
                .sockjs_with("/close", options(), go_away),
        )
        .await
    }

    /// Starts what `builder` builds.
    pub async fn of(builder: ServerBuilder) -> Self {
        let node = Node::start(builder).await;
        Self { address: node.address, node: Some(node) }
    }

    /// A server with one endpoint that echoes, `/echo`.
    pub async fn echo_with(options: SockJsOptions) -> Self {
        Self::of(Server::builder().authenticate_anyone().sockjs_with("/echo", options, echo)).await
    }

    /// Sends a request.
    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }

    /// A session of its own at the endpoint `prefix`. Nothing is requested yet.
    pub fn session(&self, prefix: &str) -> Session {
        let name: String = rand::rng().sample_iter(Alphanumeric).take(12).map(char::from).collect();
        Session { address: self.address, url: format!("{prefix}/000/{name}"), name }
    }
}

/// The name of a session, and where it is.
#[derive(Debug, Clone)]
pub struct Session {
    /// The server's address.
    pub address: SocketAddr,
    /// Its path, without a transport.
    pub url: String,
    /// Its name: the last part of `url`.
    pub name: String,
}

impl Session {
    /// A request of one of its transports.
    pub fn request(&self, method: &'static str, last: &str) -> Request {
        Request::new(method, format!("{}/{last}", self.url))
    }

    /// Posts a body to `xhr_send`.
    pub async fn post(&self, body: impl Into<Vec<u8>>) -> Response {
        self.request("POST", "xhr_send").body(body).send(self.address).await
    }

    /// Sends what `body` says, which the server takes.
    pub async fn send(&self, body: &str) {
        let mut response = self.post(body).await;
        assert_eq!((response.status, response.text().await.as_str()), (204, ""), "{body}");
    }
}
