//! A server that answers as a gateway might, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use warp::Filter;
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::path::FullPath;

use crate::program::{Ended, Program};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) authorization: String,
    /// Null when it is no JSON.
    pub(crate) body: Value,
}

/// It ends with the test.
pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _stop: oneshot::Sender<()>,
}

impl Stub {
    /// Answers the first request with the first of the answers, and so on; the last one is repeated.
    pub(crate) async fn answering(answers: &[(u16, &str)]) -> Self {
        let answers: Vec<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = warp::method()
            .and(warp::path::full())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map({
                let asked = Arc::clone(&asked);
                move |method,
                      path: FullPath,
                      query: String,
                      headers: HeaderMap,
                      body: warp::hyper::body::Bytes| {
                    let authorization =
                        headers.get("authorization").map_or("", |value| value.to_str().unwrap());
                    let mut asked = asked.lock().unwrap();
                    let (status, text) = answers[asked.len().min(answers.len() - 1)].clone();
                    asked.push(Asked {
                        method,
                        path: format!("{}?{query}", path.as_str()),
                        authorization: authorization.to_owned(),
                        body: serde_json::from_slice(&body).unwrap_or_default(),
                    });
                    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(text).unwrap()
                }
            });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = warp::serve(routes).incoming(listener).graceful(async {
            let _ = stopped.await;
        });
        tokio::spawn(serving.run());
        Self { url, asked, _stop: stop }
    }

    /// Starts a command against it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&[arguments, &["--url", &self.url, "--timeout", "20s"]].concat())
    }

    /// Runs a command against it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended().await
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}
