//! A server under test, in this process, on a port of its own.
//!
//! In: a [`Server`]. Out: its address, and tokens for it. It stops taking connections when the [`Node`] is
//! dropped.

use std::net::SocketAddr;

use serde_json::json;
use tokensocket_server::{AuthenticateError, Identity, Server, ServerBuilder, TokenRequest};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::Filter;

use crate::http;

/// A running server.
#[derive(Debug)]
pub struct Node {
    /// The server itself.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Node {
    /// Starts a server with its own accept loop.
    pub async fn serve(server: Server) -> Self {
        let (listener, address) = listen().await;
        let serving = server.clone();
        let task = tokio::spawn(async move { serving.serve(listener).await.expect("the server serves") });
        Self { server, address, task }
    }

    /// Builds a server and starts it with its own accept loop.
    pub async fn start(builder: ServerBuilder) -> Self {
        Self::serve(builder.build().expect("the server can be built")).await
    }

    /// Starts a server inside a warp application, which has a route of its own: `GET /application`.
    pub async fn in_warp(server: Server) -> Self {
        let (listener, address) = listen().await;
        let application = warp::path!("application").and(warp::get()).map(|| "the application's own");
        let routes = server.routes().or(application);
        let task = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { server, address, task }
    }

    /// Takes over a server that is already served on `address` by `task`.
    pub fn mounted(server: Server, address: SocketAddr, task: JoinHandle<()>) -> Self {
        Self { server, address, task }
    }

    /// Waits until the accept loop has ended, after a shutdown.
    pub async fn ended(&mut self) {
        crate::limit::within("the accept loop to end", &mut self.task).await.expect("it ends well");
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token for the user `ann`, asked for over HTTP.
    pub async fn token(&self) -> String {
        self.token_of("ann").await
    }

    /// A token for `user`, which is put into a URL as it is.
    pub async fn token_of(&self, user: &str) -> String {
        let answer = http::get(self.address, &format!("/socket/token?user={user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["token"].as_str().expect("a token is text").to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener on a free port of this machine.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    (listener, address)
}

/// A builder whose identities are `{"user": …}`, from the query. `deny=1` is refused, `error=1` fails.
pub fn builder() -> ServerBuilder {
    Server::builder().authenticate(|request: TokenRequest| async move {
        if request.query("deny").is_some() {
            return Err(AuthenticateError::Forbidden);
        }
        if request.query("error").is_some() {
            return Err(AuthenticateError::Failed("the database is asleep".to_owned()));
        }
        Ok(Identity::new(json!({ "user": request.query("user").unwrap_or_default() })))
    })
}
