//! A client on its way into a namespace: asked who it is, made a socket, and let in by the hooks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::message::Hello;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::args::EventArgs;
use super::namespace::Namespace;
use super::request::{ConnectRequest, Refusal};
use crate::command::auth::welcome;
use crate::format::Format;
use crate::guarded::Guarded;
use crate::node::{Admission, Node};
use crate::socket::Socket;

/// How much a client may say in the root namespace before it is let in, in events and in bytes.
const HELD: (usize, usize) = (64, 64 * 1024);

/// A socket in a namespace. Dropped, it is gone from its node.
pub(super) struct Member {
    pub(super) node: Arc<Node>,
    pub(super) socket: Socket,
    _admission: Admission,
    /// The node waits for it when it ends.
    _counts: TaskTrackerToken,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.node.close(&self.socket);
    }
}

/// An event that came before its client was let in.
pub(super) struct Early {
    pub(super) number: Option<u64>,
    pub(super) name: String,
    pub(super) args: EventArgs,
}

/// Somebody who is about to join.
pub(super) struct Joining {
    pub(super) name: Box<str>,
    /// `None` for one that is refused anyway.
    pub(super) namespace: Option<Arc<Namespace>>,
    entering: BoxFuture<'static, Result<Member, Refusal>>,
    pub(super) early: Vec<Early>,
    early_bytes: usize,
    /// The token in the connection's first request was meant for this namespace.
    pub(super) is_meant: bool,
}

impl Joining {
    /// `patience`: how long the application may take to say who it is.
    pub(super) fn new(
        name: &str,
        namespace: Arc<Namespace>,
        request: ConnectRequest,
        patience: Duration,
    ) -> Self {
        let is_meant = request.brings_the_first_token();
        let joining = join(Arc::clone(&namespace), request);
        let entering = async move {
            let joined = tokio::time::timeout(patience, joining).await;
            joined.unwrap_or_else(|_| Err(Refusal::new("it took too long to find out who this is")))
        };
        let entering = entering.boxed();
        Self {
            name: name.into(),
            namespace: Some(namespace),
            entering,
            early: Vec::new(),
            early_bytes: 0,
            is_meant,
        }
    }

    /// Somebody who is refused, in its turn.
    pub(super) fn refused(name: &str, why: &'static str) -> Self {
        let entering = std::future::ready(Err(Refusal::new(why))).boxed();
        Self {
            name: name.into(),
            namespace: None,
            entering,
            early: Vec::new(),
            early_bytes: 0,
            is_meant: false,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Member, Refusal>> {
        Pin::new(&mut self.entering).poll(cx)
    }

    /// Keeps an event until its client is in; `false` when there are too many.
    pub(super) fn hold(&mut self, early: Early) -> bool {
        let attached: usize = early.args.attachments().iter().map(bytes::Bytes::len).sum();
        self.early_bytes += early.name.len() + early.args.0.arguments().as_str().len() + attached;
        self.early.push(early);
        self.early.len() <= HELD.0 && self.early_bytes <= HELD.1
    }
}

async fn join(namespace: Arc<Namespace>, request: ConnectRequest) -> Result<Member, Refusal> {
    let node = &namespace.node;
    let shutting_down = || Refusal::try_again("the server is shutting down");
    if node.is_draining() {
        return Err(shutting_down());
    }
    let remote_address = request.remote_address();
    let admission = node
        .admit(remote_address.map(|address| address.ip()))
        .ok_or_else(|| Refusal::new("too many connections from this address"))?;
    let device = Some(request.device());
    let connecting = Guarded::begin(|| (namespace.connect)(request));
    let identity = connecting.await.unwrap_or_else(|_| {
        tracing::error!("what says who connects panicked");
        Err(Refusal::new("Internal error"))
    })?;
    if let Err(wrong) = identity.check() {
        tracing::error!(%wrong, "an identity that no socket can have");
        return Err(Refusal::new("Internal error"));
    }
    if node.is_draining() {
        return Err(shutting_down());
    }
    let counts = node.tasks.token();
    let socket = node.open(remote_address, Format::SocketIo, None);
    let member = Member { node: Arc::clone(node), socket, _admission: admission, _counts: counts };
    let hello = Hello { name: "socket.io".to_owned(), version: String::new(), features: Vec::new(), device };
    welcome(node, &member.socket, identity, Some(&hello), false)
        .await
        .map_err(|error| Refusal::new(error.message().to_owned()))?;
    Ok(member)
}
