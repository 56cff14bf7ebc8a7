//! `auth`: redeem the token, ask the hooks, greet.

use std::sync::Arc;

use tokensocket_protocol::message::{Hello, SessionInfo, features};
use tokensocket_protocol::{Answer, Close, ErrorCode, RpcError, Token};

use crate::access::Access;
use crate::node::Node;
use crate::socket::Socket;

/// The close of a connection that did not authenticate in time. It never said hello.
pub(crate) const TIMED_OUT: Close =
    Close { code: 1000, reason: std::borrow::Cow::Borrowed("Authentication timeout") };

/// What became of a token.
pub(crate) enum Redeemed {
    /// Send this; the socket is authenticated.
    Welcome(Vec<u8>),
    /// Send this, then close.
    Refused(Vec<u8>, Close),
}

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
    socket.set_identity(identity);
    if let Err(error) = Access::allow(&node.access.on_authenticate, socket.clone()).await {
        return Redeemed::Refused(answer.error(&error), Close::FORBIDDEN);
    }
    let understands = |feature: &str| {
        hello.as_ref().is_some_and(|hello| hello.features.iter().any(|known| known == feature))
    };
    node.attach(&socket, hello.as_ref().filter(|_| understands(features::DELIVERY)));
    socket.set_ready(understands(features::CANCEL));
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
