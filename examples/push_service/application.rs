//! The application to which the sites belong, for those who have none at hand.
//!
//! A token is its user's name: `Bearer 8` is in the rooms `user_8`, `browse` and `staff`. `bad` is nobody's.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;

use anyhow::Context;
use serde_json::json;
use tokio::net::TcpListener;
use warp::http::StatusCode;
use warp::reply::{Reply, Response};
use warp::{Filter, reply};

/// Where the sites' configuration expects it.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 18299);

/// Listens; the future that this gives answers.
pub(crate) async fn serve() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let listener = TcpListener::bind(ADDRESS)
        .await
        .with_context(|| format!("cannot play the application at {ADDRESS}"))?;
    let rooms = warp::path("socketrooms").or(warp::path("socketrooms2")).unify();
    let rooms = rooms
        .and(warp::path::end())
        .and(warp::get())
        .and(warp::header("authorization"))
        .map(|credentials: String| rooms_of(&credentials));
    let users = warp::path!("users" / String).and(warp::put()).and(warp::body::json()).map(
        |id, state: HashMap<String, serde_json::Value>| {
            eprintln!("user {id}: {}", json!(state));
            StatusCode::NO_CONTENT.into_response()
        },
    );
    Ok(warp::serve(rooms.or(users).unify()).incoming(listener).run())
}

fn rooms_of(credentials: &str) -> Response {
    match credentials.strip_prefix("Bearer ").filter(|user| !user.is_empty() && *user != "bad") {
        Some(user) => reply::json(&json!([format!("user_{user}"), "browse", "staff"])).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}
