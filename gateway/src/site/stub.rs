//! A site for tests: a small HTTP server that answers as it is told, and remembers what it was asked.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
    headers: HeaderMap,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What it answers.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    after: Option<Duration>,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into().into(), after: Some(Duration::ZERO) }
    }

    pub(super) fn never() -> Self {
        Self { after: None, ..Self::new(200, "") }
    }

    pub(super) fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Default)]
struct Log {
    requests: Vec<Asked>,
    open: usize,
    most: usize,
}

struct Shared {
    answer: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    log: Mutex<Log>,
    asked: Notify,
}

pub(super) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Stub {
    /// `answer` is given the number of the request, from 0 on.
    pub(super) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { answer: Box::new(answer), log: Mutex::default(), asked: Notify::new() });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let shared = Arc::clone(&shared);
                    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.shared.log.lock().requests.clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.shared.log.lock().most
    }

    /// Waits until it was asked so often.
    pub(super) async fn asked(&self, times: usize) {
        let asked = async {
            loop {
                let notified = self.shared.asked.notified();
                if self.shared.log.lock().requests.len() >= times {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("to be asked in time");
    }

    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let number = {
        let mut log = shared.log.lock();
        log.requests.push(Asked {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            body: String::from_utf8(body.to_vec()).unwrap(),
            headers: parts.headers,
        });
        log.open += 1;
        log.most = log.most.max(log.open);
        log.requests.len() - 1
    };
    shared.asked.notify_waiters();
    let answer = (shared.answer)(number);
    match answer.after {
        None => std::future::pending().await,
        Some(after) => tokio::time::sleep(after).await,
    }
    shared.log.lock().open -= 1;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body)).unwrap())
}
