//! `auth`: redeem the token, ask the hooks, greet.

use std::sync::Arc;

use tokensocket_protocol::message::{Hello, SessionInfo, features};
use tokensocket_protocol::{Answer, Close, ErrorCode, Framed, RpcError, Token};

use crate::access::Access;
use crate::identity::Identity;
use crate::node::Node;
use crate::socket::Socket;

/// The close of a connection that did not authenticate in time. It never said hello.
pub(crate) const TIMED_OUT: Close =
    Close { code: 1000, reason: std::borrow::Cow::Borrowed("Authentication timeout") };

/// What became of a token.
pub(crate) enum Redeemed {
    /// Send this; the socket is authenticated.
    Welcome(Framed),
    /// Send this, then close.
    Refused(Framed, Close),
}

/// Gives a socket its identity, asks the hooks, and has it count as authenticated. `device`: what its client says of
/// itself, if it takes deliveries. These come with [`Node::greet`], once the client has been told.
pub(crate) async fn welcome(
    node: &Node,
    socket: &Socket,
    identity: Identity,
    device: Option<&Hello>,
    understands_cancel: bool,
) -> Result<(), RpcError> {
    socket.set_identity(identity);
    Access::allow(&node.access.on_authenticate, socket.clone()).await?;
    node.attach(socket, device);
    socket.set_ready(understands_cancel);
    Ok(())
}

/// Redeems a token and greets.
pub(crate) async fn run(
    node: Arc<Node>,
    socket: Socket,
    token: Token,
    hello: Option<Hello>,
    answer: Answer,
) -> Redeemed {
    let identity = match node.redeem(token).await {
        Ok(Some(identity)) => identity,
        Ok(None) => {
            let error = RpcError::text("Token not found").with_code(ErrorCode::Unauthenticated);
            return Redeemed::Refused(answer.error(&error), Close::UNAUTHENTICATED);
        }
        Err(error) => {
            tracing::warn!(%error, "a token could not be redeemed");
            let error = RpcError::text(error.to_string()).with_code(ErrorCode::Overloaded);
            return Redeemed::Refused(answer.error(&error), Close::INTERNAL);
        }
    };
    let understands = |feature: &str| {
        hello.as_ref().is_some_and(|hello| hello.features.iter().any(|known| known == feature))
    };
    if understands(features::HISTORY) {
        socket.set_understands_gaps();
    }
    let device = hello.as_ref().filter(|_| understands(features::DELIVERY));
    if let Err(error) = welcome(&node, &socket, identity, device, understands(features::CANCEL)).await {
        return Redeemed::Refused(answer.error(&error), Close::FORBIDDEN);
    }
    tracing::debug!(socket = %socket.id(), client = ?hello.as_ref().map(|hello| &hello.name), "authenticated");
    let session = hello.is_some().then(|| SessionInfo {
        id: socket.id().to_string(),
        ping_ms: if node.config.ping {
            u64::try_from(node.config.heartbeat.as_millis()).unwrap_or(0)
        } else {
            0
        },
        max_message_bytes: node.config.max_message_bytes as u64,
        features: features::ALL.map(str::to_owned).to_vec(),
    });
    Redeemed::Welcome(answer.authenticated(session.as_ref()))
}
