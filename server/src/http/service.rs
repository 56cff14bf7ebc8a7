//! The server as a tower service, for hyper, axum and whoever speaks tower.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::upgrade::OnUpgrade;

use super::body::{RequestBody, ResponseBody};
use super::{Head, Http};

/// The peer's address, for a [`TokenSocketService`] whose HTTP server puts it into the request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddress(pub SocketAddr);

/// A server as a [`tower_service::Service`]. Answers its own paths, and 404 for all others.
///
/// The request's extensions must carry hyper's `OnUpgrade`, as hyper puts it there, and may carry a
/// [`RemoteAddress`].
#[derive(Clone)]
pub struct TokenSocketService(pub(crate) Arc<Http>);

impl std::fmt::Debug for TokenSocketService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSocketService")
    }
}

impl<B> tower_service::Service<Request<B>> for TokenSocketService
where
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let http = Arc::clone(&self.0);
        let (mut head, body) = Head::of(request);
        Box::pin(async move { Ok(http.respond(&mut head, body).await) })
    }
}

/// What answers requests at paths of its own.
pub(crate) trait Answers: Clone + Send + Sync + 'static {
    /// Whether a path belongs to it.
    fn owns(&self, path: &str) -> bool;

    /// Answers a request; 404 for paths that are not its own.
    fn respond(
        &self,
        head: &mut Head,
        body: impl RequestBody + Send,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;
}

impl Answers for Arc<Http> {
    fn owns(&self, path: &str) -> bool {
        Http::owns(self, path)
    }

    fn respond(
        &self,
        head: &mut Head,
        body: impl RequestBody + Send,
    ) -> impl Future<Output = Response<ResponseBody>> + Send {
        Http::respond(self, head, body)
    }
}

#[cfg(feature = "socketio")]
impl Answers for crate::socketio::SocketIo {
    fn owns(&self, path: &str) -> bool {
        Self::owns(self, path)
    }

    async fn respond(&self, head: &mut Head, body: impl RequestBody + Send) -> Response<ResponseBody> {
        let path = head.path.clone();
        match self.0.below(&path) {
            Some(rest) => super::socketio::respond(self, rest, head, body).await,
            None => super::refuse(http::StatusCode::NOT_FOUND, "there is nothing at this path"),
        }
    }
}

/// A Socket.IO endpoint as a [`tower_service::Service`]. Answers its own paths, and 404 for all others. The requests'
/// extensions are as for a [`TokenSocketService`].
#[cfg(feature = "socketio")]
#[derive(Debug, Clone)]
pub struct SocketIoService(pub(crate) crate::socketio::SocketIo);

#[cfg(feature = "socketio")]
impl<B> tower_service::Service<Request<B>> for SocketIoService
where
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let io = self.0.clone();
        let (mut head, body) = Head::of(request);
        Box::pin(async move { Ok(Answers::respond(&io, &mut head, body).await) })
    }
}

impl Head {
    /// Takes a request apart. The peer's address is where [`RemoteAddress`] says.
    pub(super) fn of<B>(request: Request<B>) -> (Self, B) {
        let (mut parts, body) = request.into_parts();
        let head = Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            remote_address: parts.extensions.get::<RemoteAddress>().map(|RemoteAddress(address)| *address),
            on_upgrade: parts.extensions.remove::<OnUpgrade>(),
            headers: parts.headers,
        };
        (head, body)
    }
}
