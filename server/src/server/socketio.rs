//! What a Socket.IO endpoint does with servers, and how it is mounted.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use warp::filters::BoxedFilter;

use super::Server;
use crate::http::service::SocketIoService;
use crate::identity::Identity;
use crate::socketio::{ConnectRequest, NamespaceOptions, Refusal, SocketIo};
use crate::token::TokenStoreError;

impl SocketIo {
    /// Offers a namespace, such as `/newsite`, whose clients become sockets of `server`. `connect` says who a client
    /// is, or refuses it. A namespace that is there already is replaced for those who connect from now on; who is
    /// connected stays.
    pub fn namespace<F, Fut>(&self, name: &str, options: NamespaceOptions, server: &Server, connect: F)
    where
        F: Fn(ConnectRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, Refusal>> + Send + 'static,
    {
        let connect = Box::new(move |request| connect(request).boxed());
        self.offer(name, options, Arc::clone(server.node()), connect);
    }

    /// The same for clients that bring a token of the server's own, one of [`Server::issue_token`] or its token path,
    /// as `token` in the handshake's query: one that is missing, unknown, used or expired is refused with
    /// `INVALID_TOKEN`, and its connection ended some 20 ms later.
    pub fn namespace_by_token(&self, name: &str, options: NamespaceOptions, server: &Server) {
        self.offer_by_token(name, options, server.node());
    }

    /// The endpoint as a tower service, for hyper and axum.
    pub fn into_service(self) -> SocketIoService {
        SocketIoService(self)
    }

    /// The endpoint as a warp filter. It rejects paths that are not its own with "not found", and answers all that
    /// are.
    pub fn routes(&self) -> BoxedFilter<(warp::reply::Response,)> {
        super::mounted(self.clone())
    }
}

impl Server {
    /// The identity of the `token` that a Socket.IO client brought, if it is a good one of this server's. It is used up
    /// by the client's connection, not by one of its namespaces: those of one connection that ask for the same token get
    /// the same identity. For doors of an application's own.
    pub async fn redeem_token_of(
        &self,
        request: &ConnectRequest,
    ) -> Result<Option<Identity>, TokenStoreError> {
        request.redeem(self.node()).await
    }

    /// The Socket.IO endpoint that this server mounts, if [`ServerBuilder::socketio`](crate::ServerBuilder::socketio)
    /// asked for one: for namespaces beside `/`.
    pub fn socketio(&self) -> Option<&SocketIo> {
        self.http.socketio.as_ref()
    }
}
