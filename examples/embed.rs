//! TokenSocket inside an existing warp app, with the app's own routes and state.
//!
//! ```text
//! cargo run --release --example embed -- --listen 127.0.0.1:1337
//! ```
//!
//! The app takes orders over HTTP. What TokenSocket adds: whoever follows the channel `orders` sees each
//! order at once, and the same can be done by calls. In other terminals:
//!
//! ```text
//! tokensocket sub orders --user ann
//! curl --json '{"item":"tea","by":"ben"}' http://127.0.0.1:1337/orders
//! tokensocket call orders.add '{"item":"milk"}' --user ann
//! tokensocket call orders.list --user ann
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokensocket_server::{
    Actions, Auth, AuthenticateError, Data, Identity, PublishError, RpcError, Server, State, TokenRequest,
};
use tokio::net::TcpListener;
use warp::{Filter, Rejection, Reply, http::StatusCode};

/// TokenSocket inside an existing warp app: orders over HTTP, seen at once by everybody who follows
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:1337")]
    listen: SocketAddr,
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    item: String,
    by: String,
}

/// The app's state, shared by its routes and its actions.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<Vec<Order>>>);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let orders = Orders::default();
    let server = Server::builder()
        .authenticate(authenticate)
        .state(orders.clone())
        .actions(Actions::new().nest("orders", Actions::new().action("list", list).action("add", add)))
        .build()?;

    let app = server.routes().or(routes(orders, server.clone()));
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let end = async move {
        let _ = tokio::signal::ctrl_c().await;
        server.shutdown().await;
    };
    warp::serve(app).incoming(listener).graceful(end).run().await;
    Ok(())
}

/// Adds an order, and tells everybody who follows.
async fn place(orders: &Orders, server: &Server, order: Order) -> Result<(), PublishError> {
    orders.0.lock().push(order.clone());
    server.publish("orders", order).await?;
    Ok(())
}

// The app as it was before: HTTP.

fn routes(orders: Orders, server: Server) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let orders = warp::path!("orders").map(move || orders.clone());
    let list = orders.clone().and(warp::get()).map(|orders: Orders| warp::reply::json(&*orders.0.lock()));
    let add = orders.and(warp::post()).and(warp::body::json()).then(move |orders: Orders, order: Order| {
        let server = server.clone();
        async move {
            match place(&orders, &server, order).await {
                Ok(()) => StatusCode::CREATED,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
    });
    list.or(add)
}

// What TokenSocket adds.

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

/// Who may connect. A real app would look at its own session here: see `TokenRequest::cookie`.
async fn authenticate(request: TokenRequest) -> Result<Identity, AuthenticateError> {
    let name = request.query("user").ok_or(AuthenticateError::Forbidden)?;
    Ok(Identity::new(User { name }))
}

async fn list(State(orders): State<Orders>) -> Result<Vec<Order>, RpcError> {
    Ok(orders.0.lock().clone())
}

#[derive(Deserialize)]
struct Wish {
    item: String,
}

async fn add(
    Data(Wish { item }): Data<Wish>,
    Auth(User { name }): Auth<User>,
    State(orders): State<Orders>,
    server: Server,
) -> Result<(), RpcError> {
    let placed = place(&orders, &server, Order { item, by: name }).await;
    placed.map_err(|error| RpcError::new(error.to_string()))
}
